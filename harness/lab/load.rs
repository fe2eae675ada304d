//! A lab's own load, so that there is something to lose.

use std::{path::Path, sync::Arc, time::Duration};

use super::{file::LabEnvironment, talk::LoadFigures};
use crate::{
    api::Region,
    ledger,
    model::{operation::EnvironmentIndex, plan::Plan},
    workload::{self, Clock, Journal, Load, LoadSpec, Target, prepare},
};

/// Bound of each of the first writes.
const PREPARE: Duration = Duration::from_secs(10);

/// A load that runs until the lab ends.
pub(super) struct LabLoad {
    load: Load,
    journal: Arc<ledger::Writer>,
    rate_per_s: f64,
}

impl LabLoad {
    /// Makes the tables and starts sending.
    ///
    /// # Errors
    /// Why it could not.
    pub async fn start(plan: &Plan, environments: &[LabEnvironment], ledger: &Path) -> Result<Self, String> {
        let regions: [Region; 2] = [plan.regions.primary.clone(), plan.regions.secondary.clone()];
        let targets = environments.iter().zip(0..).filter_map(|(environment, index)| {
            let endpoints = environment.endpoints.clone()?;
            Some(Target { environment: EnvironmentIndex(index), endpoints, regions: regions.clone() })
        });
        let targets: Vec<Target> = targets.collect();
        let clock = Clock::start();
        let run = rand::random();
        let journal = Arc::new(ledger::Writer::create(ledger).map_err(|error| format!("the ledger: {error}"))?);
        let recorded = Arc::clone(&journal) as Arc<dyn Journal>;
        for target in &targets {
            prepare(target, run, clock, &recorded, PREPARE).await?;
        }
        let spec =
            LoadSpec { targets, workload: plan.workload.clone(), seed: rand::random(), run, clock, journal: recorded };
        Ok(Self { load: Load::start(spec), journal, rate_per_s: plan.workload.rate_per_s })
    }

    /// Its figures.
    pub fn figures(&self) -> LoadFigures {
        let workload::Rates { acked_total, failed_total, in_doubt_total, unsent_total, .. } = self.load.rates();
        LoadFigures {
            rate_per_s: self.rate_per_s,
            acked_total,
            other_total: failed_total + in_doubt_total + unsent_total,
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        let stopped = self.load.stop().await;
        if let Some(why) = stopped.problem {
            tracing::warn!(why, "the load cannot be relied on");
        }
        if let Err(error) = self.journal.close() {
            tracing::warn!(%error, "the ledger was not closed");
        }
    }
}
