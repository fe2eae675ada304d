//! The grantor of permits to the other region: pure. It counts from the moment it *answered*, and after its own restart
//! from its start.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::state::State;
use crate::api::{
    EnvironmentId, Epoch, Region,
    node::Spec,
    permit::{Grant, Holder, PermitReply, PermitRequest},
    role::Timers,
};

/// Two machines' clocks may run apart by this much.
const DRIFT: f64 = 1.01;

/// Grants permits, and knows how long one it gave may still live.
pub struct Grants {
    lifetime: Duration,
    cut: Duration,
    /// Of each environment, when a permit was last given.
    answered: BTreeMap<EnvironmentId, Instant>,
    /// When the other region's holders last asked.
    heard: BTreeMap<Holder, Instant>,
}

impl Grants {
    /// A grantor that starts now: whatever it was allowed to grant before, it may have granted until now.
    pub fn new(timers: &Timers, state: &State, now: Instant) -> Self {
        let allowed = state.environments.iter().filter(|(_, record)| record.granting.is_some());
        Self {
            lifetime: Duration::from_millis(timers.permit_ms),
            cut: Duration::from_millis(timers.cut_ms),
            answered: allowed.map(|(environment, _)| (environment.clone(), now)).collect(),
            heard: BTreeMap::new(),
        }
    }

    /// Answers a holder in `peer`, the other region.
    pub fn answer(&mut self, state: &State, peer: &Region, request: &PermitRequest, now: Instant) -> PermitReply {
        let mut reply = PermitReply { grants: vec![], refused: vec![] };
        if request.region != *peer {
            return reply;
        }
        self.heard.insert(request.holder, now);
        for (environment, epoch) in &request.known {
            let Some(record) = state.environments.get(environment) else { continue };
            if record.epoch > *epoch {
                reply.refused.push((environment.clone(), record.epoch));
                continue;
            }
            let Some(spec) = record.spec.as_ref().filter(|_| record.may_grant_to(peer) == Some(*epoch)) else {
                continue;
            };
            self.answered.insert(environment.clone(), now);
            reply.grants.push(grant(environment, *epoch, spec, self.lifetime));
        }
        reply
    }

    /// How long a permit given for this environment may still live and its holder may still take to cut, from now.
    pub fn wait(&self, environment: &EnvironmentId, now: Instant) -> Duration {
        let Some(answered) = self.answered.get(environment) else { return Duration::ZERO };
        (*answered + self.lifetime.mul_f64(DRIFT) + self.cut).saturating_duration_since(now)
    }

    /// For how long neither the compute nor the node of the other region has asked; `None` before the first time.
    pub fn peer_silent(&self, now: Instant) -> Option<Duration> {
        self.heard.values().max().map(|heard| now.saturating_duration_since(*heard))
    }
}

/// A permit as a node gives it. What is exposed and what is marked is control's to know: a holder heeds whichever grantor
/// withholds, and the greatest revision that it heard of.
pub(super) fn grant(environment: &EnvironmentId, epoch: Epoch, spec: &Spec, lifetime: Duration) -> Grant {
    Grant {
        environment: environment.clone(),
        epoch,
        lifetime_ms: u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX),
        exposure_ok: true,
        slot: spec.slot,
        bucket: spec.bucket.clone(),
        s3_access_key: spec.credentials.s3.user.clone(),
        sql_reader: spec.credentials.reader.user.clone(),
        marks_revision: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Epoch,
            environment::{EnvironmentKind, Login},
            node::Spec,
            permit::Credentials,
        },
        platform::node::state::{Granting, Record, Stopped},
    };

    fn id() -> EnvironmentId {
        "sales".parse().unwrap()
    }

    fn east() -> Region {
        "east".parse().unwrap()
    }

    fn login() -> Login {
        Login { user: "u".to_owned(), secret: "s".to_owned() }
    }

    fn state(edit: impl FnOnce(&mut Record)) -> State {
        let credentials = Credentials {
            app: login(),
            reader: login(),
            s3: login(),
            sql_replication: login(),
            files_replication: BTreeMap::new(),
        };
        let kind = EnvironmentKind::DataverseProduction;
        let spec = Spec { kind, slot: 1, database: "sales".to_owned(), bucket: "sales".to_owned(), credentials };
        let mut record = Record {
            epoch: Epoch(2),
            spec: Some(spec),
            granting: Some(Granting { primary: east(), epoch: Epoch(2) }),
            ..Record::default()
        };
        edit(&mut record);
        State { environments: BTreeMap::from([(id(), record)]) }
    }

    fn ask(region: &str, epoch: u64) -> PermitRequest {
        PermitRequest {
            holder: Holder::Compute,
            region: region.parse().unwrap(),
            known: vec![(id(), Epoch(epoch))],
            peer_silent_ms: None,
            states: vec![],
            files_ok: None,
        }
    }

    fn timers() -> Timers {
        Timers { permit_ms: 1000, cut_ms: 100, ..Timers::default() }
    }

    /// Number of grants, and epochs refused.
    fn outcome(state: &State, request: &PermitRequest) -> (usize, Vec<u64>) {
        let now = Instant::now();
        let reply = Grants::new(&timers(), state, now).answer(state, &east(), request, now);
        (reply.grants.len(), reply.refused.iter().map(|(_, epoch)| epoch.0).collect())
    }

    #[test]
    fn only_the_region_and_epoch_that_control_allowed_are_granted() {
        assert_eq!(outcome(&state(|_| {}), &ask("east", 2)), (1, vec![]));
        assert_eq!(outcome(&state(|_| {}), &ask("east", 1)), (0, vec![2]));
        assert_eq!(outcome(&state(|_| {}), &ask("east", 3)), (0, vec![]));
        assert_eq!(outcome(&state(|_| {}), &ask("west", 2)), (0, vec![]));
        assert_eq!(outcome(&state(|record| record.granting = None), &ask("east", 2)), (0, vec![]));
        let stopped = |record: &mut Record| record.stopped = Some(Stopped { epoch: Epoch(2), operation: 1 });
        assert_eq!(outcome(&state(stopped), &ask("east", 2)), (0, vec![]));
        assert_eq!(outcome(&state(|record| record.epoch = Epoch(3)), &ask("east", 2)), (0, vec![3]));
    }

    #[test]
    fn the_wait_covers_the_last_permit_its_drift_and_the_cut() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut grants = Grants::new(&timers(), &State::default(), start);
        assert_eq!(grants.wait(&id(), start), Duration::ZERO);
        grants.answer(&state(|_| {}), &east(), &ask("east", 2), start + ms(500));
        assert_eq!(grants.wait(&id(), start + ms(600)), ms(1010));
        assert_eq!(grants.wait(&id(), start + ms(5000)), Duration::ZERO);
        // Restarted: it may have granted until just before.
        let restarted = Grants::new(&timers(), &state(|_| {}), start + ms(700));
        assert_eq!(restarted.wait(&id(), start + ms(700)), ms(1110));
    }

    #[test]
    fn the_other_region_is_silent_since_the_last_of_its_holders_asked() {
        let start = Instant::now();
        let mut grants = Grants::new(&timers(), &State::default(), start);
        assert_eq!(grants.peer_silent(start), None);
        grants.answer(&State::default(), &east(), &ask("east", 1), start);
        let node = PermitRequest { holder: Holder::Node, ..ask("east", 1) };
        grants.answer(&State::default(), &east(), &node, start + Duration::from_millis(40));
        assert_eq!(grants.peer_silent(start + Duration::from_millis(50)), Some(Duration::from_millis(10)));
    }
}
