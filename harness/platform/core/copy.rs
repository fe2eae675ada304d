//! A copy of a production environment put into a sandbox, step by step: rows and files of one moment are taken, customers of both
//! served → the sandbox's compute lets nobody in → what was taken is put in the place of what is there → customers are let in.
//!
//! Production is only read, and never stopped for it: a disaster goes first and ends the copy, everything else that an operator
//! orders for it waits until its data are taken. What cannot be taken is given up, and the sandbox keeps what it has; once it has
//! begun to be put in it is finished, however long that takes.

use super::{
    effect::{AskId, Effect, Refused},
    machine::{Core, Turn},
    orders::check_idle,
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    return_::{FAILING_MS_MAX, STEP_MS_MAX},
    state::Task,
};
use crate::api::{EnvironmentId, Epoch};

impl Core {
    pub(super) fn order_copy(&mut self, turn: &mut Turn, ask: AskId, from: &EnvironmentId, to: &EnvironmentId) {
        let result = self.check_copy(from, to).and_then(|epoch| {
            let operation = self.state.next_operation();
            let (kind, environments) = (OperationKind::Copy, vec![to.clone()]);
            self.record(turn, Record::Began { operation, kind, environments });
            self.enter(turn, to, operation, Step::Copying { source: from.clone(), epoch });
            let detail = format!("from {from}, which is served on; what {to} holds is given up for it");
            self.say(turn, "environment.copying", to, detail);
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    /// The epoch of what is copied, if it may be now.
    fn check_copy(&self, from: &EnvironmentId, to: &EnvironmentId) -> Result<Epoch, Refused> {
        let (source, target) = (self.known(from)?, self.known(to)?);
        let (source_kind, kind) = (source.given.kind, target.given.kind);
        if !kind.is_sandbox() {
            return Err(Refused::not_allowed(format!("`{to}` is a {kind}: a copy is put into a sandbox alone")));
        }
        if !source_kind.has_replica() || source_kind.product() != kind.product() {
            return Err(Refused::not_allowed(format!(
                "`{from}` is a {source_kind}: into a {kind} a production environment of {} is copied",
                kind.product()
            )));
        }
        if source.given.tenant != target.given.tenant {
            return Err(Refused::not_allowed(format!("`{from}` and `{to}` are not of one tenant")));
        }
        check_idle(to, target)?;
        check_idle(from, source)?;
        let (active, other) = (&target.active, &source.active);
        if active != other {
            return Err(Refused::not_now(format!(
                "`{from}` is served from {other} and `{to}` from {active}: a copy is made within a region"
            )));
        }
        if self.state.region(active) == RegionStatus::Declared {
            return Err(Refused::not_now(format!("region {active} of `{from}` and `{to}` is declared lost")));
        }
        if !source.dangling.is_empty() {
            return Err(Refused::not_now(format!(
                "{} rows of `{from}` lack their object since its last switch: copy it once they are repaired",
                source.dangling.len()
            )));
        }
        Ok(source.epoch)
    }

    /// Whether nobody is taking a copy of an environment.
    pub(super) fn check_uncopied(&self, id: &EnvironmentId) -> Result<(), Refused> {
        match self.copies_of(id).next() {
            Some((to, operation)) => Err(Refused::not_now(format!(
                "operation {operation} (copy) reads `{id}` for `{to}`: wait until its data are taken"
            ))),
            None => Ok(()),
        }
    }

    /// The sandboxes for which an environment is read just now, with their operations.
    fn copies_of<'a>(&'a self, id: &'a EnvironmentId) -> impl Iterator<Item = (&'a EnvironmentId, u64)> {
        self.state.environments.iter().filter_map(move |(to, environment)| match environment.running() {
            Some(Task { operation, step: Step::Copying { source, .. }, .. }) if source == id => Some((to, *operation)),
            _ => None,
        })
    }

    /// A disaster goes first: whatever is read of these environments is given up.
    pub(super) fn end_copies_of(&mut self, turn: &mut Turn, ids: &[EnvironmentId]) {
        for id in ids {
            let copies: Vec<_> = self.copies_of(id).map(|(to, operation)| (to.clone(), operation)).collect();
            for (to, operation) in copies {
                self.end_copy(turn, &to, operation, &format!("{id} is failed over"));
            }
        }
    }

    /// Gives up a copy of which nothing was put in: the sandbox was not touched.
    pub(super) fn end_copy(&mut self, turn: &mut Turn, to: &EnvironmentId, operation: u64, why: &str) {
        let why = format!("copying: {why}");
        self.finish(turn, to, operation, Outcome::Aborted, Some(why.clone()));
        self.say(turn, "environment.not-copied", to, why);
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_copy(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        if !progress.is_done() {
            let is_failing = progress.is_failing() && progress.is_late(turn.now_ms, FAILING_MS_MAX);
            let is_hopeless = is_failing || progress.is_late(turn.now_ms, STEP_MS_MAX);
            if is_hopeless && matches!(task.step, Step::Copying { .. } | Step::Quieting) {
                let why = progress.trouble("no answer in time");
                self.give_up(turn, id, &why);
                return true;
            }
            return false;
        }
        let operation = task.operation;
        match &task.step {
            Step::Copying { .. } => self.enter(turn, id, operation, Step::Quieting),
            Step::Quieting => self.enter(turn, id, operation, Step::PuttingIn),
            Step::PuttingIn => self.enter(turn, id, operation, Step::Reopening { why: None }),
            Step::Reopening { why: None } => {
                self.finish(turn, id, operation, Outcome::Completed, None);
                self.say(turn, "environment.copied", id, "it holds the rows and files that were taken");
            }
            Step::Reopening { why: Some(why) } => {
                self.finish(turn, id, operation, Outcome::Aborted, Some(why.clone()));
                self.say(turn, "environment.not-copied", id, why.clone());
            }
            _ => return false,
        }
        true
    }
}
