//! A conversion to production, step by step: the serving side made ready for a replica → stores in the other region, and the
//! files' replication → the files that were there before → the second grantor; protected, and of its new kind, at once.
//! Customers are served as before all the while, and what they wrote before is in the replica before it is called one.
//!
//! What cannot be done is undone: nothing of a replica is left in either region, and the operation runs until that is so. The
//! kind changes with the last record alone, so that whoever looks sees one or the other.

use super::{
    effect::{AskId, Effect, Refused},
    machine::{Core, Turn},
    orders::check_idle,
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    return_::{FAILING_MS_MAX, STEP_MS_MAX},
    state::Task,
};
use crate::api::{EnvironmentId, environment::EnvironmentKind};

impl Core {
    pub(super) fn order_conversion(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId) {
        let result = self.check_conversion(turn.now_ms, id).and_then(|to| {
            let operation = self.state.next_operation();
            let (kind, environments) = (OperationKind::Convert, vec![id.clone()]);
            self.record(turn, Record::Began { operation, kind, environments });
            self.enter(turn, id, operation, Step::PreparingReplica);
            self.say(turn, "environment.converting", id, format!("to {to}, ordered by an operator"));
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    /// The kind that it would become.
    fn check_conversion(&self, now_ms: u64, id: &EnvironmentId) -> Result<EnvironmentKind, Refused> {
        let environment = self.known(id)?;
        let (kind, tenant) = (environment.given.kind, &environment.given.tenant);
        let Some(to) = kind.upgrades_to() else {
            let why = match kind.has_replica() {
                true => format!("`{id}` is a {kind} already"),
                false => format!("`{id}` is a {kind}, which has no upgrade to production"),
            };
            return Err(Refused::not_allowed(why));
        };
        let is_licensed = self.state.tenants.get(tenant).is_some_and(|tenant| tenant.licences.contains(&to.product()));
        if !is_licensed {
            let product = to.product();
            return Err(Refused::not_allowed(format!(
                "tenant `{tenant}` has no licence for {product}: assign one first"
            )));
        }
        check_idle(id, environment)?;
        for region in &self.settings.regions {
            if let Some(why) = self.unfit(now_ms, region) {
                return Err(Refused::not_now(format!("region {region} is not fit for a replica of `{id}`: {why}")));
            }
        }
        Ok(to)
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_convert(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let is_done = progress.is_done();
        if let Step::Withdrawing { why } = &task.step {
            if is_done {
                self.finish(turn, id, task.operation, Outcome::Aborted, Some(why.clone()));
                self.say(turn, "environment.not-converted", id, why.clone());
            }
            return is_done;
        }
        let is_behind = matches!(task.step, Step::Protecting { .. }) && !self.is_caught_up(turn.now_ms, id);
        if !is_done || is_behind {
            let Some(why) = self.is_conversion_hopeless(turn.now_ms, id) else { return false };
            self.give_up(turn, id, &why);
            return true;
        }
        match task.step {
            Step::PreparingReplica => self.enter(turn, id, task.operation, Step::CreatingReplica),
            Step::CreatingReplica => self.enter(turn, id, task.operation, Step::ReturningFiles),
            Step::ReturningFiles => self.enter(turn, id, task.operation, Step::Protecting { gaps: Vec::new() }),
            Step::Protecting { .. } => self.convert(turn, id, task),
            _ => return false,
        }
        true
    }

    fn is_conversion_hopeless(&self, now_ms: u64, id: &EnvironmentId) -> Option<String> {
        let lost = self.settings.regions.iter().find(|region| self.state.region(region) == RegionStatus::Declared);
        if let Some(region) = lost {
            return Some(format!("region {region} is declared lost"));
        }
        let progress = self.progress.get(id)?;
        let is_failing = progress.is_failing() && progress.is_late(now_ms, FAILING_MS_MAX);
        let is_late = is_failing || progress.is_late(now_ms, STEP_MS_MAX);
        is_late.then(|| progress.trouble("no answer in time, or replication that does not catch up"))
    }

    fn convert(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let kind = environment.wanted_kind();
        self.peer_allowed(turn, id);
        self.record(turn, Record::Converted { environment: id.clone(), kind });
        self.record(turn, Record::Protected { environment: id.clone() });
        self.finish(turn, id, task.operation, Outcome::Completed, None);
        self.say(turn, "environment.converted", id, format!("it is a {kind}, and both stores follow"));
        self.resume_guard(turn, id);
    }

    /// Begins to undo: under a number of its own, so that what was sent before cannot make a replica after it.
    pub(super) fn withdraw(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task, why: String) {
        self.given.forget_peer(id);
        self.renumber(turn, id);
        self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: false, guard: None });
        self.enter(turn, id, task.operation, Step::Withdrawing { why });
    }
}
