//! A step is a set of calls, its *parts*; each is repeated with a growing pause until it is done, and all within the
//! step's time. Which steps follow is the business of `deploy` and `failover`.

use std::collections::BTreeMap;

use super::{
    calls,
    effect::{CallId, Effect},
    event::CallFailure,
    machine::{Core, Turn},
    record::{OperationKind, Record, Step},
    state::Task,
};
use crate::api::{EnvironmentId, node::Answer};

/// The first pause before a call is repeated.
const PAUSE_MS: u64 = 50;
/// The longest.
pub(super) const PAUSE_MS_MAX: u64 = 1_000;

/// One call of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Primary,
    Replica,
    Files,
    Allow,
    Stop,
    Fence,
    Promote,
    Revoke,
    Reconcile,
    Route,
    /// A route repeated for an edge that lost it; belongs to no step.
    Level,
    /// The second grantor told again after an undone failover; belongs to no step.
    Repair,
}

/// How far a part is.
enum Stand {
    Asked { tries: u32 },
    Again { at_ms: u64, tries: u32 },
    Done,
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
    /// Whether every part that must be done is done; the fence of the old side is only tried.
    pub(super) fn is_done(&self) -> bool {
        self.parts.iter().all(|(part, stand)| *part == Part::Fence || matches!(stand, Stand::Done))
    }

    /// Whether the step's time is over.
    pub(super) fn is_late(&self, now_ms: u64, limit_ms: u64) -> bool {
        now_ms.saturating_sub(self.entered_ms) > limit_ms
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
        let Some(task) = self.state.environments.get(id).and_then(|environment| environment.task.clone()) else {
            return;
        };
        let mut parts: Vec<Part> = match task.step {
            Step::CreatingPrimary => vec![Part::Primary],
            Step::CreatingReplica => vec![Part::Replica, Part::Files],
            Step::AllowingGrants | Step::Undoing { .. } => vec![Part::Allow],
            Step::StoppingGrants => vec![Part::Stop],
            Step::Notifying { .. } => vec![],
            Step::Fencing => vec![Part::Fence],
            Step::Promoting => vec![Part::Promote, Part::Revoke],
            Step::Reconciling => vec![Part::Reconcile],
            Step::Opening => vec![Part::Route],
        };
        // What the other grantor's last permit may still do is forgotten with a restart: it is asked again.
        if matches!(task.step, Step::Notifying { .. } | Step::Fencing) && self.given.peer_clear(id).is_none() {
            parts.push(Part::Stop);
        }
        if task.step == Step::Opening {
            self.given.watch_opening(id);
        }
        let progress = Progress {
            entered_ms: turn.now_ms,
            parts: BTreeMap::new(),
            noticed: false,
            notice_due_ms: turn.now_ms + self.settings.timers.notice_ms,
            last_failure: None,
        };
        self.progress.insert(id.clone(), progress);
        parts.into_iter().for_each(|part| self.ask(turn, id, part, 0));
    }

    /// After a restart: every step under way is begun again.
    pub(super) fn resume(&mut self, turn: &mut Turn) {
        let waiting: Vec<(EnvironmentId, Task)> = (self.state.environments.iter())
            .filter_map(|(id, environment)| Some((id.clone(), environment.task.clone().filter(|task| !task.stalled)?)))
            .collect();
        for (id, task) in waiting {
            self.begin_step(turn, &id);
            if let Step::Notifying { notice } = task.step {
                turn.effects.push(Effect::Notify { notice });
            }
        }
    }

    /// Sends the call of a part.
    pub(super) fn ask(&mut self, turn: &mut Turn, id: &EnvironmentId, part: Part, tries: u32) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(peer) = self.settings.peer(&environment.active).cloned() else { return };
        self.last_call += 1;
        let call = CallId(self.last_call);
        turn.effects.push(calls::effect(call, environment, &peer, part));
        self.calls.insert(call, (id.clone(), part));
        if let Some(progress) = self.progress.get_mut(id) {
            progress.parts.insert(part, Stand::Asked { tries: tries + 1 });
        }
    }

    /// Takes the end of a call. One that its step no longer waits for is ignored.
    pub(super) fn end_call(&mut self, turn: &mut Turn, call: CallId, result: Result<Answer, CallFailure>) {
        let Some((id, part)) = self.calls.remove(&call) else { return };
        match part {
            Part::Level => return,
            Part::Repair => return self.end_repair(turn, &id, result.is_ok()),
            _ => {}
        }
        let Some(progress) = self.progress.get_mut(&id) else { return };
        let Some(Stand::Asked { tries }) = progress.parts.get(&part) else { return };
        match result {
            Ok(answer) => {
                progress.parts.insert(part, Stand::Done);
                self.take_answer(turn, &id, answer);
            }
            Err(failure) => {
                let pause = (PAUSE_MS << tries.saturating_sub(1).min(10)).min(PAUSE_MS_MAX);
                let again = Stand::Again { at_ms: turn.now_ms + pause, tries: *tries };
                progress.parts.insert(part, again);
                if part != Part::Fence {
                    progress.last_failure = Some(failure.why.clone());
                }
                if failure.outdated && part != Part::Fence {
                    self.give_up(turn, &id, &failure.why);
                }
            }
        }
    }

    fn take_answer(&mut self, turn: &mut Turn, id: &EnvironmentId, answer: Answer) {
        match answer {
            Answer::Stopped { wait_ms } => self.given.peer_stopped(id, turn.now_ms, wait_ms),
            Answer::Promoted { timeline, fork_lsn } => self.take_promotion(id, timeline, fork_lsn),
            Answer::Marked { references, orphans } => self.take_marks(turn, id, references, orphans),
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
            // A step that has nothing to wait for leads straight to the next; no operation has more than ten.
            for _ in 0..10 {
                let Some(task) = self.state.environments.get(&id).and_then(|environment| environment.task.clone())
                else {
                    break;
                };
                let has_moved = match task.kind {
                    _ if task.stalled || !self.progress.contains_key(&id) => false,
                    OperationKind::Deploy => self.advance_deploy(turn, &id, &task),
                    OperationKind::UnplannedFailover => self.advance_failover(turn, &id, &task),
                };
                if !has_moved {
                    break;
                }
            }
        }
    }

    fn due_parts(&self, id: &EnvironmentId, now_ms: u64) -> Vec<(Part, u32)> {
        let Some(progress) = self.progress.get(id) else { return Vec::new() };
        (progress.parts.iter())
            .filter_map(|(part, stand)| match stand {
                // The old side is told once: its permits run out anyway.
                Stand::Again { at_ms, tries } if *at_ms <= now_ms && *part != Part::Fence => Some((*part, *tries)),
                _ => None,
            })
            .collect()
    }

    /// When the core next has something to do by itself; a driver may call [`super::Event::Tick`] more often.
    pub fn due_ms(&self) -> Option<u64> {
        let repeats = self.progress.values().flat_map(|progress| {
            (progress.parts.values()).filter_map(|stand| match stand {
                Stand::Again { at_ms, .. } => Some(*at_ms),
                Stand::Asked { .. } | Stand::Done => None,
            })
        });
        let steps = self.progress.iter().filter_map(|(id, progress)| {
            match self.state.environments.get(id)?.task.as_ref()?.step {
                Step::Notifying { .. } => Some(progress.notice_due_ms),
                Step::Fencing => self.fence_ends_ms(id),
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
