//! How much a switch loses, estimated from what nodes claim of their log positions.
//!
//! SQL exposure = time of the last possible acknowledgement − the newest moment at which the primary stood at or below the
//! position that the other side has. The estimate is for people: nothing is decided by it.

use std::collections::VecDeque;

use super::machine::Core;
use crate::api::{
    EnvironmentId,
    permit::{Holder, NodeState, PermitRequest, SqlRole},
};

/// Samples kept: with the shortest spacing, more than 25 s.
const SAMPLES_MAX: usize = 256;
/// The shortest spacing of samples.
const SPACING_MS: u64 = 100;

/// What nodes claimed of one environment's log. Volatile.
#[derive(Default)]
pub(super) struct Samples {
    primary: VecDeque<(u64, u64)>,
    received: Option<u64>,
}

impl Samples {
    fn take(&mut self, now_ms: u64, state: &NodeState) {
        match state.sql {
            SqlRole::Primary | SqlRole::Fenced => {
                match self.primary.back_mut() {
                    // The newest moment at a position is what counts.
                    Some((at, lsn)) if *lsn == state.lsn => *at = now_ms,
                    Some((at, _)) if now_ms.saturating_sub(*at) < SPACING_MS => {}
                    _ => self.primary.push_back((now_ms, state.lsn)),
                }
                if self.primary.len() > SAMPLES_MAX {
                    self.primary.pop_front();
                }
            }
            SqlRole::Standby => self.received = Some(state.lsn),
            SqlRole::Down | SqlRole::Quarantined => {}
        }
    }

    /// Milliseconds between the newest sample at or below `lsn` and `until_ms`.
    fn behind(&self, lsn: u64, until_ms: u64) -> Option<u64> {
        let (at, _) = self.primary.iter().rev().find(|(_, sample)| *sample <= lsn)?;
        Some(until_ms.saturating_sub(*at))
    }
}

impl Core {
    /// Keeps what a node says of its stores.
    pub(super) fn take_claims(&mut self, now_ms: u64, request: &PermitRequest) {
        if request.holder != Holder::Node {
            return;
        }
        for claim in &request.states {
            let Some(environment) = self.state.environments.get(&claim.environment) else { continue };
            self.claims.insert((claim.environment.clone(), request.region.clone()), claim.clone());
            let is_primary = matches!(claim.sql, SqlRole::Primary | SqlRole::Fenced);
            if claim.epoch == environment.epoch && is_primary == (environment.active == request.region) {
                self.samples.entry(claim.environment.clone()).or_default().take(now_ms, claim);
            }
        }
    }

    /// The sentence on the estimated loss of SQL if the other region took over with what it said last.
    pub(super) fn expected_loss(&self, environment: &EnvironmentId) -> String {
        let until = self.given.permits_end_ms(environment, self.settings.timers.permit_ms);
        let samples = self.samples.get(environment);
        sentence(samples.and_then(|samples| samples.behind(samples.received?, until)))
    }

    /// Lays aside what is known of the old side: from now on the new one's claims come in.
    pub(super) fn lay_aside_claims(&mut self, environment: &EnvironmentId) {
        let until = self.given.permits_end_ms(environment, self.settings.timers.permit_ms);
        let samples = self.samples.remove(environment).unwrap_or_default();
        self.laid_aside.insert(environment.clone(), (samples, until));
    }

    /// The sentence on the estimated loss of SQL, now that the new side has forked from the old one at `fork_lsn`.
    pub(super) fn estimated_loss(&mut self, environment: &EnvironmentId, fork_lsn: u64) -> String {
        sentence(self.laid_aside.remove(environment).and_then(|(samples, until)| samples.behind(fork_lsn, until)))
    }
}

fn sentence(behind_ms: Option<u64>) -> String {
    match behind_ms {
        Some(ms) => format!("estimated loss window: at most the last {:.1} s of rows", ms as f64 / 1_000.0),
        None => "estimated loss window: not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Epoch;

    fn claim(sql: SqlRole, lsn: u64) -> NodeState {
        let (environment, epoch) = ("sales".parse().unwrap(), Epoch(1));
        NodeState {
            environment,
            epoch,
            sql,
            timeline: 1,
            lsn,
            other_lsn: 0,
            streaming: true,
            files_pending: 0,
            files_oldest_ms: 0,
        }
    }

    #[test]
    fn behind_is_counted_from_the_newest_moment_at_or_below_the_position() {
        let mut samples = Samples::default();
        for (at, lsn) in [(0, 100), (1_000, 200), (2_000, 200), (3_000, 300)] {
            samples.take(at, &claim(SqlRole::Primary, lsn));
        }
        assert_eq!(samples.behind(99, 4_000), None);
        assert_eq!(samples.behind(100, 4_000), Some(4_000));
        assert_eq!(samples.behind(250, 4_000), Some(2_000));
        assert_eq!(samples.behind(300, 4_000), Some(1_000));
        assert_eq!(samples.behind(300, 2_500), Some(0));
    }

    #[test]
    fn samples_are_bounded() {
        let mut samples = Samples::default();
        (0..10_000).for_each(|at| samples.take(at * SPACING_MS, &claim(SqlRole::Primary, at)));
        assert_eq!(samples.primary.len(), SAMPLES_MAX);
    }
}
