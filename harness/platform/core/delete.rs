//! A deletion, step by step: the register is switched for the last time, to an epoch under which nobody serves → the edge leads
//! nobody there, and the fence is confirmed or waited out → both regions remove whatever they have of it → its name is free.
//!
//! It is past undoing from its order on: whatever crashes, it goes on and is finished, however long a region is away. Customers do not
//! wait for that region, its name does: so nothing that comes back can be taken for a later environment of the same name, which begins
//! empty, with an epoch after the last one of this.

use super::{
    effect::{AskId, Effect, Refused},
    machine::{Core, Turn},
    orders::check_under_way,
    parts::Part,
    record::{OperationKind, Outcome, Record, Step},
    state::Task,
};
use crate::api::EnvironmentId;

impl Core {
    pub(super) fn order_deletion(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId) {
        let result = match self.deletion_of(id) {
            // Asked for a second time, it is the same.
            Some(operation) => self.order_answer(operation),
            None => self.check_deletion(id).and_then(|()| {
                let operation = self.begin_deletion(turn, id);
                self.order_answer(operation)
            }),
        };
        turn.effects.push(Effect::Answer { ask, result });
    }

    /// The deletion under way for an environment.
    fn deletion_of(&self, id: &EnvironmentId) -> Option<u64> {
        let environment = self.state.environments.get(id)?;
        environment.is_retired.then_some(environment.last_operation)
    }

    /// Whether an environment may be deleted now. One whose deployment, or whose switch, has failed may, and so may one whose region is
    /// lost: to wait for either is no reason to keep it.
    fn check_deletion(&self, id: &EnvironmentId) -> Result<(), Refused> {
        check_under_way(id, self.known(id)?)?;
        self.check_uncopied(id)
    }

    fn begin_deletion(&mut self, turn: &mut Turn, id: &EnvironmentId) -> u64 {
        let operation = self.state.next_operation();
        let (kind, environments) = (OperationKind::Delete, vec![id.clone()]);
        self.record(turn, Record::Began { operation, kind, environments });
        self.close_ticket(turn, id, Outcome::Aborted, Some(format!("{id} was deleted before it was done")));
        self.forget_word(id);
        self.given.forget_peer(id);
        if let Some(from) = self.state.environments.get(id).map(|environment| environment.epoch) {
            self.record(turn, Record::Retired { environment: id.clone(), from, to: from.next() });
        }
        self.enter(turn, id, operation, Step::Closing);
        self.say(turn, "environment.deleting", id, "ordered by an operator: it cannot be undone");
        operation
    }

    /// When no permit of the environment can be alive any more; `None` while the other grantor has not confirmed that it stopped.
    pub(super) fn closes_ms(&self, id: &EnvironmentId) -> Option<u64> {
        let has_grantor = self.state.environments.get(id)?.given.kind.has_replica();
        match has_grantor {
            true => self.fence_ends_ms(id),
            false => Some(self.given.last(id) + self.settings.grant_lives_ms()),
        }
    }

    /// Whether nobody can be answered any more: the edge leads nobody there, and the compute has durably stopped, or every permit is
    /// over.
    fn is_closed(&self, now_ms: u64, id: &EnvironmentId) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let is_fenced =
            progress.answer(Part::Drain).is_some() || self.closes_ms(id).is_some_and(|closes_ms| closes_ms <= now_ms);
        progress.answer(Part::Route).is_some() && is_fenced
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_deletion(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        match task.step {
            Step::Closing if self.is_closed(turn.now_ms, id) => {
                self.say(turn, "environment.closed", id, "nobody is answered any more: what it holds is removed");
                self.enter(turn, id, task.operation, Step::Deleting);
            }
            Step::Deleting if self.progress.get(id).is_some_and(|progress| progress.is_done()) => {
                // What is said of an environment is said while there is one.
                self.say(turn, "environment.deleted", id, "nothing of it is left in either region: its name is free");
                self.finish(turn, id, task.operation, Outcome::Completed, None);
                self.forget_environment(id);
            }
            _ => return false,
        }
        true
    }

    /// What was known of it would be taken for what is known of a later one of its name.
    fn forget_environment(&mut self, id: &EnvironmentId) {
        self.given.forget(id);
        self.zones.forget(id);
        self.samples.remove(id);
        self.laid_aside.remove(id);
        self.calls.retain(|_, (of, _)| of != id);
        self.attempts.remove(id);
        self.returns.remove(id);
        self.repairs.retain(|(of, _), _| of != id);
        self.mended.retain(|(of, _)| of != id);
        self.claims.retain(|(of, _), _| of != id);
        self.promotions.remove(id);
    }
}
