//! An unplanned failover, step by step: grants stopped at both grantors → customers notified → fence waited out →
//! register switched (from here only forward) → promoted, the old side's replication revoked → references reconciled →
//! doors opened. Each environment has its own gates; a region's loss is one declaration for all of them.

use super::{
    machine::{Core, Turn},
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    settings::drifted,
    state::Task,
};
use crate::api::{
    EnvironmentId, Region,
    control::{FileReference, NoticeKind},
    environment::EnvironmentPhase,
};

/// How long the second grantor has to confirm that it stopped; after that the failover is undone.
const STOP_MS_MAX: u64 = 3_000;
/// How long an undone failover tries to tell the second grantor; a repair goes on after it.
const UNDO_MS_MAX: u64 = 2_000;
/// How long past the fence's end the new side may be unready before the failover is undone.
const READY_MS_MAX: u64 = 5_000;
/// The longest a step after the switch may take with all its repeats.
const FORWARD_MS_MAX: u64 = 60_000;
/// Automatic failovers of one environment tried for one declaration.
const ATTEMPTS_MAX: u32 = 3;

impl Core {
    /// Begins a failover of these environments, all in parallel; one that failed past its switch goes on from there.
    pub(super) fn begin_failover(&mut self, turn: &mut Turn, ids: &[EnvironmentId], detail: &str) -> u64 {
        let operation = self.state.next_operation();
        let kind = OperationKind::UnplannedFailover;
        self.record(turn, Record::Began { operation, kind, environments: ids.to_vec() });
        for id in ids {
            // What an earlier operation still asks for must not be taken for this one's.
            self.calls.retain(|_, (environment, _)| environment != id);
            let stalled = self.state.environments.get(id).and_then(|environment| environment.task.clone());
            if let Some(task) = stalled {
                self.enter(turn, id, operation, task.step);
                self.say(turn, "failover.started", id, "goes on from the step that failed");
                continue;
            }
            self.given.forget_peer(id);
            self.record(turn, Record::Granting { environment: id.clone(), allowed: false });
            self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: false });
            self.enter(turn, id, operation, Step::StoppingGrants);
            self.say(turn, "failover.started", id, detail);
        }
        operation
    }

    /// Goes on if the step is done; says whether it did.
    pub(super) fn advance_failover(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) -> bool {
        let Some(progress) = self.progress.get(id) else { return false };
        let (is_done, operation) = (progress.is_done(), task.operation);
        match &task.step {
            Step::StoppingGrants if is_done => self.announce(turn, id, operation),
            Step::Notifying { .. } if progress.noticed || progress.notice_due_ms <= turn.now_ms => {
                self.say(turn, "failover.notified", id, "first attempts made, or their time is over");
                self.enter(turn, id, operation, Step::Fencing);
            }
            Step::Fencing if is_done && self.may_switch(turn.now_ms, id) => self.switch(turn, id, operation),
            Step::Undoing { why } if is_done => {
                self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: true });
                self.abort(turn, id, operation, why.clone());
            }
            Step::Promoting if is_done => {
                let detail = self.promotions.get(id).cloned().unwrap_or_default();
                self.enter(turn, id, operation, Step::Reconciling);
                self.say(turn, "failover.promoted", id, detail);
            }
            Step::Reconciling if is_done => self.enter(turn, id, operation, Step::Opening),
            Step::Opening if is_done && self.given.is_opened(id) => self.complete_failover(turn, id, operation),
            step => return self.give_up_if_late(turn, id, &step.clone()),
        }
        true
    }

    fn give_up_if_late(&mut self, turn: &mut Turn, id: &EnvironmentId, step: &Step) -> bool {
        let limit = match step {
            Step::StoppingGrants => STOP_MS_MAX,
            Step::Undoing { .. } => UNDO_MS_MAX,
            // Everything that a fence waits for is over by then, but for an other side that is not ready.
            Step::Fencing => 2 * self.settings.grant_lives_ms() + STOP_MS_MAX + READY_MS_MAX,
            _ => FORWARD_MS_MAX,
        };
        let Some(progress) = self.progress.get(id).filter(|progress| progress.is_late(turn.now_ms, limit)) else {
            return false;
        };
        let why = progress.trouble("no answer in time");
        self.give_up(turn, id, &why);
        true
    }

    /// Before the switch: undo. After it: stand still and say so. While undoing: leave the rest to the repair.
    pub(super) fn give_up(&mut self, turn: &mut Turn, id: &EnvironmentId, why: &str) {
        let Some(task) = self.state.environments.get(id).and_then(|environment| environment.task.clone()) else {
            return;
        };
        match &task.step {
            step if step.is_before_switch() => {
                let why = format!("{}: {why}", step.name());
                self.record(turn, Record::Granting { environment: id.clone(), allowed: true });
                self.given.forget_peer(id);
                self.enter(turn, id, task.operation, Step::Undoing { why });
            }
            Step::Undoing { why } => self.abort(turn, id, task.operation, why.clone()),
            _ => self.stall(turn, id, why),
        }
    }

    fn abort(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64, why: String) {
        let pause = drifted(self.settings.timers.outage_grace_ms);
        if let Some((_, next_ms)) = self.attempts.get_mut(id) {
            *next_ms = turn.now_ms + pause;
        }
        self.finish(turn, id, operation, Outcome::Aborted, Some(why.clone()));
        self.say(turn, "failover.aborted", id, why);
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
    fn may_switch(&self, now_ms: u64, id: &EnvironmentId) -> bool {
        let peer = self.state.environments.get(id).and_then(|environment| self.settings.peer(&environment.active));
        self.fence_ends_ms(id).is_some_and(|end| now_ms >= end) && peer.is_some_and(|peer| self.is_ready(now_ms, peer))
    }

    fn switch(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(active) = self.settings.peer(&environment.active).cloned() else { return };
        let (from, to) = (environment.epoch, environment.epoch.next());
        self.lay_aside_claims(id);
        self.say(turn, "failover.fenced", id, "no permit of the old side can be alive");
        self.record(turn, Record::Switched { environment: id.clone(), from, to, active });
        self.say(turn, "failover.switched", id, "epoch register switched: from here only forward");
        self.enter(turn, id, operation, Step::Promoting);
    }

    pub(super) fn take_promotion(&mut self, id: &EnvironmentId, timeline: u32, fork_lsn: u64) {
        let estimate = self.estimated_loss(id, fork_lsn);
        self.promotions.insert(id.clone(), format!("{estimate} (timeline {timeline})"));
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
        self.say(turn, "failover.reconciled", id, detail);
    }

    fn complete_failover(&mut self, turn: &mut Turn, id: &EnvironmentId, operation: u64) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let (active, dangling) = (environment.active.clone(), environment.dangling.len());
        let estimate = self.promotions.remove(id).unwrap_or_else(|| "estimated loss window: not known".to_owned());
        self.say(turn, "failover.routed", id, format!("{active} serves"));
        self.finish(turn, id, operation, Outcome::Completed, None);
        self.say(turn, "failover.completed", id, format!("{estimate}; unprotected until a replica streams again"));
        let text = format!(
            "{id} is served from {active}; {estimate}; {dangling} rows lack their file and are marked; there is no replica \
             until the failback"
        );
        self.notify(turn, id, operation, NoticeKind::Completed, text);
    }

    /// Fails over what is active in a declared region, if policy lets and the other region can carry it.
    pub(super) fn cover_declared(&mut self, turn: &mut Turn) {
        if !self.settings.policy.automatic {
            return;
        }
        for region in self.settings.regions.clone() {
            let Some(peer) = self.settings.peer(&region) else { continue };
            if self.state.region(&region) != RegionStatus::Declared || !self.is_ready(turn.now_ms, peer) {
                continue;
            }
            let ids: Vec<EnvironmentId> = (self.state.environments.iter())
                .filter(|(_, environment)| environment.active == region && environment.task.is_none())
                .filter(|(_, environment)| environment.phase == EnvironmentPhase::Protected)
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
            self.begin_failover(turn, &ids, "its region is declared lost");
        }
    }

    /// A region that returned may be lost again: attempts are counted for each declaration.
    pub(super) fn forget_attempts(&mut self, region: &Region) {
        let state = &self.state;
        self.attempts
            .retain(|id, _| state.environments.get(id).is_none_or(|environment| &environment.active != region));
    }

    /// Tells the customers of environments that a declared region takes with it, since nothing can be switched to.
    pub(super) fn warn_unprotected(&mut self, turn: &mut Turn, region: &Region) {
        let left: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| &environment.active == region)
            .filter(|(_, environment)| environment.phase == EnvironmentPhase::Unprotected)
            .map(|(id, _)| id.clone())
            .collect();
        for id in left {
            let text = format!("{id} has no replica and is not switched; it waits for the return of {region}");
            self.notify(turn, &id, 0, NoticeKind::Warning, text);
        }
    }
}
