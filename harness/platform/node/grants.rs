//! The grantor of permits to the other region: pure. It counts from the moment it *answered*, and after its own restart
//! from its start.
//!
//! Where it was told to guard, it lets writes pass only as far as it knows itself what has arrived: rows by the position of
//! its own standby, files by what the compute that acknowledged them says of the looks of its node. So control need not be
//! there for writes to go on, nor for loss to stay bounded.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::state::State;
use crate::{
    api::{
        EnvironmentId, Epoch, Region,
        guard::{GuardLevel, Limits, Stamp},
        node::Spec,
        permit::{Grant, Holder, NodeState, PermitReply, PermitRequest},
        role::Timers,
    },
    platform::core::Samples,
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
    started: Instant,
    /// Names this life among the node's.
    life: u64,
    exposures: BTreeMap<EnvironmentId, Exposure>,
}

/// What is known of one environment of the other region's, under one epoch.
#[derive(Default)]
struct Exposure {
    epoch: Epoch,
    samples: Samples,
    level: GuardLevel,
}

impl Grants {
    /// A grantor that starts now: whatever it was allowed to grant before, it may have granted until now. `life` is another
    /// number at each start.
    pub fn new(timers: &Timers, state: &State, now: Instant, life: u64) -> Self {
        let allowed = state.environments.iter().filter(|(_, record)| record.granting.is_some());
        Self {
            lifetime: Duration::from_millis(timers.permit_ms),
            cut: Duration::from_millis(timers.cut_ms),
            answered: allowed.map(|(environment, _)| (environment.clone(), now)).collect(),
            heard: BTreeMap::new(),
            started: now,
            life,
            exposures: BTreeMap::new(),
        }
    }

