//! Back-up and restore of what has no replica, step by step: the compute lets nobody in and ends what is under way → the node copies
//! rows and files, or puts a copy back in their place → customers are let in again. Nothing is written in between, so that rows and
//! files are of one moment.
//!
//! A back-up that cannot be made is given up, and customers are served as before. A restore is given up while nothing has been put
//! back; once it has begun it is finished, however long that takes: what is half there is served to nobody.
//!
//! A back-up is called by the number of its operation, and exists from the record of its completion on: whatever a node has of one
//! that was given up is never put back.

use super::{
    effect::{AskId, Effect, Refused},
    machine::{Core, Turn},
    orders::check_idle,
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    return_::{FAILING_MS_MAX, STEP_MS_MAX},
    state::Task,
};
use crate::api::EnvironmentId;

impl Core {
    pub(super) fn order_back_up(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId) {
        let result = self.check_back_up(id).and_then(|()| {
            let operation = self.quiet(turn, id, OperationKind::BackUp);
            self.say(turn, "environment.backing-up", id, "nobody is let in meanwhile".to_owned());
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    pub(super) fn order_restore(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId) {
        let result = self.check_back_up(id).and_then(|()| self.last_back_up(id)).and_then(|backup| {
            let operation = self.quiet(turn, id, OperationKind::Restore);
            self.say(
                turn,
                "environment.restoring",
                id,
                format!("from back-up {backup}; what came after it is given up"),
            );
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    fn quiet(&mut self, turn: &mut Turn, id: &EnvironmentId, kind: OperationKind) -> u64 {
        let operation = self.state.next_operation();
        self.record(turn, Record::Began { operation, kind, environments: vec![id.clone()] });
        self.enter(turn, id, operation, Step::Quieting);
        operation
    }

    /// Whether an environment may be backed up or restored now.
    fn check_back_up(&self, id: &EnvironmentId) -> Result<(), Refused> {
        let environment = self.known(id)?;
        let kind = environment.given.kind;
        if kind.has_replica() {
            return Err(Refused::not_allowed(format!(
                "`{id}` is a {kind}, which its replica protects: back-up and restore are for what has none"
            )));
        }
        check_idle(id, environment)?;
        if self.state.region(&environment.active) == RegionStatus::Declared {
            return Err(Refused::not_now(format!("region {} of `{id}` is declared lost", environment.active)));
        }
        Ok(())
    }

    fn last_back_up(&self, id: &EnvironmentId) -> Result<u64, Refused> {
        let backups = self.state.environments.get(id).map(|environment| environment.backups.as_slice());
        let last = backups.and_then(<[u64]>::last).copied();
        last.ok_or_else(|| Refused::not_now(format!("there is no back-up of `{id}`: make one first")))
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_back_up(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        if !progress.is_done() {
            let is_failing = progress.is_failing() && progress.is_late(turn.now_ms, FAILING_MS_MAX);
            let is_hopeless = is_failing || progress.is_late(turn.now_ms, STEP_MS_MAX);
            if is_hopeless && matches!(task.step, Step::Quieting | Step::BackingUp) {
                let why = progress.trouble("no answer in time");
                self.give_up(turn, id, &why);
                return true;
            }
            return false;
        }
        let operation = task.operation;
        match (&task.step, task.kind) {
            (Step::Quieting, OperationKind::Restore) => match self.last_back_up(id) {
                Ok(backup) => self.enter(turn, id, operation, Step::PuttingBack { backup }),
                Err(refused) => self.give_up(turn, id, &refused.why),
            },
            (Step::Quieting, _) => self.enter(turn, id, operation, Step::BackingUp),
            (Step::BackingUp | Step::PuttingBack { .. }, _) => {
                self.enter(turn, id, operation, Step::Reopening { why: None });
            }
            (Step::Reopening { why: None }, kind) => {
                self.finish(turn, id, operation, Outcome::Completed, None);
                match kind {
                    OperationKind::Restore => {
                        self.say(turn, "environment.restored", id, "rows and files are put back".to_owned())
                    }
                    _ => self.say(turn, "environment.backed-up", id, format!("back-up {operation}")),
                }
            }
            (Step::Reopening { why: Some(why) }, kind) => {
                self.finish(turn, id, operation, Outcome::Aborted, Some(why.clone()));
                let name = if kind == OperationKind::Restore {
                    "environment.not-restored"
                } else {
                    "environment.not-backed-up"
                };
                self.say(turn, name, id, why.clone());
            }
            _ => return false,
        }
        true
    }
}
