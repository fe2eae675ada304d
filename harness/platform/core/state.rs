//! What is durable: everything here changes by [`State::fold`] alone.

use std::collections::BTreeMap;

use super::record::{NewEnvironment, OperationKind, Outcome, Record, RegionStatus, Step};
use crate::api::{
    EnvironmentId, Epoch, Region,
    control::{FileReference, OperationState, Tenant},
    environment::EnvironmentPhase,
};

/// The durable state of a control plane.
#[derive(Clone, PartialEq, Default)]
pub struct State {
    /// Tenants.
    pub tenants: BTreeMap<String, Tenant>,
    /// Environments.
    pub environments: BTreeMap<EnvironmentId, Environment>,
    /// Operations.
    pub operations: BTreeMap<u64, Operation>,
    /// What is thought of each region.
    pub regions: BTreeMap<Region, RegionStatus>,
    /// Number of the last platform event.
    pub last_event: u64,
    /// Number of the last notice.
    pub last_notice: u64,
}

/// One environment.
#[derive(Clone, PartialEq)]
pub struct Environment {
    /// As it was ordered.
    pub given: NewEnvironment,
    /// The epoch register.
    pub epoch: Epoch,
    /// The region that serves it under this epoch.
    pub active: Region,
    /// Control grants permits to the active region.
    pub granting: bool,
    /// The other region's node is known to grant permits to the active region.
    pub peer_granting: bool,
    /// How far it is in its life.
    pub phase: EnvironmentPhase,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// References without an object, marked.
    pub dangling: Vec<FileReference>,
    /// Grows when the marked references change.
    pub marks_revision: u64,
    /// What is under way.
    pub task: Option<Task>,
    /// The last operation that concerned it.
    pub last_operation: u64,
}

/// An operation's hold on an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The operation.
    pub operation: u64,
    /// What it does.
    pub kind: OperationKind,
    /// How far it is.
    pub step: Step,
    /// It has failed here and waits for an operator.
    pub stalled: bool,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub kind: OperationKind,
    /// What it covers.
    pub items: Vec<Item>,
}

/// One environment's part of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The environment.
    pub environment: EnvironmentId,
    /// Its last step.
    pub step: &'static str,
    /// Its epoch at that step.
    pub epoch: Epoch,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why, unless completed.
    pub why: Option<String>,
}

impl Operation {
    /// Its state over all environments.
    pub fn state(&self) -> OperationState {
        let count = |outcome| self.items.iter().filter(|item| item.outcome == outcome).count();
        let all = self.items.len();
        if count(None) > 0 {
            OperationState::Running
        } else if count(Some(Outcome::Completed)) == all {
            OperationState::Completed
        } else if count(Some(Outcome::Aborted)) == all {
            OperationState::Aborted
        } else if count(Some(Outcome::Failed)) > 0 {
            OperationState::Failed
        } else {
            OperationState::Partial
        }
    }
}

impl State {
    /// The state after a record. A record that does not fit (a compare-and-swap that finds another epoch, an environment
    /// that is unknown) changes nothing.
    pub fn fold(&mut self, record: &Record) {
        match record {
            Record::Tenant { name, tenant } => {
                self.tenants.insert(name.clone(), tenant.clone());
            }
            Record::Created(given) => {
                self.environments.entry(given.id.clone()).or_insert_with(|| Environment::new((**given).clone()));
            }
            Record::Began { operation, kind, environments } => self.begin(*operation, *kind, environments),
            Record::Entered { environment, operation, step } => self.enter(environment, *operation, step),
            Record::Finished { environment, operation, outcome, why } => {
                self.finish(environment, *operation, *outcome, why.as_ref());
            }
            Record::Region { region, status } => {
                self.regions.insert(region.clone(), *status);
            }
            Record::Event(event) => self.last_event = event.number,
            Record::Notice(notice) => self.last_notice = notice.id,
            Record::Granting { environment, .. }
            | Record::PeerGranting { environment, .. }
            | Record::Switched { environment, .. }
            | Record::Marked { environment, .. } => {
                if let Some(environment) = self.environments.get_mut(environment) {
                    environment.fold(record);
                }
            }
        }
    }