    /// Answers a holder in `peer`, the other region. `received` tells what the standby here has of an environment.
    pub fn answer(
        &mut self,
        state: &State,
        peer: &Region,
        request: &PermitRequest,
        received: impl Fn(&EnvironmentId) -> Option<u64>,
        now: Instant,
    ) -> PermitReply {
        let mut reply = PermitReply { grants: vec![], refused: vec![], stamp: self.stamp(now) };
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
            // What its standbys in other zones say is nothing to grant by.
            if request.zone != record.peer_zone {
                continue;
            }
            let guard = record.granting.as_ref().and_then(|granting| granting.guard);
            let at = now.saturating_duration_since(self.started);
            let known = self.take_claims(request, environment, *epoch, guard, received(environment));
            let Some(spec) = record.spec.as_ref().filter(|_| record.may_grant_to(peer) == Some(*epoch)) else {
                continue;
            };
            let (exposure_ok, pace_ms) = guard.map_or((true, 0), |guard| known.word(guard, at));
            self.answered.insert(environment.clone(), now);
            let grant = grant(environment, *epoch, spec, self.lifetime);
            reply.grants.push(Grant { exposure_ok, pace_ms, ..grant });
        }
        reply
    }

    fn stamp(&self, now: Instant) -> Stamp {
        Stamp { life: self.life, ms: ms(now.saturating_duration_since(self.started)) }
    }

    /// Keeps what a holder says of an environment's stores, and what has arrived here.
    fn take_claims(
        &mut self,
        request: &PermitRequest,
        environment: &EnvironmentId,
        epoch: Epoch,
        guard: Option<Limits>,
        received: Option<u64>,
    ) -> &mut Exposure {
        let exposure = self.exposures.entry(environment.clone()).or_default();
        let span_ms = guard.map_or(0, |guard| guard.withhold_ms);
        if exposure.epoch != epoch || !exposure.samples.covers(span_ms) {
            *exposure = Exposure { epoch, samples: Samples::over(span_ms), level: GuardLevel::Clear };
        }
        let samples = &mut exposure.samples;
        if let Some(lsn) = received {
            samples.take_received(lsn);
        }
        match request.holder {
            Holder::Compute => {
                let age = request.files.iter().find(|age| age.environment == *environment);
                samples.take_files(self.life, request.after, age);
            }
            Holder::Node => {
                let of = |claim: &&NodeState| claim.environment == *environment && claim.epoch == epoch;
                if let Some(claim) = request.states.iter().find(of) {
                    samples.take_primary(self.life, claim);
                }
            }
        }
        exposure
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

impl Exposure {
    /// Whether writes may pass, and how long each is held back.
    fn word(&mut self, guard: Limits, now: Duration) -> (bool, u64) {
        let Some(arrived) = self.samples.arrived() else { return (false, 0) };
        let exposure_ms = ms(now).saturating_sub(arrived);
        self.level = guard.level(self.level, exposure_ms);
        (self.level != GuardLevel::Withheld, guard.pace_ms(exposure_ms))
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A permit as a node gives it. What is marked is control's to know: a holder heeds the greatest revision that it heard of.
pub(super) fn grant(environment: &EnvironmentId, epoch: Epoch, spec: &Spec, lifetime: Duration) -> Grant {
    Grant {
        environment: environment.clone(),
        epoch,
        lifetime_ms: ms(lifetime),
        exposure_ok: true,
        pace_ms: 0,
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
            Epoch, Zone,
            environment::{EnvironmentKind, Login},
            node::Spec,
            permit::{Credentials, FilesAge, SqlRole},
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
            granting: Some(Granting { primary: east(), epoch: Epoch(2), operation: 1, guard: None }),
            ..Record::default()
        };
        edit(&mut record);
        State { environments: BTreeMap::from([(id(), record)]) }
    }

    fn ask(region: &str, epoch: u64) -> PermitRequest {
        PermitRequest {
            holder: Holder::Compute,
            region: region.parse().unwrap(),
            zone: Zone::FIRST,
            known: vec![(id(), Epoch(epoch))],
            peer_silent_ms: None,
            states: vec![],
            files_ok: None,
            processors: None,
            after: None,
            files: vec![],
        }
    }

    fn timers() -> Timers {
        Timers { permit_ms: 1000, cut_ms: 100, ..Timers::default() }
    }

    /// Number of grants, and epochs refused.
    fn outcome(state: &State, request: &PermitRequest) -> (usize, Vec<u64>) {
        let now = Instant::now();
        let reply = Grants::new(&timers(), state, now, 1).answer(state, &east(), request, |_| None, now);
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
    fn writes_are_let_pass_by_what_this_node_itself_has_received() {
        const GUARD: Limits = Limits { alert_ms: 1_000, throttle_ms: 2_000, withhold_ms: 3_000 };
        let guarded = state(|record| record.granting.as_mut().unwrap().guard = Some(GUARD));
        let start = Instant::now();
        let mut grants = Grants::new(&timers(), &guarded, start, 7);
        let after = |ms| Some(Stamp { life: 7, ms });
        let claim = |ms, lsn| NodeState {
            environment: id(),
            epoch: Epoch(2),
            sql: SqlRole::Primary,
            timeline: 1,
            lsn,
            other_lsn: 0,
            streaming: true,
            files_pending: 0,
            files_oldest_ms: 0,
            after: after(ms),
        };
        // At a moment, with the primary's position and the age of its oldest file, and what has been received here: whether
        // writes pass, and how long each waits.
        let mut at = |ms: u64, lsn: u64, oldest_ms: u64, received: u64| {
            let now = start + Duration::from_millis(ms);
            let node = PermitRequest { holder: Holder::Node, states: vec![claim(ms, lsn)], ..ask("east", 2) };
            grants.answer(&guarded, &east(), &node, |_| Some(received), now);
            let files = vec![FilesAge { environment: id(), oldest_ms: Some(oldest_ms) }];
            let compute = PermitRequest { after: after(ms), files, ..ask("east", 2) };
            let reply = grants.answer(&guarded, &east(), &compute, |_| Some(received), now);
            assert_eq!(reply.stamp, Stamp { life: 7, ms });
            (reply.grants[0].exposure_ok, reply.grants[0].pace_ms)
        };
        assert_eq!(at(100, 50, 0, 40), (false, 0), "nothing is known of what was written before");
        assert_eq!(at(300, 60, 0, 60), (true, 0));
        assert_eq!(at(1_000, 70, 0, 60), (true, 0));
        assert_eq!(at(2_800, 80, 0, 60), (true, 110));
        assert_eq!(at(3_300, 90, 0, 60), (false, 200), "what was received last is of 3 s ago");
        assert_eq!(at(3_600, 95, 0, 80), (false, 0), "on its way, not yet caught up");
        assert_eq!(at(4_000, 99, 0, 95), (true, 0));
        assert_eq!(at(8_000, 100, 3_000, 100), (false, 200), "a file of 3 s ago has not arrived");
        assert_eq!(at(8_200, 100, 100, 100), (true, 0));
    }

    #[test]
    fn who_is_not_told_to_guard_withholds_nothing() {
        let now = Instant::now();
        let state = state(|_| {});
        let reply = Grants::new(&timers(), &state, now, 7).answer(&state, &east(), &ask("east", 2), |_| None, now);
        assert!(reply.grants[0].exposure_ok && reply.grants[0].pace_ms == 0);
    }

    #[test]
    fn the_wait_covers_the_last_permit_its_drift_and_the_cut() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut grants = Grants::new(&timers(), &State::default(), start, 1);
        assert_eq!(grants.wait(&id(), start), Duration::ZERO);
        grants.answer(&state(|_| {}), &east(), &ask("east", 2), |_| None, start + ms(500));
        assert_eq!(grants.wait(&id(), start + ms(600)), ms(1010));
        assert_eq!(grants.wait(&id(), start + ms(5000)), Duration::ZERO);
        // Restarted: it may have granted until just before.
        let restarted = Grants::new(&timers(), &state(|_| {}), start + ms(700), 2);
        assert_eq!(restarted.wait(&id(), start + ms(700)), ms(1110));
    }

    #[test]
    fn the_other_region_is_silent_since_the_last_of_its_holders_asked() {
        let start = Instant::now();
        let mut grants = Grants::new(&timers(), &State::default(), start, 1);
        assert_eq!(grants.peer_silent(start), None);
        grants.answer(&State::default(), &east(), &ask("east", 1), |_| None, start);
        let node = PermitRequest { holder: Holder::Node, ..ask("east", 1) };
        grants.answer(&State::default(), &east(), &node, |_| None, start + Duration::from_millis(40));
        assert_eq!(grants.peer_silent(start + Duration::from_millis(50)), Some(Duration::from_millis(10)));
    }
}
