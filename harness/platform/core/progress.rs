//! A step is a set of calls, its *parts*; each is repeated with a growing pause until it is done, and all within the
//! step's time. Which steps follow is the business of the operations.

use std::collections::BTreeMap;

use super::{
    calls,
    effect::{CallId, Effect},
    event::CallFailure,
    machine::{Core, Turn},
    parts::{self, Part},
    record::{OperationKind, Record, Step},
    state::Task,
};
use crate::api::{EnvironmentId, node::Answer, sabotage::Sabotage};

/// The first pause before a call is repeated.
const PAUSE_MS: u64 = 50;
/// The longest.
pub(super) const PAUSE_MS_MAX: u64 = 1_000;

/// How far a part is.
enum Stand {
    Asked { tries: u32 },
    Again { at_ms: u64, tries: u32 },
    Done(Answer),
}

/// How far a step is. Volatile: after a restart the step begins anew.
pub(super) struct Progress {
    entered_ms: u64,
    parts: BTreeMap<Part, Stand>,
    /// Customers were told, or have had their time.
    pub(super) noticed: bool,
    pub(super) notice_due_ms: u64,
    last_failure: Option<String>,
}

impl Progress {
    fn new(now_ms: u64, notice_ms: u64) -> Self {
        Self {
            entered_ms: now_ms,
            parts: BTreeMap::new(),
            noticed: false,
            notice_due_ms: now_ms + notice_ms,
            last_failure: None,
        }
    }

    /// Whether every part that must be done is done.
    pub(super) fn is_done(&self) -> bool {
        self.parts.iter().all(|(part, stand)| match stand {
            Stand::Done(_) => true,
            Stand::Again { tries, .. } if part.tries_max().is_some_and(|most| *tries >= most) => true,
            _ => part.is_only_tried(),
        })
    }

