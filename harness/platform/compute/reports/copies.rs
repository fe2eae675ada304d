//! Reporting copies: made when Power BI reporting is offered, made anew every so often, removed where it is offered no more.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    figures,
    words::{Reports, Word, age_ms},
};
use crate::{
    api::{
        EnvironmentId,
        reports::{AccountFigures, Feature, Report},
    },
    os::files,
    platform::{actor::locked, compute::holder::Holder},
};

/// How often a reporting copy is made anew.
const PERIOD: Duration = Duration::from_secs(1);

/// Makes every reporting copy anew, for ever, while its environment is served here.
pub async fn keep_copies(holder: Arc<Holder>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let offered = holder.reports.words().into_iter().filter(|(environment, word)| {
            word.why_not(Feature::PowerBi).is_none() && word.epoch == holder.epoch(environment)
        });
        join_all(offered.map(|(environment, word)| make_anew(&holder, environment, word))).await;
    }
}

async fn make_anew(holder: &Holder, environment: EnvironmentId, word: Word) {
    let made = match figures::compute(holder, &environment, word.epoch, &word).await {
        Ok((begun, figures)) => {
            holder.reports.keep_copy(&environment, begun, &figures, || holder.epoch(&environment) <= word.epoch)
        }
        Err(why) => Err(why),
    };
    if let Err(why) = made {
        tracing::debug!(%environment, why, "the reporting copy is not made anew");
    }
}

impl Reports {
    fn copy(&self, environment: &EnvironmentId) -> PathBuf {
        self.copies.join(format!("{environment}.json"))
    }

    /// Takes these figures for the reporting copy, whose snapshot was begun then, unless their epoch is over: the copy may have been
    /// removed for good while they were computed.
    ///
    /// # Errors
    /// What stands in the way, as a person reads it.
    pub(super) fn keep_copy(
        &self,
        environment: &EnvironmentId,
        begun: Instant,
        figures: &[AccountFigures],
        is_current: impl Fn() -> bool,
    ) -> Result<(), String> {
        // The moment goes with the file: nobody may read the one of before with the other's age.
        let mut taken = locked(&self.taken);
        if !is_current() {
            return Err("the epoch of the figures is over".to_owned());
        }
        files::write_json(&self.copy(environment), &figures).map_err(|error| format!("the reporting copy: {error}"))?;
        taken.insert(environment.clone(), begun);
        Ok(())
    }

    /// What the reporting copy holds.
    ///
    /// # Errors
    /// What stands in the way, as a person reads it.
    pub(super) fn read_copy(&self, environment: &EnvironmentId) -> Result<Report, String> {
        let taken = locked(&self.taken);
        let begun = taken.get(environment).ok_or("the reporting copy is not made yet")?;
        let accounts: Vec<AccountFigures> =
            files::read_json(&self.copy(environment)).map_err(|error| format!("the reporting copy: {error}"))?;
        Ok(Report { age_ms: age_ms(*begun), accounts })
    }

    /// Removes the reporting copy, if there is one.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn remove_copy(&self, environment: &EnvironmentId) -> io::Result<()> {
        locked(&self.taken).remove(environment);
        match std::fs::remove_file(self.copy(environment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
