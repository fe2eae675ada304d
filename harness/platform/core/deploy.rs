//! A deployment, step by step: primary, then replica and files' replication side by side, then the second grantor, then
//! the doors. It is done when all of that holds, since the replica is promised *at* deployment. What is promised no replica
//! has none: nothing of it is in the other region, and control alone grants it permits.

use super::{
    machine::{Core, Turn},
    record::{OperationKind, Outcome, Record, Step},
    state::Task,
};
use crate::api::EnvironmentId;

/// The longest a step of a deployment may take with all its repeats.
pub(super) const STEP_MS_MAX: u64 = 90_000;

impl Core {
    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_deploy(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let has_replica =
            self.state.environments.get(id).is_some_and(|environment| environment.given.kind.has_replica());
        let stands = |environment| !has_replica || self.is_zone_protected(environment);
        let is_open = || {
            self.given.is_opened(id)
                && (!has_replica || self.is_caught_up(turn.now_ms, id))
                && self.state.environments.get(id).is_some_and(stands)
        };
        if !progress.is_done() || (task.step == Step::Opening && !is_open()) {
            if progress.is_late(turn.now_ms, STEP_MS_MAX) {
                let why = progress
                    .trouble("no answer, no compute that asks for permits, or a replica that does not catch up");
                self.stall(turn, id, &why);
            }
            return false;
        }
        match task.step {
            Step::CreatingPrimary if !has_replica => self.enter(turn, id, task.operation, Step::Opening),
            Step::CreatingPrimary => self.enter(turn, id, task.operation, Step::CreatingReplica),
            Step::CreatingReplica => self.enter(turn, id, task.operation, Step::AllowingGrants),
            Step::AllowingGrants => {
                self.peer_allowed(turn, id);
                self.enter(turn, id, task.operation, Step::Opening);
            }
            Step::Opening => {
                self.finish(turn, id, task.operation, Outcome::Completed, None);
                let what = match has_replica {
                    true => "replica and files replicate, doors are open",
                    false => "without a replica, doors are open",
                };
                self.say(turn, "environment.deployed", id, what);
            }
            _ => return false,
        }
        true
    }

    /// Ends an operation for an environment.
    pub(super) fn finish(
        &mut self,
        turn: &mut Turn,
        id: &EnvironmentId,
        operation: u64,
        outcome: Outcome,
        why: Option<String>,
    ) {
        self.record(turn, Record::Finished { environment: id.clone(), operation, outcome, why });
        self.progress.remove(id);
    }

    /// Leaves an environment in its step for an operator.
    pub(super) fn stall(&mut self, turn: &mut Turn, id: &EnvironmentId, why: &str) {
        let Some(task) = self.state.environments.get(id).and_then(|environment| environment.task.clone()) else {
            return;
        };
        let why = match task.kind {
            OperationKind::Deploy => format!("{}: {why}", task.step.name()),
            _ => format!("{}: {why}; order the switch again to go on from this step", task.step.name()),
        };
        self.finish(turn, id, task.operation, Outcome::Failed, Some(why.clone()));
        if task.kind != OperationKind::Deploy {
            self.say(turn, "failover.failed", id, why);
        }
    }
}