    /// What a part was answered.
    pub(super) fn answer(&self, part: Part) -> Option<&Answer> {
        match self.parts.get(&part)? {
            Stand::Done(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether the step's time is over.
    pub(super) fn is_late(&self, now_ms: u64, limit_ms: u64) -> bool {
        now_ms.saturating_sub(self.entered_ms) > limit_ms
    }

    /// Whether a part that must be done has failed last time it was asked for.
    pub(super) fn is_failing(&self) -> bool {
        self.parts.iter().any(|(part, stand)| matches!(stand, Stand::Again { .. }) && !part.is_only_tried())
    }

    /// What it waits for, or what went wrong last.
    pub(super) fn trouble(&self, else_: &str) -> String {
        self.last_failure.clone().unwrap_or_else(|| else_.to_owned())
    }
}

impl Core {
    /// Enters a step and asks for its parts.
    pub(super) fn enter(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64, step: Step) {
        self.record(turn, Record::Entered { environment: id.clone(), operation, step });
        self.begin_step(turn, id);
    }

    /// Asks for the parts of the step that the environment is in.
    pub(super) fn begin_step(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(task) = environment.task.clone() else { return };
        let mut parts = parts::of(environment, &self.settings, task.kind, &task.step);
        // What the other grantor's last permit may still do is forgotten with a restart: it is asked again.
        if task.kind.is_forced()
            && matches!(task.step, Step::Notifying { .. } | Step::Fencing)
            && self.given.peer_clear(id).is_none()
        {
            parts.push(Part::Stop);
        }
        parts.retain(|part| !part.is_left_out(self.settings.sabotage));
        if task.step == Step::Opening {
            self.given.watch_opening(id);
        }
        // What an earlier step still asks for must not be taken for this one's.
        self.calls.retain(|_, (environment, part)| environment != id || matches!(part, Part::Level | Part::Provide));
        self.mended.retain(|(environment, _)| environment != id);
        self.progress.insert(id.clone(), Progress::new(turn.now_ms, self.settings.timers.notice_ms));
        parts.into_iter().for_each(|part| self.ask(turn, id, part, 0));
    }

    /// After a restart: every step under way is begun again.
    pub(super) fn resume(&mut self, turn: &mut Turn) {
        let waiting: Vec<(EnvironmentId, Task)> = (self.state.environments.iter())
            .filter_map(|(id, environment)| Some((id.clone(), environment.running()?.clone())))
            .collect();
        for (id, task) in waiting {
            if self.begins_again(&task) {
                self.enter(turn, &id, task.operation, Step::Promoting);
                continue;
            }
            self.begin_step(turn, &id);
            if let Step::Notifying { notice } = task.step {
                turn.effects.push(Effect::Notify { notice });
            }
        }
    }

    /// Sabotaged: what came after the promotion is forgotten.
    fn begins_again(&self, task: &Task) -> bool {
        let is_switch = task.kind == OperationKind::UnplannedFailover || task.kind.is_planned();
        self.settings.sabotage == Some(Sabotage::RepeatPromotion)
            && is_switch
            && matches!(task.step, Step::Reconciling | Step::Opening)
    }

    /// Sends the call of a part.
    pub(super) fn ask(&mut self, turn: &mut Turn, id: &EnvironmentId, part: Part, tries: u32) {
        let Some(environment) = self.state.environments.get(id) else { return };
        self.last_call += 1;
        let call = CallId(self.last_call);
        let guard = self.leave(environment);
        turn.effects.extend(calls::effect(call, environment, &self.settings, guard, part));
        self.calls.insert(call, (id.clone(), part));
        if let Some(progress) = self.progress.get_mut(id).filter(|_| !part.is_background()) {
            progress.parts.insert(part, Stand::Asked { tries: tries + 1 });
        }
    }

    /// Takes the end of a call. One that its step no longer waits for is ignored.
    pub(super) fn end_call(&mut self, turn: &mut Turn, call: CallId, result: Result<Answer, CallFailure>) {
        let Some((id, part)) = self.calls.remove(&call) else { return };
        match part {
            Part::Level => return,
            Part::Provide => return self.end_provide(turn, &id, result.is_ok()),
            Part::ZoneStandby(_) | Part::RenewFiles { .. } => return,
            Part::CompleteFiles { there } => return self.end_complete(turn, &id, there, result.is_ok()),
            Part::Synchronize(zone) => return self.end_synchronize(turn, &id, zone, result.is_ok()),
            _ if part.is_background() => return self.end_repair(turn, &id, part, result.is_ok()),
            _ => {}
        }
        let is_gate = self.is_gate(&id);
        let Some(progress) = self.progress.get_mut(&id) else { return };
        let Some(Stand::Asked { tries }) = progress.parts.get(&part) else { return };
        let (is_final, why) = match result {
            Ok(Answer::Unmet { why }) => (is_gate, why),
            Ok(answer) => {
                progress.parts.insert(part, Stand::Done(answer.clone()));
                return self.take_answer(turn, &id, part, answer);
            }
            Err(failure) => (failure.outdated, failure.why),
        };
        let pause = (PAUSE_MS << tries.saturating_sub(1).min(10)).min(PAUSE_MS_MAX);
        let again = Stand::Again { at_ms: turn.now_ms + pause, tries: *tries };
        progress.parts.insert(part, again);
        if !part.is_only_tried() && part.tries_max().is_none() {
            progress.last_failure = Some(why.clone());
            if is_final {
                self.give_up(turn, &id, &why);
            }
        }
    }

    /// Whether a gate that is not met ends the step: before the switch of the register, where undoing is at hand.
    fn is_gate(&self, id: &EnvironmentId) -> bool {
        let task = self.state.environments.get(id).and_then(|environment| environment.running());
        task.is_some_and(|task| task.kind.is_planned() && (task.step.is_harmless() || task.step.is_stopped()))
    }

    fn take_answer(&mut self, turn: &mut Turn, id: &EnvironmentId, part: Part, answer: Answer) {
        match answer {
            Answer::Stopped { wait_ms } => self.given.peer_stopped(id, turn.now_ms, wait_ms),
            Answer::Promoted { timeline, fork_lsn } => self.take_promotion(turn, id, timeline, fork_lsn),
            Answer::Marked { references, orphans } => self.take_marks(turn, id, references, orphans),
            Answer::Secured { diverged, rows, objects } => self.take_salvage(turn, id, diverged, rows, objects),
            Answer::Done if part == Part::Renew => self.given.renewed(id),
            _ => {}
        }
    }

    /// Takes that the subscribers have been tried.
    pub(super) fn end_notice(&mut self, notice: u64) {
        for (id, progress) in &mut self.progress {
            let task = self.state.environments.get(id).and_then(|environment| environment.task.as_ref());
            if task.is_some_and(|task| task.step == Step::Notifying { notice }) {
                progress.noticed = true;
            }
        }
    }

    /// Repeats what is due, and goes on wherever a step is done or late.
    pub(super) fn advance_all(&mut self, turn: &mut Turn) {
        let ids: Vec<EnvironmentId> = self.progress.keys().cloned().collect();
        for id in ids {
            for (part, tries) in self.due_parts(&id, turn.now_ms) {
                self.ask(turn, &id, part, tries);
            }
            // A step that has nothing to wait for leads straight to the next; no operation has more than twenty.
            for _ in 0..20 {
                if !self.progress.contains_key(&id) || !self.advance(turn, &id) {
                    break;
                }
            }
        }
    }

    /// Goes on if the step is done; says whether it did.
    fn advance(&mut self, turn: &mut Turn, id: &EnvironmentId) -> bool {
        let running = self.state.environments.get(id).and_then(|environment| environment.running());
        let Some(task) = running.cloned() else { return false };
        match task.kind {
            OperationKind::Deploy => self.advance_deploy(turn, id, &task),
            OperationKind::Convert => self.advance_convert(turn, id, &task),
            OperationKind::BackUp | OperationKind::Restore => self.advance_back_up(turn, id, &task),
            OperationKind::Copy => self.advance_copy(turn, id, &task),
            OperationKind::Delete => self.advance_deletion(turn, id, &task),
            _ if task.step.is_return() => self.advance_return(turn, id, &task),
            OperationKind::UnplannedFailover | OperationKind::ZoneFailover => self.advance_failover(turn, id, &task),
            OperationKind::PlannedFailover | OperationKind::Failback => self.advance_planned(turn, id, &task),
            OperationKind::Return | OperationKind::SupportTicket => false,
        }
    }

    fn due_parts(&self, id: &EnvironmentId, now_ms: u64) -> Vec<(Part, u32)> {
        let Some(progress) = self.progress.get(id) else { return Vec::new() };
        (progress.parts.iter())
            .filter_map(|(part, stand)| match stand {
                // What is only tried is told once.
                Stand::Again { at_ms, tries }
                    if *at_ms <= now_ms
                        && !part.is_only_tried()
                        && part.tries_max().is_none_or(|most| *tries < most) =>
                {
                    Some((*part, *tries))
                }
                _ => None,
            })
            .collect()
    }

    /// When the core next has something to do by itself; a driver may call [`super::Event::Tick`] more often.
    pub fn due_ms(&self) -> Option<u64> {
        let repeats = self.progress.values().flat_map(|progress| {
            (progress.parts.iter()).filter_map(|(part, stand)| match stand {
                Stand::Again { at_ms, .. } if !part.is_only_tried() => Some(*at_ms),
                _ => None,
            })
        });
        let steps = self.progress.iter().filter_map(|(id, progress)| {
            match self.state.environments.get(id)?.task.as_ref()?.step {
                Step::Notifying { .. } => Some(progress.notice_due_ms),
                Step::Fencing => self.fence_ends_ms(id),
                Step::Closing => self.closes_ms(id),
                _ => None,
            }
        });
        repeats.chain(steps).min()
    }

    /// Whether a call of this part is under way.
    pub(super) fn is_asking(&self, id: &EnvironmentId, part: Part) -> bool {
        self.calls.values().any(|call| call == &(id.clone(), part))
    }
}
