//! What all switches share: an attempt that is given up, the compare-and-swap of the register, the promotion, the end.

use super::{
    machine::{Core, Turn},
    progress::Progress,
    record::{OperationKind, Outcome, Record, Step},
    state::Task,
};
use crate::api::{
    EnvironmentId,
    control::{FileReference, NOTHING_LOST, NoticeKind},
    node::Fork,
    sabotage::Sabotage,
};

/// The longest a step after the switch may take with all its repeats.
const FORWARD_MS_MAX: u64 = 60_000;
/// How long a platform that is sabotaged so does nothing after a promotion.
const DAWDLE_MS: u64 = 12_000;

impl Core {
    /// A fresh number for the environment's commands: what was sent under an older one cannot undo what is sent now.
    pub(super) fn renumber(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let order = self.state.next_operation();
        self.record(turn, Record::Ordered { environment: id.clone(), order });
    }

    /// Past the switch of the register an environment that failed goes on from its step, under a new operation.
    pub(super) fn go_on_if_stalled(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64) -> bool {
        let task = self.state.environments.get(id).and_then(|environment| environment.task.clone());
        let Some(task) = task.filter(|task| task.stalled) else { return false };
        self.enter(turn, id, operation, task.step);
        self.say(turn, "failover.started", id, "goes on from the step that failed");
        true
    }

    /// Gives up the step that an environment is in. Before the switch of the register: undoes. After it: stands still and
    /// says so. While undoing: leaves the rest to the repair.
    pub(super) fn give_up(&mut self, turn: &mut Turn, id: &EnvironmentId, why: &str) {
        let running = self.state.environments.get(id).and_then(|environment| environment.running());
        let Some(task) = running.cloned() else { return };
        match (&task.step, task.kind) {
            // What is being undone is undone, however long it takes.
            (Step::Withdrawing { .. }, _) => {}
            // So is what is deleted.
            (_, OperationKind::Delete) => {}
            // What has begun to be put back is put back; and customers are let in again.
            (Step::PuttingBack { .. } | Step::PuttingIn | Step::Reopening { .. }, _) => {}
            (Step::Copying { .. }, _) => self.end_copy(turn, id, task.operation, why),
            (step, OperationKind::BackUp | OperationKind::Restore | OperationKind::Copy) => {
                let why = Some(format!("{}: {why}", step.name()));
                self.enter(turn, id, task.operation, Step::Reopening { why });
            }
            (step, OperationKind::Convert) => self.withdraw(turn, id, &task, format!("{}: {why}", step.name())),
            (step, _) if step.is_return() => self.fail_return(turn, id, &task, why),
            (Step::Undoing { why } | Step::Restoring { why }, _) => self.abort(turn, id, task.operation, why.clone()),
            (step, kind) if kind.is_planned() && step.is_harmless() => {
                self.abort(turn, id, task.operation, format!("{}: {why}", step.name()));
            }
            (step, kind) if kind.is_planned() && step.is_stopped() => {
                self.restore(turn, id, &task, format!("{}: {why}", step.name()));
            }
            (Step::StoppingGrants | Step::Notifying { .. } | Step::Fencing, kind) if kind.is_forced() => {
                self.undo(turn, id, &task, why);
            }
            _ => self.stall(turn, id, why),
        }
    }

    /// Ends an operation for an environment as if it had not been.
    pub(super) fn abort(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64, why: String) {
        self.pause_attempts(turn, id);
        let kind = self.state.operations.get(&operation).map_or(OperationKind::UnplannedFailover, |entry| entry.kind);
        self.finish(turn, id, operation, Outcome::Aborted, Some(why.clone()));
        self.say(turn, &kind.event("aborted"), id, why);
    }

