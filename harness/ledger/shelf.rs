//! A run's observations, each fetched when it is asked for: those of a long run do not fit into memory all at once.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

use super::{LedgerError, reads};
use crate::model::{
    RunTime,
    observation::{Boundary, Observation, Reading},
    operation::{EnvironmentIndex, Side},
};

/// Observations, wherever they are; several may be asked for at once.
pub trait Readings: fmt::Debug + Sync {
    /// The last one of an environment at a boundary that is wanted: a reading that failed may have been tried again.
    fn last(
        &self,
        environment: EnvironmentIndex,
        is_wanted: &dyn Fn(&Boundary) -> bool,
    ) -> Option<Cow<'_, Observation>>;
}

impl Readings for Vec<Observation> {
    fn last(
        &self,
        environment: EnvironmentIndex,
        is_wanted: &dyn Fn(&Boundary) -> bool,
    ) -> Option<Cow<'_, Observation>> {
        let found = self.iter().rev().find(|seen| seen.environment == environment && is_wanted(&seen.boundary));
        found.map(Cow::Borrowed)
    }
}

/// The observations in a folder. Of each, only what it begins with is kept.
#[derive(Debug)]
pub struct Shelf {
    /// In the order in which they began.
    kept: Vec<Kept>,
    /// What became of each file that was fetched.
    fetched: Mutex<Vec<Option<Result<(), LedgerError>>>>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    head: Head,
}

/// What an [`Observation`] begins with: the same fields in the same order.
#[derive(Debug, Clone, Deserialize)]
struct Head {
    environment: EnvironmentIndex,
    side: Side,
    boundary: Boundary,
    began: RunTime,
    ended: RunTime,
}

impl Shelf {
    /// Finds the observations in this folder. No folder, no observations.
    ///
    /// # Errors
    /// The system's, or a file that does not begin as an observation does. The rest of it is looked at when it is fetched,
    /// and at the latest by [`Shelf::check`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let mut kept = Vec::new();
        for path in reads::files(folder)? {
            let head = reads::beginning(&path)?;
            kept.push(Kept { path, head });
        }
        kept.sort_by_key(|kept| (kept.head.began, kept.head.environment, kept.head.side));
        let fetched = Mutex::new(kept.iter().map(|_| None).collect());
        Ok(Self { kept, fetched })
    }

    /// Whether everything that was fetched could be trusted, and what was not is whole too: what was made of the readings
    /// holds only then.
    ///
    /// # Errors
    /// As [`reads::read`]: one that cannot be trusted spoils all.
    pub fn check(self) -> Result<(), LedgerError> {
        let fetched = self.fetched.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (kept, fetched) in self.kept.iter().zip(fetched) {
            fetched.unwrap_or_else(|| reads::check(&kept.path))?;
        }
        Ok(())
    }
}

impl Readings for Shelf {
    /// One that cannot be read says so in place of what it holds, until [`Shelf::check`] tells the reason.
    fn last(
        &self,
        environment: EnvironmentIndex,
        is_wanted: &dyn Fn(&Boundary) -> bool,
    ) -> Option<Cow<'_, Observation>> {
        let wanted = |kept: &Kept| kept.head.environment == environment && is_wanted(&kept.head.boundary);
        let place = self.kept.iter().rposition(wanted)?;
        let Kept { path, head } = &self.kept[place];
        let (found, became) = match reads::read(path) {
            Ok(observation) => (observation, Ok(())),
            Err(error) => (head.clone().unread(&error.to_string()), Err(error)),
        };
        let known = &mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner)[place];
        if !matches!(known, Some(Err(_))) {
            *known = Some(became);
        }
        Some(Cow::Owned(found))
    }
}

impl Head {
    fn unread(self, why: &str) -> Observation {
        let Self { environment, side, boundary, began, ended } = self;
        let (sql, files) = (Reading::Failed(why.to_owned()), Reading::Failed(why.to_owned()));
        Observation { environment, side, boundary, began, ended, sql, files }
    }
}
