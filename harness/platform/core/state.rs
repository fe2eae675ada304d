//! What is durable: everything here changes by [`State::fold`] alone.

use std::collections::BTreeMap;

use super::{
    features::Features,
    record::{Exposed, NewEnvironment, OperationKind, Outcome, Record, RegionStatus, Step},
};
use crate::api::{
    EnvironmentId, Epoch, Region, Zone,
    control::{FileReference, OperationState, PlatformEvent, Tenant},
    environment::{EnvironmentKind, EnvironmentPhase},
    guard::{GuardLevel, Limits},
    node::Fork,
};

/// The durable state of a control plane.
#[derive(Clone, PartialEq, Default)]
pub struct State {
    /// Tenants.
    pub tenants: BTreeMap<String, Tenant>,
    /// Environments.
    pub environments: BTreeMap<EnvironmentId, Environment>,
    /// The last epoch of each name whose environment was deleted: whoever deploys it again begins after it.
    pub retired: BTreeMap<EnvironmentId, Epoch>,
    /// Operations.
    pub operations: BTreeMap<u64, Operation>,
    /// What is thought of each region.
    pub regions: BTreeMap<Region, RegionStatus>,
    /// The last number given to an operation or an order.
    pub last_number: u64,
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
    /// By which limits it guards.
    pub peer_guard: Option<Limits>,
    /// How far the data-loss guard has gone.
    pub level: GuardLevel,
    /// Exposure granted by an operator.
    pub exposed: Exposed,
    /// How far it is in its life.
    pub phase: EnvironmentPhase,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// References without an object, marked.
    pub dangling: Vec<FileReference>,
    /// Grows when the marked references change.
    pub marks_revision: u64,
    /// In which zone of each region its side there is; the first one where none is named.
    pub seats: BTreeMap<Region, Zone>,
    /// The zone of the active region without whose standby nothing is acknowledged: the only one that may take over there.
    pub synchronous: Option<Zone>,
    /// What is under way.
    pub task: Option<Task>,
    /// The last operation that concerned it.
    pub last_operation: u64,
    /// The number that its commands carry.
    pub order: u64,
    /// A replica follows the active region.
    pub protected: bool,
    /// When the active side was told to stop, in milliseconds since the control plane's first start; `None`: it runs.
    pub halted_ms: Option<u64>,
    /// Where the active side forked from the other, since the last switch.
    pub fork: Option<Fork>,
    /// The last switch was without loss.
    pub clean: bool,
    /// The last switch was one within the region.
    pub is_zonal: bool,
    /// It is being deleted: the register was switched for the last time.
    pub is_retired: bool,
    /// When the last switch was completed, in milliseconds since the control plane's first start.
    pub switched_ms: Option<u64>,
    /// What the last return found on one side alone.
    pub salvaged: Option<Salvaged>,
    /// What it offers beside its stores.
    pub features: Features,
    /// The numbers of its back-ups, the last one last.
    pub backups: Vec<u64>,
}

