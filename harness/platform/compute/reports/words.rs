//! The last word on each environment's features, and what its services keep beside it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    api::{
        EnvironmentId, Epoch,
        compute::Provision,
        reports::{AccountFigures, Feature},
        sabotage::Sabotage,
    },
    os::files,
    platform::actor::locked,
};

/// One word. It has no `Debug`, since it holds a login.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    /// It holds under this epoch alone.
    pub epoch: Epoch,
    /// The operation that gave it.
    pub operation: u64,
    /// What was said.
    pub provision: Provision,
}

/// Why a word was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum WordError {
    /// A later one stands.
    #[error("a later word on the features stands: this one comes late")]
    Late,
    /// It could not be made durable.
    #[error("cannot write the word on features: {0}")]
    Io(#[from] io::Error),
}

/// Every environment's features here.
pub struct Reports {
    file: PathBuf,
    /// The folder of the reporting copies.
    pub(super) copies: PathBuf,
    words: Mutex<BTreeMap<EnvironmentId, Word>>,
    /// When the snapshot of each reporting copy was begun; a copy of before this process has none, and is not served.
    pub(super) taken: Mutex<BTreeMap<EnvironmentId, Instant>>,
    /// Figures that are kept where the platform is broken on purpose.
    pub(super) kept: Mutex<BTreeMap<EnvironmentId, Vec<AccountFigures>>>,
}

impl Reports {
    /// As they were left.
    ///
    /// # Errors
    /// The system's, or that the file cannot be read: an older word could be taken after a later one then.
    pub fn open(data: &Path) -> io::Result<Self> {
        let (file, copies) = (data.join("features.json"), data.join("reporting"));
        files::private_folder(&copies)?;
        let words = match files::read_json(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            other => other?,
        };
        let (words, taken, kept) = (Mutex::new(words), Mutex::default(), Mutex::default());
        Ok(Self { file, copies, words, taken, kept })
    }

    /// The last word on an environment.
    pub(super) fn word(&self, environment: &EnvironmentId) -> Option<Word> {
        locked(&self.words).get(environment).cloned()
    }

    /// All of them.
    pub(super) fn words(&self) -> Vec<(EnvironmentId, Word)> {
        locked(&self.words).iter().map(|(environment, word)| (environment.clone(), word.clone())).collect()
    }

    /// Whether a word may still be taken.
    pub(super) fn check(&self, environment: &EnvironmentId, word: &Word) -> Result<(), WordError> {
        late(&locked(&self.words), environment, word)
    }

    /// Forgets the word on an environment that is deleted, and its reporting copy.
    ///
    /// # Errors
    /// The system's.
    pub fn forget(&self, environment: &EnvironmentId) -> io::Result<()> {
        let mut words = locked(&self.words);
        let mut fresh = words.clone();
        if fresh.remove(environment).is_some() {
            files::write_json(&self.file, &fresh)?;
            *words = fresh;
        }
        drop(words);
        locked(&self.kept).remove(environment);
        self.remove_copy(environment)
    }

    /// Takes a word: durably first.
    pub(super) fn take(&self, environment: &EnvironmentId, word: Word) -> Result<(), WordError> {
        let mut words = locked(&self.words);
        late(&words, environment, &word)?;
        let mut fresh = words.clone();
        fresh.insert(environment.clone(), word);
        files::write_json(&self.file, &fresh)?;
        *words = fresh;
        Ok(())
    }
}

fn late(words: &BTreeMap<EnvironmentId, Word>, environment: &EnvironmentId, word: &Word) -> Result<(), WordError> {
    let given = |word: &Word| (word.epoch, word.operation);
    match words.get(environment) {
        Some(known) if given(known) > given(word) => Err(WordError::Late),
        _ => Ok(()),
    }
}

/// How old something is, milliseconds, rounded up.
pub(super) fn age_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

impl Reports {
    /// Whether Financial Reporting goes on with its first figures: never so in a platform that is whole.
    pub(super) fn keeps(&self, sabotage: Option<Sabotage>, epoch: Epoch, word: &Word) -> bool {
        let is_offered = word.epoch == epoch && word.why_not(Feature::FinancialReporting).is_none();
        match sabotage {
            Some(Sabotage::FeaturesInSecondary) => !is_offered,
            // Power BI reporting is offered at home alone.
            Some(Sabotage::OldFigures) => is_offered && word.why_not(Feature::PowerBi).is_some(),
            _ => false,
        }
    }
}

impl Word {
    /// Why a feature is not available by this word; `None`: it is.
    pub(super) fn why_not(&self, feature: Feature) -> Option<String> {
        match self.provision.features.iter().find(|status| status.feature == feature) {
            Some(status) => status.unavailable.clone(),
            None => Some(format!("the environment has no {feature}")),
        }
    }
}
