//! A planned switch undone before its register was switched: the old side serves again under the old epoch. Once, it is
//! tried anew within the same operation; what was out of reach is told later, by `repair`.

use super::{
    machine::{Core, Turn},
    record::{Record, RegionStatus, Step},
    state::Task,
};
use crate::api::EnvironmentId;

/// How long the old side is told; a repair goes on after it. Starting a Postgres takes seconds.
const RESTORE_MS_MAX: u64 = 30_000;

impl Core {
    /// Brings the old side back.
    pub(super) fn restore(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task, why: String) {
        self.given.forget_peer(id);
        self.renumber(turn, id);
        self.record(turn, Record::Granting { environment: id.clone(), allowed: true });
        self.enter(turn, id, task.operation, Step::Restoring { why });
    }

    /// Goes on if the old side serves again, or cannot be brought to; says whether it did.
    pub(super) fn advance_restore(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Step::Restoring { why } = &task.step else { return false };
        let Some(progress) = self.progress.get(id) else { return false };
        let Some(environment) = self.state.environments.get(id) else { return false };
        let is_lost = self.state.region(&environment.active) == RegionStatus::Declared;
        if progress.is_done() {
            self.peer_allowed(turn, id);
            self.record(turn, Record::Halted { environment: id.clone(), since_ms: None });
            if task.retried || !self.are_both_fit(turn.now_ms, id) {
                self.abort(turn, id, task.operation, why.clone());
            } else {
                self.record(turn, Record::Retried { environment: id.clone() });
                self.renumber(turn, id);
                self.say(turn, "failover.retried", id, format!("the old side serves again; {why}"));
                self.enter(turn, id, task.operation, Step::Preflight);
            }
        } else if is_lost || progress.is_late(turn.now_ms, RESTORE_MS_MAX) {
            self.abort(turn, id, task.operation, why.clone());
        } else {
            return false;
        }
        true
    }

    fn are_both_fit(&self, now_ms: u64, id: &EnvironmentId) -> bool {
        let environment = self.state.environments.get(id);
        environment.is_some_and(|environment| self.unfit_for(now_ms, environment).is_none())
    }
}
