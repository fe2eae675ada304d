//! An unplanned failover, step by step: grants stopped at both grantors → customers notified → fence waited out →
//! register switched (from here only forward) → promoted, the old side's replication revoked → references reconciled →
//! doors opened. Each environment has its own gates; a region's loss is one declaration for all of them.

use super::{
    machine::{Core, Turn},
    record::{Exposed, OperationKind, Record, RegionStatus, Step},
    settings::drifted,
    state::Task,
};
use crate::api::{EnvironmentId, Region, control::NoticeKind, environment::EnvironmentPhase};

/// How long the second grantor has to confirm that it stopped; after that the failover is undone.
const STOP_MS_MAX: u64 = 3_000;
/// How long an undone failover tries to tell the second grantor; a repair goes on after it.
const UNDO_MS_MAX: u64 = 2_000;
/// How long past the fence's end the new side may be unready before the failover is undone.
const READY_MS_MAX: u64 = 5_000;
/// The pause before a zone's failover that was undone is tried again.
const ZONE_PAUSE_MS: u64 = 1_000;
/// Automatic failovers of one environment tried for one declaration.
const ATTEMPTS_MAX: u32 = 3;

impl Core {
    /// Begins a forced failover of these environments, all in parallel; one that failed past its switch goes on from there.
    pub(super) fn begin_failover(
        &mut self,
        turn: &mut Turn,
        kind: OperationKind,
        ids: &[EnvironmentId],
        detail: &str,
    ) -> u64 {
        let operation = self.state.next_operation();
        self.record(turn, Record::Began { operation, kind, environments: ids.to_vec() });
        self.end_copies_of(turn, ids);
        for id in ids {
            if self.go_on_if_stalled(turn, id, operation) {
                continue;
            }
            self.given.forget_peer(id);
            self.record(turn, Record::Granting { environment: id.clone(), allowed: false });
            self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: false, guard: None });
            self.enter(turn, id, operation, Step::StoppingGrants);
            self.say(turn, &kind.event("started"), id, detail);
        }
        operation
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_failover(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let (is_done, operation) = (progress.is_done(), task.operation);
        match &task.step {
            // Within the region customers have nothing to do with it.
            Step::StoppingGrants if is_done && task.kind == OperationKind::ZoneFailover => {
                self.fence(turn, id, operation);
            }
            Step::StoppingGrants if is_done => self.announce(turn, id, operation),
            Step::Notifying { .. } if progress.noticed || progress.notice_due_ms <= turn.now_ms => {
                self.say(turn, "failover.notified", id, "first attempts made, or their time is over");
                self.fence(turn, id, operation);
            }
            Step::Fencing if is_done && self.may_switch(turn.now_ms, id, task.kind) => {
                self.say(turn, &task.kind.event("fenced"), id, "no permit of the old side can be alive");
                match task.kind {
                    OperationKind::ZoneFailover => self.switch_zone(turn, id, task),
                    _ => self.switch(turn, id, task),
                }
            }
            Step::Undoing { why } if is_done => {
                self.peer_allowed(turn, id);
                self.record(turn, Record::Halted { environment: id.clone(), since_ms: None });
                self.abort(turn, id, operation, why.clone());
            }
            Step::Promoting | Step::Reconciling | Step::Opening => return self.advance_forward(turn, id, task),
            step => return self.give_up_if_late(turn, id, &step.clone()),
        }
        true
    }

    /// The old side is told to stop beside the fence; if this is undone, it must be told to go on.
    fn fence(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64) {
        let since_ms = Some(self.age_ms + turn.now_ms);
        self.record(turn, Record::Halted { environment: id.clone(), since_ms });
        self.enter(turn, id, operation, Step::Fencing);
    }

    fn give_up_if_late(&mut self, turn: &mut Turn, id: &EnvironmentId, step: &Step) -> bool {
        let limit = match step {
            Step::StoppingGrants => STOP_MS_MAX,
            Step::Undoing { .. } => UNDO_MS_MAX,
            // Everything that a fence waits for is over by then, but for an other side that is not ready.
            _ => 2 * self.settings.grant_lives_ms() + STOP_MS_MAX + READY_MS_MAX,
        };
        let Some(progress) = self.progress.get(id).filter(|progress| progress.is_late(turn.now_ms, limit)) else {
            return false;
        };
        let why = progress.trouble("no answer in time");
        self.give_up(turn, id, &why);
        true
    }

    /// The grantors may grant again to the old side.
    pub(super) fn undo(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task, why: &str) {
        let why = format!("{}: {why}", task.step.name());
        self.renumber(turn, id);
        self.record(turn, Record::Granting { environment: id.clone(), allowed: true });
        self.given.forget_peer(id);
        self.enter(turn, id, task.operation, Step::Undoing { why });
    }

    /// An automatic failover that was undone is not tried again at once.
    pub(super) fn pause_attempts(&mut self, turn: &Turn, id: &EnvironmentId) {
        let pause = drifted(self.settings.timers.outage_grace_ms);
        if let Some((_, next_ms)) = self.attempts.get_mut(id) {
            *next_ms = turn.now_ms + pause;
        }
        self.zones.pause(id, turn.now_ms + ZONE_PAUSE_MS);
    }

    fn announce(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(peer) = self.settings.peer(&environment.active) else { return };
        let text = format!(
            "{id} is about to be switched from {} to {peer} without waiting for the old side; {}",
            environment.active,
            self.expected_loss(id)
        );
        let notice = self.notify(turn, id, operation, NoticeKind::UnplannedFailover, text);
        self.enter(turn, id, operation, Step::Notifying { notice });
    }

    /// The fence has been waited out at both grantors, and the other side can take over.
    fn may_switch(&self, now_ms: u64, id: &EnvironmentId, kind: OperationKind) -> bool {
        let Some(environment) = self.state.environments.get(id) else { return false };
        let active = &environment.active;
        let to = match kind {
            OperationKind::ZoneFailover => self.successor(environment).map(|zone| (active, zone)),
            _ => self.settings.peer(active).map(|peer| (peer, environment.seat(peer))),
        };
        self.fence_ends_ms(id).is_some_and(|end| now_ms >= end)
            && to.is_some_and(|(region, zone)| self.is_zone_ready(now_ms, region, zone))
    }

    /// Fails over what is active in a declared region, if policy lets and the other region can carry it.
    pub(super) fn cover_declared(&mut self, turn: &mut Turn) {
        if !self.settings.policy.automatic {
            return;
        }
        for region in self.settings.regions.clone() {
            let Some(peer) = self.settings.peer(&region) else { continue };
            if self.state.region(&region) != RegionStatus::Declared {
                continue;
            }
            let ids: Vec<EnvironmentId> = (self.state.environments.iter())
                .filter(|(_, environment)| environment.active == region && environment.task.is_none())
                .filter(|(_, environment)| self.is_zone_ready(turn.now_ms, peer, environment.seat(peer)))
                .filter(|(_, environment)| environment.phase == EnvironmentPhase::Protected)
                // An operator has given the guarantee up: what that loses is for one to say too.
                .filter(|(_, environment)| environment.exposed == Exposed::No)
                .filter(|(id, _)| {
                    let (tried, next_ms) = self.attempts.get(*id).copied().unwrap_or_default();
                    tried < ATTEMPTS_MAX && next_ms <= turn.now_ms
                })
                .map(|(id, _)| id.clone())
                .collect();
            if ids.is_empty() {
                continue;
            }
            ids.iter().for_each(|id| self.attempts.entry(id.clone()).or_default().0 += 1);
            self.begin_failover(turn, OperationKind::UnplannedFailover, &ids, "its region is declared lost");
        }
    }

    /// A region that returned may be lost again: attempts are counted for each declaration.
    pub(super) fn forget_attempts(&mut self, region: &Region) {
        let state = &self.state;
        self.returns.clear();
        self.attempts
            .retain(|id, _| state.environments.get(id).is_none_or(|environment| &environment.active != region));
    }

    /// Tells the customers of environments that a declared region takes with it, since nothing can be switched to, or not
    /// without an operator.
    pub(super) fn warn_unprotected(&mut self, turn: &mut Turn, region: &Region) {
        let left: Vec<(EnvironmentId, &str)> = (self.state.environments.iter())
            .filter(|(_, environment)| &environment.active == region)
            .filter_map(|(id, environment)| match environment.phase {
                EnvironmentPhase::Unprotected => Some((id.clone(), "has no replica and is not switched")),
                EnvironmentPhase::Protected if environment.exposed != Exposed::No => {
                    Some((id.clone(), "was exposed by an operator and is not switched without one"))
                }
                _ => None,
            })
            .collect();
        for (id, what) in left {
            let text = format!("{id} {what}; it waits for the return of {region}");
            self.notify(turn, &id, 0, NoticeKind::Warning, text);
        }
    }
}
