//! A return, step by step: what the returning side holds is secured and itemised before anything starts there → its Postgres
//! follows the live side, and the old direction of the files is closed → files replicate back → its files are made equal →
//! gaps of the live side are repaired and the returning side's node may grant: protected again.
//!
//! It begins by itself once the other region is fit, where policy has it so, or as the first part of a failback. Customers
//! notice nothing of it.

use super::{
    machine::{Core, Turn},
    parts::Part,
    record::{OperationKind, Outcome, Record, Step},
    state::Task,
};
use crate::api::{
    EnvironmentId,
    environment::EnvironmentPhase,
    node::{Answer, Rejoin},
    sabotage::Sabotage,
};

/// The longest a step may take: more than the longest call.
pub(super) const STEP_MS_MAX: u64 = 330_000;
/// How long a step may be repeated after failures.
pub(super) const FAILING_MS_MAX: u64 = 15_000;
/// Returns tried by itself until the region has been lost and heard again.
const ATTEMPTS_MAX: u32 = 8;
/// The pause after the first return that failed; it doubles.
const PAUSE_MS: u64 = 2_000;
/// The longest.
const PAUSE_MS_MAX: u64 = 60_000;

impl Core {
    /// Begins returns wherever one is due and nothing else is under way.
    pub(super) fn return_replicas(&mut self, turn: &mut Turn) {
        // A conversion holds nobody's replica up, nor does a deletion: it may be waiting for a region to be undone in, or removed from.
        let is_idle = |task: &Task| {
            task.stalled || matches!(task.kind, OperationKind::Return | OperationKind::Convert | OperationKind::Delete)
        };
        let all_idle =
            self.state.environments.values().all(|environment| environment.task.as_ref().is_none_or(is_idle));
        if !self.settings.policy.automatic_return || !all_idle {
            return;
        }
        let ids: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.task.is_none())
            .filter(|(_, environment)| environment.phase == EnvironmentPhase::Unprotected && environment.fork.is_some())
            .filter(|(id, _)| {
                let (tried, next_ms) = self.returns.get(*id).copied().unwrap_or_default();
                tried < ATTEMPTS_MAX && next_ms <= turn.now_ms
            })
            .filter(|(_, environment)| self.unfit_for(turn.now_ms, environment).is_none())
            .map(|(id, _)| id.clone())
            .collect();
        if ids.is_empty() {
            return;
        }
        let operation = self.state.next_operation();
        let kind = OperationKind::Return;
        self.record(turn, Record::Began { operation, kind, environments: ids.clone() });
        for id in ids {
            self.enter(turn, &id, operation, self.first_of_return(&id));
            self.say(turn, "environment.returning", &id, "the other region is fit again");
        }
    }

    /// A zone's failover leaves the other region nothing that would have to be made safe.
    pub(super) fn first_of_return(&self, id: &EnvironmentId) -> Step {
        let is_zonal = self.state.environments.get(id).is_some_and(|environment| environment.is_zonal);
        if is_zonal { Step::Following } else { Step::Securing }
    }

    /// A failback goes on with a return under way: its calls are not asked for a second time.
    pub(super) fn adopt(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task, by: u64) {
        let (environment, operation) = (id.clone(), task.operation);
        self.record(turn, Record::TakenOver { environment, operation, by });
        self.record(turn, Record::Entered { environment: id.clone(), operation: by, step: task.step.clone() });
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_return(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        if self.settings.sabotage == Some(Sabotage::ProtectedEarly) {
            self.protect(turn, id, task);
            return true;
        }
        // A replica is one from when it has caught up: the guard is in force from then on.
        let is_behind = || matches!(task.step, Step::Protecting { .. }) && !self.is_caught_up(turn.now_ms, id);
        if !progress.is_done() || is_behind() {
            let is_failing = progress.is_failing() && progress.is_late(turn.now_ms, FAILING_MS_MAX);
            if is_failing || progress.is_late(turn.now_ms, STEP_MS_MAX) {
                let why = progress.trouble("no answer in time, or replication that does not catch up");
                self.give_up(turn, id, &why);
                return true;
            }
            return false;
        }
        match task.step {
            Step::Securing => self.enter(turn, id, task.operation, Step::Rejoining),
            Step::Following => {
                self.say(turn, "environment.rejoined", id, "it follows the zone that has taken over");
                // What the lost zone had under way may have gone no further than its own store.
                self.enter(turn, id, task.operation, Step::ReturningFiles);
            }
            Step::Rejoining => {
                let how = match progress.answer(Part::Rejoin) {
                    Some(Answer::Rejoined(Rejoin::Followed)) => "it follows as it was",
                    Some(Answer::Rejoined(Rejoin::Rewound)) => "it was rewound",
                    Some(Answer::Rejoined(Rejoin::Rebuilt)) => "it was copied anew",
                    _ => "it streams",
                };
                self.say(turn, "environment.rejoined", id, how);
                self.enter(turn, id, task.operation, Step::ReplicatingBack);
            }
            Step::ReplicatingBack => self.enter(turn, id, task.operation, Step::ReturningFiles),
            Step::ReturningFiles => self.fill_gaps(turn, id, task),
            Step::Protecting { .. } => self.protect(turn, id, task),
            _ => return false,
        }
        true
    }

    /// Takes what the returning side alone had.
    pub(super) fn take_salvage(
        &mut self,
        turn: &mut Turn,
        id: &EnvironmentId,
        diverged: bool,
        rows: u64,
        objects: u64,
    ) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(region) = self.settings.peer(&environment.active).cloned() else { return };
        self.record(turn, Record::Salvaged { environment: id.clone(), region, rows, objects });
        let how = if diverged { "its log goes on past the fork" } else { "its log has not diverged" };
        self.say(turn, "environment.secured", id, format!("{how}; {rows} rows and {objects} object versions salvaged"));
    }

    fn fill_gaps(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let gaps = match self.progress.get(id).and_then(|progress| progress.answer(Part::ReturnFiles)) {
            Some(Answer::FilesReturned { gaps, .. }) => gaps.clone(),
            _ => Vec::new(),
        };
        if !gaps.is_empty() {
            let detail = format!("{} object versions had not arrived at a switch without loss: repaired", gaps.len());
            self.say(turn, "environment.gaps", id, detail);
        }
        self.enter(turn, id, task.operation, Step::Protecting { gaps });
    }

    fn protect(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let dangling = self.state.environments.get(id).map_or(0, |environment| environment.dangling.len());
        self.returns.remove(id);
        self.peer_allowed(turn, id);
        self.record(turn, Record::Protected { environment: id.clone() });
        if task.kind == OperationKind::Return {
            self.finish(turn, id, task.operation, Outcome::Completed, None);
        }
        self.say(turn, "environment.protected", id, format!("both stores follow; {dangling} rows lack their object"));
        self.resume_guard(turn, id);
        if task.kind != OperationKind::Return {
            self.enter(turn, id, task.operation, Step::Preflight);
        }
    }

    /// Customers are served as before; it is tried again after a pause.
    pub(super) fn fail_return(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task, why: &str) {
        let (tried, next_ms) = self.returns.entry(id.clone()).or_default();
        *next_ms = turn.now_ms + (PAUSE_MS << (*tried).min(10)).min(PAUSE_MS_MAX);
        *tried += 1;
        let why = format!("{}: {why}", task.step.name());
        if task.kind == OperationKind::Return {
            self.finish(turn, id, task.operation, Outcome::Failed, Some(why.clone()));
            self.say(turn, "environment.return-failed", id, why);
        } else {
            self.say(turn, "environment.return-failed", id, why.clone());
            self.abort(turn, id, task.operation, why);
        }
    }
}
