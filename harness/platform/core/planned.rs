//! A planned failover or failback, step by step: both sides looked at → turn awaited → customers notified → checkpoints →
//! compute drained → old side handed over, its files arrived, both grantors stopped → its log replayed to the end → register
//! switched → promoted, opened. Until the register is switched, whatever is not met brings the old side back.
//!
//! Its fence is a confirmed one: the compute has durably sealed and the node has durably handed over, so that no permit,
//! however long it lives, lets anything be acknowledged there.

use super::{
    machine::{Core, Turn},
    parts::Part,
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    state::Task,
};
use crate::api::{EnvironmentId, control::NoticeKind, node::Answer, sabotage::Sabotage};

/// The longest look at both sides: full listings of large buckets take their time.
const PREFLIGHT_MS_MAX: u64 = 310_000;
/// The longest that checkpoints may take.
const CHECKPOINT_MS_MAX: u64 = 60_000;

impl Core {
    /// Begins a planned switch of these environments. What has no replica gets one first; a return under way is taken over.
    pub(super) fn begin_planned(&mut self, turn: &mut Turn, ids: &[EnvironmentId], kind: OperationKind) -> u64 {
        let operation = self.state.next_operation();
        self.record(turn, Record::Began { operation, kind, environments: ids.to_vec() });
        for id in ids {
            if self.go_on_if_stalled(turn, id, operation) {
                continue;
            }
            let Some(environment) = self.state.environments.get(id) else { continue };
            let detail = match environment.task.clone() {
                Some(task) => {
                    self.adopt(turn, id, &task, operation);
                    "ordered by an operator; goes on with the return under way"
                }
                None if environment.protected => {
                    self.enter(turn, id, operation, Step::Preflight);
                    "ordered by an operator"
                }
                None => {
                    self.enter(turn, id, operation, self.first_of_return(id));
                    "ordered by an operator; a replica must come back first"
                }
            };
            self.say(turn, "failover.started", id, detail);
        }
        operation
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_planned(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        if let Some(why) = self.is_hopeless(turn, id, task) {
            self.give_up(turn, id, &why);
            return true;
        }
        let Some(progress) = self.progress.get(id) else { return false };
        let (is_done, operation) = (progress.is_done(), task.operation);
        match (&task.step, self.settings.sabotage) {
            (Step::Preflight, Some(Sabotage::SwitchInWordsOnly)) if is_done => {
                self.finish(turn, id, operation, Outcome::Completed, None);
                self.say(turn, "failover.completed", id, "nothing is lost");
                return true;
            }
            (Step::CatchingUp { .. }, Some(Sabotage::AlwaysAbort)) => {
                self.give_up(turn, id, "it is always undone");
                return true;
            }
            _ => {}
        }
        match &task.step {
            Step::Preflight if is_done => {
                self.say(turn, "failover.preflighted", id, "both sides are fit, replication has caught up");
                self.enter(turn, id, operation, Step::Waiting);
            }
            Step::Waiting if self.may_stop(id, operation) => self.announce_planned(turn, id, task),
            Step::Notifying { .. } if progress.noticed || progress.notice_due_ms <= turn.now_ms => {
                self.say(turn, "failover.notified", id, "first attempts made, or their time is over");
                self.enter(turn, id, operation, Step::Checkpointing);
            }
            Step::Checkpointing if is_done => {
                let since_ms = Some(self.age_ms + turn.now_ms);
                self.record(turn, Record::Halted { environment: id.clone(), since_ms });
                self.enter(turn, id, operation, Step::Draining);
            }
            Step::Draining if is_done => self.hand_over(turn, id, task),
            Step::HandingOver { .. } if is_done => self.catch_up(turn, id, task),
            Step::CatchingUp { .. } if is_done && self.is_there_ready(turn.now_ms, id) => {
                self.say(turn, "failover.caught-up", id, "the other side has replayed the whole log");
                self.switch(turn, id, task);
            }
            Step::Restoring { .. } => return self.advance_restore(turn, id, task),
            Step::Promoting | Step::Reconciling | Step::Opening => return self.advance_forward(turn, id, task),
            _ => return false,
        }
        true
    }

    /// Why a step before the switch of the register cannot be waited for any longer.
    fn is_hopeless(&self, turn: &Turn, id: &EnvironmentId, task: &Task) -> Option<String> {
        let environment = self.state.environments.get(id)?;
        let progress = self.progress.get(id)?;
        if !task.step.is_harmless() && !task.step.is_stopped() {
            return None;
        }
        for region in &self.settings.regions {
            if self.state.region(region) == RegionStatus::Declared {
                return Some(format!("region {region} is declared lost"));
            }
        }
        let halted_for_ms = environment.halted_ms.map_or(0, |since| (self.age_ms + turn.now_ms).saturating_sub(since));
        if task.step.is_stopped() && halted_for_ms > self.settings.timers.stopped_ms {
            return Some(progress.trouble("not done in the time that writes may be held back"));
        }
        if task.step == Step::Preflight
            && let Some(why) = self.too_weak(&environment.active, task)
        {
            return Some(why);
        }
        let limit = match task.step {
            Step::Preflight => PREFLIGHT_MS_MAX,
            Step::Checkpointing => CHECKPOINT_MS_MAX,
            _ => return self.is_forsaken(task),
        };
        match progress.is_late(turn.now_ms, limit) {
            true => Some(progress.trouble("no answer in time")),
            false => self.is_forsaken(task),
        }
    }

    fn announce_planned(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(peer) = self.settings.peer(&environment.active) else { return };
        let (kind, what) = match task.kind {
            OperationKind::Failback => (NoticeKind::Failback, "switched back"),
            _ => (NoticeKind::PlannedFailover, "switched"),
        };
        let text = format!(
            "{id} is about to be {what} from {} to {peer}; writes wait for a moment and nothing is lost",
            environment.active
        );
        let notice = self.notify(turn, id, task.operation, kind, text);
        self.enter(turn, id, task.operation, Step::Notifying { notice });
    }

    fn hand_over(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let answer = self.progress.get(id).and_then(|progress| progress.answer(Part::Drain));
        let Some(Answer::Sealed { account, cut }) = answer else {
            return self.give_up(turn, id, "the compute did not say what it sealed");
        };
        let (sealed, cut) = (*account, *cut);
        let detail = format!("account sealed at {sealed}, {cut} connections cut in the middle of an operation");
        self.say(turn, "failover.drained", id, detail);
        self.given.forget_peer(id);
        self.record(turn, Record::Granting { environment: id.clone(), allowed: false });
        self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: false, guard: None });
        self.enter(turn, id, task.operation, Step::HandingOver { sealed });
    }

    fn catch_up(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let answer = self.progress.get(id).and_then(|progress| progress.answer(Part::HandOver));
        let Some(Answer::HandedOver(end)) = answer else {
            return self.give_up(turn, id, "the node did not say where its log ends");
        };
        let end = end.clone();
        let detail = format!("log ends at byte {} of timeline {}; the files have arrived", end.lsn, end.timeline);
        self.say(turn, "failover.handed-over", id, detail);
        self.enter(turn, id, task.operation, Step::CatchingUp { end });
    }

    fn is_there_ready(&self, now_ms: u64, id: &EnvironmentId) -> bool {
        let environment = self.state.environments.get(id);
        let peer = environment.and_then(|environment| self.settings.peer(&environment.active));
        let seat = |peer| environment.map(|environment| environment.seat(peer)).unwrap_or_default();
        peer.is_some_and(|peer| self.is_zone_ready(now_ms, peer, seat(peer)))
    }
}