    /// Compare-and-swap of the register: from here only forward.
    pub(super) fn switch(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(active) = self.settings.peer(&environment.active).cloned() else { return };
        let (from, to) = (environment.epoch, environment.epoch.next());
        self.lay_aside_claims(id);
        let why = format!("{id} was switched to {active} before it was done");
        self.close_ticket(turn, id, Outcome::Aborted, Some(why));
        self.forget_word(id);
        let clean = task.kind.is_planned();
        self.record(turn, Record::Switched { environment: id.clone(), from, to, active, clean, zone: None });
        self.say(turn, "failover.switched", id, "epoch register switched: from here only forward");
        self.enter(turn, id, task.operation, Step::Promoting);
    }

    /// The steps after the switch of the register, the same for every kind.
    pub(super) fn advance_forward(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let Some(environment) = self.state.environments.get(id) else { return false };
        let (is_done, operation) = (progress.is_done(), task.operation);
        match &task.step {
            Step::Promoting if self.dawdles(turn.now_ms, progress) => return false,
            Step::Promoting if is_done => {
                let detail = self.promotions.get(id).cloned().unwrap_or_default();
                // Marks of an earlier loss are known to the old side's node alone.
                let has_marks = task.kind == OperationKind::UnplannedFailover || !environment.dangling.is_empty();
                let next = if has_marks { Step::Reconciling } else { Step::Opening };
                self.say(turn, &task.kind.event("promoted"), id, detail);
                self.enter(turn, id, operation, next);
            }
            Step::Reconciling if is_done => self.enter(turn, id, operation, Step::Opening),
            Step::Opening if is_done && self.given.is_opened(id) && task.kind == OperationKind::ZoneFailover => {
                self.complete_zone(turn, id, task);
            }
            Step::Opening if is_done && self.given.is_opened(id) => self.complete_switch(turn, id, task),
            _ if progress.is_late(turn.now_ms, FORWARD_MS_MAX) => {
                let why = progress.trouble("no answer in time");
                self.give_up(turn, id, &why);
            }
            _ => return false,
        }
        true
    }

    fn dawdles(&self, now_ms: u64, progress: &Progress) -> bool {
        self.settings.sabotage == Some(Sabotage::SlowSwitch) && !progress.is_late(now_ms, DAWDLE_MS)
    }

    pub(super) fn take_promotion(&mut self, turn: &mut Turn, id: &EnvironmentId, timeline: u32, fork_lsn: u64) {
        let clean = self.state.environments.get(id).is_some_and(|environment| environment.clean);
        let estimate = self.estimated_loss(id, fork_lsn);
        let estimate = if clean { NOTHING_LOST.to_owned() } else { estimate };
        self.promotions.insert(id.clone(), format!("{estimate} (timeline {timeline})"));
        let fork = Fork { timeline, lsn: fork_lsn };
        self.record(turn, Record::Promoted { environment: id.clone(), fork });
    }

    pub(super) fn take_marks(
        &mut self,
        turn: &mut Turn,
        id: &EnvironmentId,
        references: Vec<FileReference>,
        orphans: u64,
    ) {
        let detail =
            format!("{} rows lack their object and are marked, {orphans} objects lack a row", references.len());
        self.record(turn, Record::Marked { environment: id.clone(), references });
        let running = self.state.environments.get(id).and_then(|environment| environment.running());
        if running.is_some_and(|task| task.step == Step::Reconciling) {
            self.say(turn, "failover.reconciled", id, detail);
        }
    }

    fn complete_switch(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let (active, dangling) = (environment.active.clone(), environment.dangling.len());
        let unknown = if environment.clean { NOTHING_LOST } else { "estimated loss window: not known" };
        let estimate = self.promotions.remove(id).unwrap_or_else(|| unknown.to_owned());
        self.attempts.remove(id);
        self.say(turn, "failover.routed", id, format!("{active} serves"));
        self.finish(turn, id, task.operation, Outcome::Completed, None);
        self.say(turn, "failover.completed", id, format!("{estimate}; unprotected until a replica streams again"));
        self.suspend_guard(turn, id);
        let text = format!(
            "{id} is served from {active}; {estimate}; {dangling} rows lack their file and are marked; there is no replica \
             until one has come back, and the data-loss guard is suspended"
        );
        self.notify(turn, id, task.operation, NoticeKind::Completed, text);
    }
}
