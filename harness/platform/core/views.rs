//! The core as the API shows it.

use super::{
    machine::Core,
    record::{OperationKind, RegionStatus},
    state::{Environment, Operation},
};
use crate::api::{
    EnvironmentId, Region,
    control::{Dangling, EnvironmentStep, OperationView},
    environment::{Endpoints, EnvironmentPhase, EnvironmentView},
};

impl Core {
    /// Regions whose node and compute have been heard within the suspicion time.
    pub fn regions_ready(&self, now_ms: u64) -> Vec<Region> {
        self.settings.regions.iter().filter(|region| self.is_ready(now_ms, region)).cloned().collect()
    }

    /// Whether the edge has been heard within the suspicion time.
    pub fn edge_ready(&self, now_ms: u64) -> bool {
        self.ears.hears_edge(now_ms, self.settings.timers.suspect_ms)
    }

    /// One environment.
    pub fn environment_view(&self, id: &EnvironmentId) -> Option<EnvironmentView> {
        let environment = self.state.environments.get(id)?;
        let is_deployed = environment.phase != EnvironmentPhase::Deploying && !environment.deployment_failed();
        let is_there = is_deployed && !environment.is_retired;
        Some(EnvironmentView {
            id: id.clone(),
            kind: environment.given.kind,
            tenant: environment.given.tenant.clone(),
            home: environment.given.home.clone(),
            active: environment.active.clone(),
            epoch: environment.epoch,
            phase: environment.phase,
            why: self.why(environment),
            dangling: environment.dangling.len() as u64,
            endpoints: is_there.then(|| self.endpoints(environment)).flatten(),
        })
    }

    /// Why an environment is in its phase, where that is not plain. What stands in a lost region is not served, whatever its
    /// phase says of its replica.
    pub(super) fn why(&self, environment: &Environment) -> Option<String> {
        let region = &environment.active;
        let mut regions = self.settings.regions.iter();
        let lost = regions.find(|region| self.state.region(region) == RegionStatus::Declared);
        if let Some(lost) = lost.filter(|_| environment.is_retired) {
            return Some(format!("what region {lost} has of it is removed when it returns"));
        }
        let is_lost = environment.task.is_none() && self.state.region(region) == RegionStatus::Declared;
        if is_lost {
            return Some(format!("it is not served: region {region} is declared lost"));
        }
        environment.why.clone()
    }

    /// All of them, by name.
    pub fn environment_views(&self) -> Vec<EnvironmentView> {
        self.state.environments.keys().filter_map(|id| self.environment_view(id)).collect()
    }

    /// What an environment lacks since its last switch.
    pub fn dangling(&self, id: &EnvironmentId) -> Option<Dangling> {
        self.state.environments.get(id).map(|environment| Dangling { references: environment.dangling.clone() })
    }

    /// One operation.
    pub fn operation_view(&self, id: u64) -> Option<OperationView> {
        let operation = self.state.operations.get(&id)?;
        let environments = (operation.items.iter())
            .map(|item| EnvironmentStep {
                environment: item.environment.clone(),
                step: item.step.to_owned(),
                epoch: item.epoch,
            })
            .collect();
        Some(OperationView {
            id,
            kind: operation.kind.name().to_owned(),
            state: operation.state(),
            environments,
            why: reasons(operation),
        })
    }

    fn endpoints(&self, environment: &Environment) -> Option<Endpoints> {
        let doors = self.settings.doors.get(usize::from(environment.given.slot))?;
        let credentials = environment.given.credentials.clone();
        Some(Endpoints {
            sql_rw_port: doors.sql_rw,
            sql_ro_port: doors.sql_ro,
            files_rw_port: doors.files_rw,
            files_ro_port: doors.files_ro,
            database: environment.given.database.clone(),
            app: credentials.app,
            reader: credentials.reader,
            s3: credentials.s3,
            bucket: environment.given.bucket.clone(),
        })
    }
}

impl Environment {
    fn deployment_failed(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.stalled && task.kind == OperationKind::Deploy)
    }
}

fn reasons(operation: &Operation) -> Option<String> {
    let each: Vec<String> = (operation.items.iter())
        .filter_map(|item| item.why.as_ref().map(|why| format!("{}: {why}", item.environment)))
        .collect();
    (!each.is_empty()).then(|| each.join("; "))
}
