//! Permits as control grants them, and the moment after which the last one is surely over.
//!
//! The holder counts a permit's lifetime from when it sent its request, control from when it answered, which is later;
//! after its own restart, control counts from its start, which is later than any answer before. So control's own wait
//! never ends too early, whatever the clocks of two machines say.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    effect::{AskId, Effect},
    machine::{Core, Turn},
    settings::drifted,
    state::Environment,
};
use crate::api::{
    EnvironmentId, Epoch,
    permit::{Grant, Holder, PermitReply, PermitRequest},
    sabotage::Sabotage,
};

/// When permits were given last. Volatile.
#[derive(Default)]
pub(super) struct Given {
    /// By control itself, to any holder.
    last: BTreeMap<EnvironmentId, u64>,
    /// The same, to a compute, with leave to write.
    writes: BTreeMap<EnvironmentId, u64>,
    /// Until when a permit of the other grantor may be alive, once it has confirmed that it stopped.
    peer_clear: BTreeMap<EnvironmentId, u64>,
    /// The same, if any was alive when it stopped.
    peer_last: BTreeMap<EnvironmentId, u64>,
    /// Environments whose active region's compute has shown that it holds a permit since they were opened.
    opened: BTreeMap<EnvironmentId, bool>,
    /// Environments whose active region's compute was answered with a permit since they were opened.
    answered: BTreeSet<EnvironmentId>,
}

impl Given {
    /// When control last granted. If not since its start: at its start, since it may have done so just before.
    pub(super) fn last(&self, environment: &EnvironmentId) -> u64 {
        self.last.get(environment).copied().unwrap_or(0)
    }

    /// Milliseconds that the last permit of control's may still live; 0 if none was given since its start.
    pub(super) fn left_ms(&self, environment: &EnvironmentId, now_ms: u64, permit_ms: u64) -> u64 {
        self.last.get(environment).map_or(0, |at| (at + permit_ms).saturating_sub(now_ms))
    }

    /// The other grantor has stopped, and what it gave may live for so long from now on. Its clock may run slower.
    pub(super) fn peer_stopped(&mut self, environment: &EnvironmentId, now_ms: u64, wait_ms: u64) {
        let clear = now_ms.saturating_add(drifted(wait_ms));
        let known = self.peer_clear.entry(environment.clone()).or_insert(clear);
        *known = clear.max(*known);
        if wait_ms > 0 {
            self.peer_last.insert(environment.clone(), clear);
        }
    }

    /// When the last permit to write ended or will end, as far as control knows: nothing is acknowledged after it.
    pub(super) fn writes_end_ms(&self, environment: &EnvironmentId, permit_ms: u64) -> u64 {
        let own = self.writes.get(environment).copied().unwrap_or(0) + permit_ms;
        self.peer_last.get(environment).map_or(own, |peer| own.max(*peer))
    }

    /// Nothing is known of the environment any more.
    pub(super) fn forget(&mut self, environment: &EnvironmentId) {
        self.last.remove(environment);
        self.writes.remove(environment);
        self.peer_clear.remove(environment);
        self.peer_last.remove(environment);
        self.opened.remove(environment);
        self.answered.remove(environment);
    }

    /// When the other grantor's permits are over; `None` while it has not confirmed that it stopped.
    pub(super) fn peer_clear(&self, environment: &EnvironmentId) -> Option<u64> {
        self.peer_clear.get(environment).copied()
    }

    /// Forgets the other grantor's confirmation, since it will be allowed to grant again or is about to be asked anew.
    pub(super) fn forget_peer(&mut self, environment: &EnvironmentId) {
        self.peer_clear.remove(environment);
        self.peer_last.remove(environment);
    }

    /// From now on it is asked whether a compute holds a permit.
    pub(super) fn watch_opening(&mut self, environment: &EnvironmentId) {
        self.opened.insert(environment.clone(), false);
        self.answered.remove(environment);
    }

    /// The compute says that it has taken control's answer: if that was a permit, it holds one.
    pub(super) fn renewed(&mut self, environment: &EnvironmentId) {
        if let Some(opened) = self.opened.get_mut(environment).filter(|_| self.answered.contains(environment)) {
            *opened = true;
        }
    }

    /// Whether a compute has shown that it does.
    pub(super) fn is_opened(&self, environment: &EnvironmentId) -> bool {
        self.opened.get(environment).copied().unwrap_or(false)
    }
}