/// What a return found on the returning side alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// The returning region, whose node has the list.
    pub region: Region,
    /// Rows.
    pub rows: u64,
    /// Object versions and delete markers.
    pub objects: u64,
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
    /// It was undone once and is tried again.
    pub retried: bool,
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
    /// Its first environment has gone past the barrier: a failure concerns one environment alone from now on.
    pub begun: bool,
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
                let epoch = self.retired.get(&given.id).map_or(Epoch::FIRST, |last| last.next());
                self.environments.entry(given.id.clone()).or_insert_with(|| Environment::new((**given).clone(), epoch));
            }
            Record::Began { operation, kind, environments } => self.begin(*operation, *kind, environments),
            Record::Entered { environment, operation, step } => self.enter(environment, *operation, step),
            Record::Finished { environment, operation, outcome, why } => {
                self.finish(environment, *operation, *outcome, why.as_ref());
            }
            Record::Region { region, status } => {
                self.regions.insert(region.clone(), *status);
            }
            Record::TakenOver { environment, operation, by } => self.take_over(environment, *operation, *by),
            Record::Ordered { environment, order } => {
                self.last_number = self.last_number.max(*order);
                self.environments.get_mut(environment).into_iter().for_each(|environment| environment.order = *order);
            }
            Record::Event(event) => self.tell(event),
            Record::Notice(notice) => self.last_notice = notice.id,
            Record::Converted { environment, .. }
            | Record::Granting { environment, .. }
            | Record::PeerGranting { environment, .. }
            | Record::Guard { environment, .. }
            | Record::Exposed { environment, .. }
            | Record::Switched { environment, .. }
            | Record::Retired { environment, .. }
            | Record::Synchronous { environment, .. }
            | Record::Halted { environment, .. }
            | Record::Retried { environment }
            | Record::Promoted { environment, .. }
            | Record::Salvaged { environment, .. }
            | Record::Protected { environment }
            | Record::Provided { environment, .. }
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
        self.last_number = self.last_number.max(id);
        for environment in environments.iter().filter(|_| kind == OperationKind::SupportTicket) {
            if let Some(environment) = self.environments.get_mut(environment) {
                (environment.features.ticket, environment.features.order) = (Some(id), id);
            }
        }
        self.operations.insert(id, Operation { id, kind, items, begun: false });
    }

    fn tell(&mut self, event: &PlatformEvent) {
        self.last_event = event.number;
        let environment = event.environment.as_ref().and_then(|id| self.environments.get_mut(id));
        if let Some(environment) = environment.filter(|_| event.name == "failover.completed") {
            environment.switched_ms = Some(event.at_ms);
        }
    }

    fn enter(&mut self, id: &EnvironmentId, operation: u64, step: &Step) {
        let Some(environment) = self.environments.get_mut(id) else { return };
        let Some(entry) = self.operations.get_mut(&operation) else { return };
        entry.begun |= matches!(step, Step::Notifying { .. });
        environment.phase = match entry.kind {
            OperationKind::Deploy => EnvironmentPhase::Deploying,
            OperationKind::Delete => EnvironmentPhase::Deleting,
            OperationKind::Convert | OperationKind::BackUp | OperationKind::Restore | OperationKind::Copy => {
                EnvironmentPhase::Unprotected
            }
            _ if step.is_return() => EnvironmentPhase::Unprotected,
            _ => EnvironmentPhase::Switching,
        };
        environment.why = None;
        environment.last_operation = operation;
        environment.order = environment.order.max(operation);
        let retried = environment.task.as_ref().is_some_and(|task| task.operation == operation && task.retried);
        environment.task = Some(Task { operation, kind: entry.kind, step: step.clone(), stalled: false, retried });
        if let Some(item) = entry.items.iter_mut().find(|item| &item.environment == id) {
            item.step = step.name();
            item.epoch = environment.epoch;
        }
    }

    fn take_over(&mut self, id: &EnvironmentId, operation: u64, by: u64) {
        let Some(entry) = self.operations.get_mut(&operation) else { return };
        if let Some(item) = entry.items.iter_mut().find(|item| &item.environment == id) {
            item.outcome = Some(Outcome::Completed);
            item.why = Some(format!("operation {by} goes on with it"));
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
        match entry.kind {
            // It changes nothing of how the environment is served.
            OperationKind::SupportTicket => return,
            OperationKind::Delete if outcome == Outcome::Completed => {
                self.retired.insert(id.clone(), environment.epoch);
                self.environments.remove(id);
                return;
            }
            _ => {}
        }
        environment.why = why.cloned();
        match (outcome, entry.kind) {
            // Without a replica an environment is served all the same: nothing is half done.
            (Outcome::Failed, OperationKind::Return) => {}
            (Outcome::Failed, _) => {
                environment.phase = EnvironmentPhase::Failed;
                environment.task.iter_mut().for_each(|task| task.stalled = true);
                return;
            }
            (Outcome::Completed, OperationKind::Deploy) => {
                let kind = environment.given.kind;
                environment.protected = kind.has_replica();
                environment.why = (!kind.has_replica()).then(|| format!("environments of kind {kind} have no replica"));
            }
            (Outcome::Completed, OperationKind::BackUp) => environment.backups.push(operation),
            (
                Outcome::Completed,
                OperationKind::Convert | OperationKind::Return | OperationKind::Restore | OperationKind::Copy,
            )
            | (Outcome::Aborted, _) => {}
            (Outcome::Completed, _) => {
                let to = match environment.is_zonal {
                    true => format!("zone {}", environment.seat(&environment.active)),
                    false => environment.active.to_string(),
                };
                environment.why = Some(format!("no replica streams since the switch to {to}"));
            }
        }
        environment.phase =
            if environment.protected { EnvironmentPhase::Protected } else { EnvironmentPhase::Unprotected };
        environment.task = None;
    }
}

