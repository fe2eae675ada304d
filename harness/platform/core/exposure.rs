//! How much a switch loses, estimated: for the notices, for the guard, and for whoever orders a failover.

use super::{
    machine::{Core, Turn},
    samples::Samples,
    state::Environment,
};
use crate::api::{
    EnvironmentId,
    control::LOSS_AT_MOST,
    guard::{GuardMode, Stamp},
    permit::{Holder, PermitRequest, SqlRole},
};

impl Core {
    /// This control plane's moment.
    pub(super) fn stamp(&self, now_ms: u64) -> Stamp {
        Stamp { life: self.age_ms, ms: now_ms }
    }

    /// Keeps what a holder says of its stores.
    pub(super) fn take_claims(&mut self, turn: &Turn, request: &PermitRequest) {
        let life = self.stamp(turn.now_ms).life;
        let span_ms = self.settings.policy.guard.bound_ms;
        if request.holder == Holder::Compute {
            for (id, epoch) in &request.known {
                let Some(environment) = self.state.environments.get(id) else { continue };
                let is_seat = environment.active == request.region && environment.seat(&request.region) == request.zone;
                if is_seat && environment.epoch == *epoch {
                    let age = request.files.iter().find(|age| age.environment == *id);
                    let samples = self.samples.entry(id.clone()).or_insert_with(|| Samples::over(span_ms));
                    samples.take_files(life, request.after, age);
                }
            }
            return;
        }
        for claim in &request.states {
            let id = &claim.environment;
            let Some(environment) = self.state.environments.get(id) else { continue };
            if environment.seat(&request.region) != request.zone {
                self.zones.take(turn.now_ms, request, claim);
                continue;
            }
            self.claims.insert((id.clone(), request.region.clone()), claim.clone());
            if claim.epoch != environment.epoch {
                continue;
            }
            let samples = self.samples.entry(id.clone()).or_insert_with(|| Samples::over(span_ms));
            if environment.active == request.region {
                samples.take_primary(life, claim);
            // What does not stream may be about to be rewound.
            } else if claim.sql == SqlRole::Standby && claim.streaming {
                samples.take_received(claim.lsn);
            }
        }
    }

    /// How much would be lost if the active region were at this moment: at most so many milliseconds. `None` if not known.
    pub(super) fn exposure_ms(&self, now_ms: u64, id: &EnvironmentId) -> Option<u64> {
        let arrived = self.samples.get(id)?.arrived()?;
        Some(now_ms.saturating_sub(arrived))
    }

    /// Whether little enough would be lost for a replica to count as one; who only observes does not ask.
    pub(super) fn is_caught_up(&self, now_ms: u64, id: &EnvironmentId) -> bool {
        let alert_ms = self.limits().alert_ms;
        self.settings.policy.guard.mode == GuardMode::Observe
            || self.exposure_ms(now_ms, id).is_some_and(|ms| ms < alert_ms)
    }

    /// How much a failover ordered now would lose, at most; `None` if not known.
    pub(super) fn expected_ms(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment) -> Option<u64> {
        let permit_ms = self.settings.timers.permit_ms;
        // The other grantor may have let writes pass until now.
        let until = match environment.peer_granting {
            true => now_ms,
            false => self.given.writes_end_ms(id, permit_ms).min(now_ms),
        };
        let arrived = self.samples.get(id).and_then(Samples::arrived);
        self.kept_within(environment, arrived.map(|arrived| until.saturating_sub(arrived)))
    }

    /// Where the guard is in force nobody has let a write pass that would have exposed more than the bound, whatever is known
    /// here.
    fn kept_within(&self, environment: &Environment, estimate_ms: Option<u64>) -> Option<u64> {
        let guard = &self.settings.policy.guard;
        match estimate_ms {
            estimate if !self.is_guaranteed(environment) => estimate,
            Some(ms) => Some(ms.min(guard.bound_ms)),
            None => Some(guard.bound_ms),
        }
    }

    /// The sentence on the estimated loss if the other region took over with what it said last.
    pub(super) fn expected_loss(&self, id: &EnvironmentId) -> String {
        let until = self.given.writes_end_ms(id, self.settings.timers.permit_ms);
        let arrived = self.samples.get(id).and_then(Samples::arrived);
        let estimate = arrived.map(|arrived| until.saturating_sub(arrived));
        let environment = self.state.environments.get(id);
        sentence(environment.and_then(|environment| self.kept_within(environment, estimate)), "writes")
    }

    /// Lays aside what is known of the old side: from now on the new one's claims come in.
    pub(super) fn lay_aside_claims(&mut self, environment: &EnvironmentId) {
        let until = self.given.writes_end_ms(environment, self.settings.timers.permit_ms);
        let samples = self.samples.remove(environment).unwrap_or_default();
        self.laid_aside.insert(environment.clone(), (samples, until));
    }

    /// The sentence on the estimated loss of SQL, now that the new side has forked from the old one at `fork_lsn`.
    pub(super) fn estimated_loss(&mut self, environment: &EnvironmentId, fork_lsn: u64) -> String {
        let laid_aside = self.laid_aside.remove(environment);
        let behind = laid_aside.and_then(|(samples, until)| Some(until.saturating_sub(samples.rows_before(fork_lsn)?)));
        sentence(behind, "rows")
    }
}

fn sentence(behind_ms: Option<u64>, of: &str) -> String {
    match behind_ms {
        Some(ms) => format!("{LOSS_AT_MOST}{} of {of}", seconds(ms)),
        None => "estimated loss window: not known".to_owned(),
    }
}

/// A time as a person reads it.
pub(super) fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1_000.0)
}