impl Core {
    /// Answers a holder, and takes its message as a sign of life.
    pub(super) fn answer_holder(&mut self, turn: &mut Turn, ask: AskId, request: &PermitRequest) {
        self.ears.hear(turn.now_ms, request, &self.settings);
        self.take_claims(turn, request);
        // What is granted below depends on it.
        self.watch_exposure(turn);
        let known: BTreeMap<_, _> = request.known.iter().cloned().collect();
        let mut reply = PermitReply { grants: Vec::new(), refused: Vec::new(), stamp: self.stamp(turn.now_ms) };
        for (id, environment) in &self.state.environments {
            let seen = known.get(id).copied();
            if environment.is_retired {
                reply.refused.extend(superseded(id, environment.epoch, seen));
                continue;
            }
            let is_stale = self.settings.sabotage == Some(Sabotage::AcceptStaleEpoch) && environment.task.is_none();
            let is_seat = environment.active == request.region && environment.seat(&request.region) == request.zone;
            if !is_seat && !is_stale {
                reply.refused.extend(superseded(id, environment.epoch, seen));
                continue;
            }
            // A holder that has seen a higher epoch than the register: this journal is not the newest. Grant nothing.
            let is_outdated = seen.is_some_and(|seen| seen > environment.epoch);
            let is_open = request.holder == Holder::Node || environment.is_open();
            if !environment.granting || is_outdated || !is_open || self.is_forgotten(environment, request.holder) {
                continue;
            }
            let (exposure_ok, pace_ms) = self.word(turn.now_ms, id, environment);
            self.given.last.insert(id.clone(), turn.now_ms);
            if exposure_ok && request.holder == Holder::Compute {
                self.given.writes.insert(id.clone(), turn.now_ms);
            }
            if request.holder == Holder::Compute && self.given.opened.contains_key(id) {
                self.given.answered.insert(id.clone());
            }
            // That a permit was answered does not say that it has arrived: the compute says so by naming its epoch.
            let holds = request.holder == Holder::Compute && seen == Some(environment.epoch);
            if let Some(opened) = self.given.opened.get_mut(id).filter(|_| holds) {
                *opened = true;
            }
            reply.grants.push(Grant {
                environment: id.clone(),
                epoch: seen.filter(|_| is_stale).unwrap_or(environment.epoch),
                lifetime_ms: self.settings.timers.permit_ms,
                exposure_ok,
                pace_ms,
                slot: environment.given.slot,
                bucket: environment.given.bucket.clone(),
                s3_access_key: environment.given.credentials.s3.user.clone(),
                sql_reader: environment.given.credentials.reader.user.clone(),
                marks_revision: environment.marks_revision,
            });
        }
        // Whoever comes back long after a deletion learns of it too.
        for (id, last) in self.state.retired.iter().filter(|(id, _)| !self.state.environments.contains_key(*id)) {
            reply.refused.extend(superseded(id, *last, known.get(id).copied()));
        }
        turn.effects.push(Effect::Permits { ask, reply });
    }

    /// Left closed where the platform is broken on purpose.
    fn is_forgotten(&self, environment: &Environment, holder: Holder) -> bool {
        self.settings.sabotage == Some(Sabotage::ForgetNonProduction)
            && holder == Holder::Compute
            && !environment.given.kind.has_replica()
            && self.state.environments.values().any(|other| other.epoch > Epoch::FIRST)
    }

    /// When no permit under the environment's present epoch can be alive any more; `None` while the other grantor has not
    /// confirmed that it stopped. Meaningful only once control's own granting is stopped.
    pub(super) fn fence_ends_ms(&self, environment: &EnvironmentId) -> Option<u64> {
        if self.settings.sabotage == Some(Sabotage::SkipFence) {
            return Some(0);
        }
        let own = self.given.last(environment) + self.settings.grant_lives_ms();
        self.given.peer_clear(environment).map(|peer| peer.max(own))
    }
}

/// What a holder is told that knows an epoch which is over.
fn superseded(id: &EnvironmentId, epoch: Epoch, seen: Option<Epoch>) -> Option<(EnvironmentId, Epoch)> {
    seen.filter(|seen| *seen < epoch).map(|_| (id.clone(), epoch))
}