impl Environment {
    /// Another epoch: whatever was promised, granted or withheld under the one before is over.
    fn raise(&mut self, to: Epoch) {
        self.epoch = to;
        self.peer_granting = false;
        self.peer_guard = None;
        self.level = GuardLevel::Clear;
        self.exposed = Exposed::No;
        self.halted_ms = None;
        self.protected = false;
        self.fork = None;
        self.synchronous = None;
    }

    fn new(given: NewEnvironment, epoch: Epoch) -> Self {
        Self {
            epoch,
            active: given.home.clone(),
            granting: true,
            peer_granting: false,
            peer_guard: None,
            level: GuardLevel::Clear,
            exposed: Exposed::No,
            phase: EnvironmentPhase::Deploying,
            why: None,
            dangling: Vec::new(),
            marks_revision: 0,
            seats: BTreeMap::new(),
            synchronous: None,
            task: None,
            last_operation: 0,
            order: 0,
            protected: false,
            halted_ms: None,
            fork: None,
            clean: false,
            is_zonal: false,
            is_retired: false,
            switched_ms: None,
            salvaged: None,
            features: Features::default(),
            backups: Vec::new(),
            given,
        }
    }

    fn fold(&mut self, record: &Record) {
        match record {
            Record::Converted { kind, .. } => self.given.kind = *kind,
            Record::Granting { allowed, .. } => self.granting = *allowed,
            Record::PeerGranting { allowed, guard, .. } => (self.peer_granting, self.peer_guard) = (*allowed, *guard),
            Record::Guard { level, .. } => self.level = *level,
            Record::Exposed { exposed, .. } => self.exposed = *exposed,
            Record::Switched { from, to, active, clean, zone, .. } if *from == self.epoch && to > from => {
                self.raise(*to);
                self.active = active.clone();
                self.granting = true;
                self.clean = *clean;
                self.is_zonal = zone.is_some();
                self.features.order = self.last_operation;
                match zone {
                    Some(zone) => drop(self.seats.insert(active.clone(), *zone)),
                    None => self.features.ticket = None,
                }
            }
            Record::Retired { from, to, .. } if *from == self.epoch && to > from => {
                self.raise(*to);
                self.is_retired = true;
                self.granting = false;
            }
            Record::Synchronous { zone, .. } => self.synchronous = *zone,
            Record::Halted { since_ms, .. } => self.halted_ms = *since_ms,
            Record::Retried { .. } => self.task.iter_mut().for_each(|task| task.retried = true),
            Record::Promoted { fork, .. } => self.fork = Some(*fork),
            Record::Salvaged { region, rows, objects, .. } => {
                self.salvaged = Some(Salvaged { region: region.clone(), rows: *rows, objects: *objects });
            }
            Record::Protected { .. } => {
                self.protected = true;
                self.phase = EnvironmentPhase::Protected;
                self.why = None;
            }
            Record::Provided { epoch, order, .. } => self.features.taken = Some((*epoch, *order)),
            Record::Marked { references, .. } => {
                self.dangling.clone_from(references);
                self.marks_revision += 1;
            }
            _ => {}
        }
    }

    /// The zone of a region in which its side there is.
    pub fn seat(&self, region: &Region) -> Zone {
        self.seats.get(region).copied().unwrap_or_default()
    }

    /// Whether computes of the active region may pass traffic, as far as steps go: not before the stores are open and
    /// what they lack is marked.
    pub fn is_open(&self) -> bool {
        match &self.task {
            None => matches!(self.phase, EnvironmentPhase::Protected | EnvironmentPhase::Unprotected),
            Some(task) => task.kind == OperationKind::Convert || task.step.is_open(),
        }
    }

    /// Whether the active region serves and no step is about to change that.
    pub fn is_settled(&self) -> bool {
        let serves =
            |task: &Task| task.kind == OperationKind::Convert || task.step.is_return() || task.step.is_harmless();
        let is_idle = self.task.as_ref().is_none_or(serves);
        is_idle && self.granting && self.is_open()
    }

    /// The kind that its stores are made for: of a conversion, the one that it leads to.
    pub fn wanted_kind(&self) -> EnvironmentKind {
        let converts = self
            .task
            .as_ref()
            .is_some_and(|task| task.kind == OperationKind::Convert && !matches!(task.step, Step::Withdrawing { .. }));
        let kind = self.given.kind;
        kind.upgrades_to().filter(|_| converts).unwrap_or(kind)
    }

    /// The step under way, unless it has failed.
    pub fn running(&self) -> Option<&Task> {
        self.task.as_ref().filter(|task| !task.stalled)
    }
}
