//! What an operator looks at.

use super::{features, fitness::behind_bytes, machine::Core, record::RegionStatus as Thought, state::Environment};
use crate::api::{
    EnvironmentId, Region, Zone,
    control::{EnvironmentStatus, OperationState, OperationView, RegionStatus, Status, StoreClaim},
    permit::{Holder, SqlRole},
};

impl Core {
    /// Everything, but for the outbox: `notices_owed` is left 0.
    pub fn status(&self, now_ms: u64) -> Status {
        Status {
            regions: self.settings.regions.iter().map(|region| self.region_status(now_ms, region)).collect(),
            edge_ready: self.edge_ready(now_ms),
            environments: (self.state.environments.iter())
                .map(|(id, environment)| self.environment_status(now_ms, id, environment))
                .collect(),
            operations: self.operations_under_way(),
            notices_owed: 0,
        }
    }

    /// The region whose node has the salvage list of the last return; the outer `None` if there is no such environment.
    pub fn salvaged_in(&self, id: &EnvironmentId) -> Option<Option<(Region, Zone)>> {
        let environment = self.state.environments.get(id)?;
        let salvaged = environment.salvaged.as_ref();
        Some(salvaged.map(|salvaged| (salvaged.region.clone(), environment.seat(&salvaged.region))))
    }

    fn operations_under_way(&self) -> Vec<OperationView> {
        let running = self.state.operations.values().filter(|operation| operation.state() == OperationState::Running);
        running.filter_map(|operation| self.operation_view(operation.id)).collect()
    }

    fn region_status(&self, now_ms: u64, region: &Region) -> RegionStatus {
        let thought = match self.state.region(region) {
            Thought::Clear => "clear",
            Thought::Suspected => "suspected",
            Thought::Declared => "declared",
        };
        let zones = || Zone::all(self.settings.zones);
        let silence = |holder| zones().filter_map(|zone| self.ears.silence(now_ms, (region, zone), holder)).min();
        RegionStatus {
            region: region.clone(),
            thought: thought.to_owned(),
            node_silent_ms: silence(Holder::Node),
            compute_silent_ms: silence(Holder::Compute),
            files_ok: zones().all(|zone| self.ears.files_ok(region, zone)),
            unfit: self.unfit(now_ms, region),
        }
    }

    fn environment_status(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment) -> EnvironmentStatus {
        EnvironmentStatus {
            id: id.clone(),
            kind: environment.given.kind,
            home: environment.given.home.clone(),
            active: environment.active.clone(),
            zone: environment.seat(&environment.active),
            synchronous: environment.synchronous,
            epoch: environment.epoch,
            phase: environment.phase,
            why: self.why(environment),
            step: environment.task.as_ref().map(|task| task.step.name().to_owned()),
            granting: environment.granting,
            peer_granting: environment.peer_granting,
            permit_left_ms: self.given.left_ms(id, now_ms, self.settings.timers.permit_ms),
            claims: self.settings.regions.iter().filter_map(|region| self.store_claim(id, region)).collect(),
            dangling: environment.dangling.len() as u64,
            salvaged: environment.salvaged.as_ref().map_or(0, |salvaged| salvaged.rows + salvaged.objects),
            guard: self.guard_status(now_ms, id, environment),
            features: features::of(environment, &self.settings),
            last_back_up: environment.backups.last().copied(),
        }
    }

    fn store_claim(&self, id: &EnvironmentId, region: &Region) -> Option<StoreClaim> {
        let claim = self.claims.get(&(id.clone(), region.clone()))?;
        let is_primary = matches!(claim.sql, SqlRole::Primary | SqlRole::Fenced);
        Some(StoreClaim {
            region: region.clone(),
            sql: claim.sql,
            timeline: claim.timeline,
            sql_behind_bytes: is_primary.then(|| behind_bytes(claim)).flatten(),
            files_pending: claim.files_pending,
            files_oldest_ms: claim.files_oldest_ms,
            streaming: claim.streaming,
        })
    }
}