    /// What is thought of a region.
    pub fn region(&self, region: &Region) -> RegionStatus {
        self.regions.get(region).copied().unwrap_or_default()
    }

    fn begin(&mut self, id: u64, kind: OperationKind, environments: &[EnvironmentId]) {
        let item = |environment: &EnvironmentId| Item {
            environment: environment.clone(),
            step: "accepted",
            epoch: self.environments.get(environment).map_or(Epoch::FIRST, |environment| environment.epoch),
            outcome: None,
            why: None,
        };
        let items = environments.iter().map(item).collect();
        self.operations.insert(id, Operation { id, kind, items });
    }

    fn enter(&mut self, id: &EnvironmentId, operation: u64, step: &Step) {
        let Some(environment) = self.environments.get_mut(id) else { return };
        let Some(entry) = self.operations.get_mut(&operation) else { return };
        environment.phase = match entry.kind {
            OperationKind::Deploy => EnvironmentPhase::Deploying,
            OperationKind::UnplannedFailover => EnvironmentPhase::Switching,
        };
        environment.why = None;
        environment.last_operation = operation;
        environment.task = Some(Task { operation, kind: entry.kind, step: step.clone(), stalled: false });
        if let Some(item) = entry.items.iter_mut().find(|item| &item.environment == id) {
            item.step = step.name();
            item.epoch = environment.epoch;
        }
    }

    fn finish(&mut self, id: &EnvironmentId, operation: u64, outcome: Outcome, why: Option<&String>) {
        let Some(environment) = self.environments.get_mut(id) else { return };
        let Some(entry) = self.operations.get_mut(&operation) else { return };
        if let Some(item) = entry.items.iter_mut().find(|item| &item.environment == id) {
            item.epoch = environment.epoch;
            item.outcome = Some(outcome);
            item.why = why.cloned();
            match outcome {
                Outcome::Completed => item.step = "completed",
                Outcome::Aborted => item.step = "aborted",
                Outcome::Failed => {}
            }
        }
        environment.why = why.cloned();
        match (outcome, entry.kind) {
            (Outcome::Failed, _) => {
                environment.phase = EnvironmentPhase::Failed;
                environment.task.iter_mut().for_each(|task| task.stalled = true);
                return;
            }
            (Outcome::Completed, OperationKind::UnplannedFailover) => {
                environment.phase = EnvironmentPhase::Unprotected;
                environment.why = Some(format!("no replica streams since the switch to {}", environment.active));
            }
            (Outcome::Completed, OperationKind::Deploy) | (Outcome::Aborted, _) => {
                environment.phase = EnvironmentPhase::Protected;
            }
        }
        environment.task = None;
    }
}

impl Environment {
    fn new(given: NewEnvironment) -> Self {
        Self {
            epoch: Epoch::FIRST,
            active: given.home.clone(),
            granting: true,
            peer_granting: false,
            phase: EnvironmentPhase::Deploying,
            why: None,
            dangling: Vec::new(),
            marks_revision: 0,
            task: None,
            last_operation: 0,
            given,
        }
    }

    fn fold(&mut self, record: &Record) {
        match record {
            Record::Granting { allowed, .. } => self.granting = *allowed,
            Record::PeerGranting { allowed, .. } => self.peer_granting = *allowed,
            Record::Switched { from, to, active, .. } if *from == self.epoch && to > from => {
                self.epoch = *to;
                self.active = active.clone();
                self.granting = true;
                self.peer_granting = false;
            }
            Record::Marked { references, .. } => {
                self.dangling.clone_from(references);
                self.marks_revision += 1;
            }
            _ => {}
        }
    }

    /// Whether computes of the active region may pass traffic, as far as steps go: not before the stores are open and
    /// what they lack is marked.
    pub fn is_open(&self) -> bool {
        match &self.task {
            None => matches!(self.phase, EnvironmentPhase::Protected | EnvironmentPhase::Unprotected),
            Some(task) => matches!(task.step, Step::Opening | Step::Undoing { .. }),
        }
    }
}
