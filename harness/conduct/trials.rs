//! One drill, again and again: each trial a whole drill with a testbed, a folder and a seed of its own, its faults and orders
//! at drawn moments; several side by side where the machine carries it.

use std::{
    collections::BTreeMap,
    io,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::{Cancel, Drill, DrillError, places::fresh_folder};
use crate::{
    model::plan::Plan,
    os::{files, hold},
    report::{
        Report,
        trials::{Info, Statistics, Trial},
    },
    scenario,
};

/// How many drills a machine of so many processors carries at once: one of 100 operations a second keeps about 1.25 of them
/// busy, and an examiner that is held up proves nothing.
pub fn carried(processors: u32) -> u32 {
    (processors / 2).max(1)
}

/// Trials of one drill that are ready to run.
#[must_use = "trials do nothing until they are run"]
pub struct Trials {
    drill: Drill,
    named: String,
    folder: PathBuf,
    is_kept_elsewhere: bool,
    count: u32,
    at_once: u32,
}

/// A trial that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its number, from 1.
    pub number: u32,
    /// The seed of its load and of its phases.
    pub seed: u64,
    /// Its report; its folder is in there.
    pub result: Result<Report, DrillError>,
    /// What of it could not be ended.
    pub left: Vec<String>,
}

impl Trials {
    /// So many trials of a drill, one after another. Their seeds are derived from the drill's, and their results are left in
    /// the folder that the drill leaves its own in.
    pub fn of(drill: Drill, count: u32) -> Self {
        let (named, out) = (drill.plan().name.clone(), drill.kept_in().map(Path::to_owned));
        let is_kept_elsewhere = out.is_some();
        Self { drill, named, folder: out.unwrap_or_else(fresh_folder), is_kept_elsewhere, count, at_once: 1 }
    }

    /// So many side by side, at most.
    pub fn at_once(self, at_once: u32) -> Self {
        Self { at_once: at_once.max(1), ..self }
    }

    /// As what the scenario is named in the command that repeats a trial.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { named: name.into(), ..self }
    }

    /// What interrupts them: those that run are ended in order, and no more are begun.
    pub fn cancel(&self) -> Cancel {
        self.drill.cancel()
    }

    /// Where `trials.json` is left.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The scenario.
    pub fn plan(&self) -> &Plan {
        self.drill.plan()
    }

    /// The seed that those of the trials are derived from.
    pub fn seed(&self) -> u64 {
        self.drill.seed_used()
    }

    /// Runs them, telling of each that has ended, and writes `trials.json`. One that brings no report is inconclusive; of
    /// those that an interruption has ended nothing is said.
    ///
    /// # Errors
    /// What keeps every trial from being run, and a `trials.json` that cannot be written.
    pub async fn run(self, mut told: impl FnMut(&Ended)) -> Result<Statistics, DrillError> {
        // Once, and before any: what is missing is missing for all of them.
        drop(self.drill.equipped().await?);
        files::private_folder(&self.folder).map_err(DrillError::io("the trials' folder"))?;
        let _held = hold::hold(&self.folder).map_err(DrillError::io("the trials' folder"))?;
        let mut waiting = 1..=self.count;
        let mut running = JoinSet::new();
        let mut ended = Vec::new();
        loop {
            while running.len() < self.at_once as usize
                && !self.drill.cancel().is_cancelled()
                && let Some(number) = waiting.next()
            {
                running.spawn(trial(self.drill(number), number, self.trial_seed(number)));
            }
            let Some(joined) = running.join_next().await else { break };
            let one = joined.map_err(|error| DrillError::Failed(format!("a trial was lost: {error}")))?;
            told(&one);
            if !matches!(one.result, Err(DrillError::Interrupted)) {
                ended.push(self.told_of(one));
            }
        }
        let statistics = Statistics::new(&self.info(), ended);
        files::write_json(&self.folder.join("trials.json"), &statistics).map_err(DrillError::io("trials.json"))?;
        Ok(statistics)
    }

    fn trial_seed(&self, number: u32) -> u64 {
        scenario::trial_seed(self.seed(), number)
    }

    fn drill(&self, number: u32) -> Drill {
        let seed = self.trial_seed(number);
        let drill = self.drill.again().seed(seed).phases(seed);
        if self.is_kept_elsewhere { drill.out(self.folder.join(format!("trial-{number}"))) } else { drill }
    }

    fn told_of(&self, ended: Ended) -> Trial {
        // Drawn again, which gives the same: a trial that brought no report has its phases too.
        let plan = scenario::phased(self.plan().clone(), ended.seed);
        let phases = plan.steps().filter(|step| !step.phase.is_zero());
        let phases_s: BTreeMap<_, _> = phases.map(|step| (step.id.clone(), step.phase.as_secs_f64())).collect();
        let report = ended.result.map_err(|error| error.to_string());
        Trial { number: ended.number, seed: ended.seed, phases_s, report }
    }

    fn info(&self) -> Info {
        Info {
            scenario: self.plan().name.clone(),
            named: self.named.clone(),
            testbed: self.drill.testbed(),
            seed: self.seed(),
            asked: self.count,
            at_once: self.at_once.min(self.count),
            interrupted: self.drill.cancel().is_cancelled(),
            phases_below_s: scenario::longest_timer(&self.plan().platform).as_secs_f64(),
        }
    }
}

/// Runs one. A defect that it dies of is its own, and not that of the others.
async fn trial(drill: Drill, number: u32, seed: u64) -> Ended {
    let run = AssertUnwindSafe(drill.run()).catch_unwind().await;
    let run = run.unwrap_or_else(|_| Err(DrillError::io("a defect of geodrill")(io::Error::other("it panicked"))));
    let (result, left) = match run {
        Ok(finished) => (Ok(finished.report), finished.left),
        Err(error) => (Err(error), Vec::new()),
    };
    Ended { number, seed, result, left }
}

#[cfg(test)]
mod tests {
    use super::carried;

    #[test]
    fn a_machine_carries_half_as_many_drills_as_it_has_processors_and_one_at_least() {
        assert_eq!([1, 2, 3, 4, 16].map(carried), [1, 1, 1, 2, 8]);
    }
}
