//! A run as it might have been, for tests: two environments, the primary lost at 10 s, both served from the other region at
//! 13 s. Every test bends it where it needs to.

use std::time::Duration;

use super::{Evidence, judge, overall};
use crate::{
    api::{
        control::{NoticeKind, SwitchKind},
        environment::EnvironmentKind,
        role::{Policy, Timers},
    },
    model::{
        RunTime,
        event::{Event, UnlicensedAnswer, What},
        fault::{Fault, FaultRecord},
        measure::{
            Books, Counts, EventKind, EventMeasures, Gap, Interruptions, Lag, Measures, OldSideAsked, Phase,
            RecoveryPoint, Served, Service,
        },
        operation::{EnvironmentIndex, Side, Store},
        plan::{
            Action, EnvironmentPlan, Expectation, Mix, Plan, Platform, Regions, Step, StepState, Subject,
            WantedOutcome, When, Workload,
        },
        verdict::{Judgement, Verdict},
    },
};

/// Everything a run leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub plan: Plan,
    pub measures: Measures,
    pub events: Vec<Event>,
}

pub(crate) fn at(seconds: f64) -> RunTime {
    RunTime::from_duration(Duration::from_secs_f64(seconds))
}

pub(crate) const SALES: EnvironmentIndex = EnvironmentIndex(0);

impl Run {
    /// A failover that keeps every promise.
    pub fn good() -> Self {
        let events = vec![
            Event { at: at(0.4), what: refused_unlicensed(0) },
            Event { at: at(0.4), what: refused_unlicensed(1) },
            Event { at: at(2.0), what: deployed(0) },
            Event { at: at(2.0), what: deployed(1) },
            Event { at: at(10.0), what: What::Fault(outage(10.0, None)) },
            Event { at: at(12.5), what: notice(0) },
            Event { at: at(12.5), what: notice(1) },
            Event { at: at(20.0), what: What::Quiesced },
        ];
        let measures = Measures {
            events: vec![switch(0), end(0), switch(1), end(1)],
            findings: Vec::new(),
            books: (0..2).flat_map(|index| [Store::Sql, Store::Files].map(|store| books(index, store))).collect(),
            lags: (0..2).flat_map(|index| [Store::Sql, Store::Files].map(|store| lag(index, store))).collect(),
            claims: Vec::new(),
            features: Vec::new(),
            regions: Vec::new(),
        };
        Self { plan: plan(), measures, events }
    }

    /// The same load with nothing broken.
    pub fn quiet() -> Self {
        let mut run = Self::good();
        run.measures.events.retain(|event| event.kind.is_none());
        run.events.retain(|event| !matches!(event.what, What::Fault(_) | What::NoticeReceived { .. }));
        run
    }

    pub fn expect(mut self, id: &str, at_most: Option<f64>, verdict: Verdict) -> Self {
        let subject = if id.split('.').next().is_some_and(|set| ["dataverse", "finops", "integrity"].contains(&set)) {
            Subject::Guarantee(id.to_owned())
        } else {
            Subject::Measure(id.to_owned())
        };
        self.plan.expect.push(Expectation { subject, environment: None, step: None, at_most, verdict });
        self
    }

    pub fn evidence(&self) -> Evidence<'_> {
        Evidence { plan: &self.plan, measures: &self.measures, events: &self.events }
    }

    pub fn judge(&self) -> Vec<Judgement> {
        judge(&self.evidence())
    }

    pub fn overall(&self) -> Verdict {
        overall(&self.judge(), &self.events).0
    }

    /// The first judgement of a guarantee in the first environment, or of the run.
    pub fn judged(&self, id: &str) -> Judgement {
        self.judge().into_iter().find(|judged| judged.id == id).unwrap()
    }

    pub fn verdict(&self, id: &str) -> Verdict {
        self.judged(id).verdict
    }

    /// The failover of the first environment.
    pub fn failover(&mut self) -> &mut EventMeasures {
        &mut self.measures.events[0]
    }

    pub fn happened(&mut self, seconds: f64, what: What) {
        self.events.push(Event { at: at(seconds), what });
        self.events.sort_by_key(|event| event.at);
    }
}

pub(crate) fn plan() -> Plan {
    let environment = |id: &str, kind| EnvironmentPlan { id: id.parse().unwrap(), kind };
    let step = |id: &str, when, within, action| Step {
        id: id.to_owned(),
        when,
        delay: Duration::ZERO,
        phase: Duration::ZERO,
        within: Duration::from_secs(within),
        hold: None,
        outcome: WantedOutcome::Completed,
        action,
    };
    let over = When::Event { name: "failover.completed".to_owned(), environment: None, nth: 2 };
    Plan {
        name: "sample".to_owned(),
        about: None,
        folder: "/scenarios".into(),
        regions: Regions {
            primary: "east".parse().unwrap(),
            secondary: "west".parse().unwrap(),
            zones: 1,
            processors: None,
        },
        platform: Platform::Reference {
            timers: Timers { outage_grace_ms: 2_000, ..Timers::default() },
            policy: Policy::default(),
            sabotage: None,
        },
        environments: vec![
            environment("sales", EnvironmentKind::DataverseProduction),
            environment("books", EnvironmentKind::FinopsProduction),
        ],
        workload: Workload {
            rate_per_s: 100.0,
            writers: 6,
            mix: Mix { create: 60, overwrite: 25, delete: 10, transfer: 5 },
            file_share: 0.1,
            file_bytes: 4096,
            prefill: 0,
            deadline: Duration::from_secs(1),
            probe_period: Duration::from_millis(50),
            warm_up: Duration::from_secs(3),
            settle: Duration::from_secs(2),
            min_acked: 100,
        },
        timeline: vec![
            step("outage", None, 60, Action::Inject(Fault::RegionOutage { region: "east".parse().unwrap() })),
            step("over", Some(over), 20, Action::Pause(Duration::ZERO)),
        ],
        expect: Vec::new(),
        seed: None,
    }
}

/// The outage of the primary region.
pub(crate) fn outage(effective: f64, healed: Option<f64>) -> FaultRecord {
    FaultRecord {
        step: "outage".to_owned(),
        fault: Fault::RegionOutage { region: "east".parse().unwrap() },
        requested: at(effective - 0.03),
        effective: Some(at(effective)),
        proof: "12 processes gone, 11 links refuse".to_owned(),
        healed: healed.map(at),
        healing: healed.map(|_| "12 processes run, 11 links answer".to_owned()),
        unproven: false,
    }
}

pub(crate) fn notice(environment: u16) -> What {
    let environment = EnvironmentIndex(environment);
    What::NoticeReceived { environment, kind: NoticeKind::UnplannedFailover, operation: 1 }
}

pub(crate) fn started(id: &str) -> What {
    What::Step { id: id.to_owned(), state: StepState::Started, detail: String::new() }
}

fn refused_unlicensed(environment: u16) -> What {
    let answer = UnlicensedAnswer::Refused("no licence for it".to_owned());
    What::OrderedUnlicensed { environment: EnvironmentIndex(environment), answer }
}

fn deployed(environment: u16) -> What {
    What::Deployed {
        environment: EnvironmentIndex(environment),
        took_s: 1.5,
        sql_replica: Some(true),
        files_replica: Some(true),
    }
}

/// A hundred a second before, and so many after.
pub(crate) fn served(after: f64) -> Served {
    let service = |acked_per_s, p99_s| Service { acked_per_s, p99_s: Some(p99_s) };
    Served { before: service(100.0, 0.02), after: service(after, 0.03) }
}

/// A failover with some loss, all of it explained by what was held back.
fn switch(environment: u16) -> EventMeasures {
    let gap = |seconds| Some(Gap { seconds, ..Gap::default() });
    let phase = |name: &str, seconds, claim| Phase { name: name.to_owned(), seconds, claim };
    EventMeasures {
        id: "failover-1".to_owned(),
        kind: Some(EventKind::Switch(SwitchKind::Unplanned)),
        aborted: false,
        environment: EnvironmentIndex(environment),
        began: at(10.0),
        switched: Some(at(13.0)),
        moved: None,
        from: Some(Side(0)),
        to: Some(Side(1)),
        cut: Some(at(10.0)),
        recovery_point: RecoveryPoint {
            age_s: 2.0,
            sql_age_s: 2.0,
            files_age_s: 0.1,
            tail_s: 2.0,
            in_doubt_age_s: 2.1,
            operations: 200,
        },
        dose_s: Some(2.2),
        acked_before: 500,
        interruption: Interruptions {
            sql_write: gap(3.0),
            sql_read: gap(2.9),
            files_write: gap(3.1),
            files_read: gap(2.8),
            resolution_s: 0.05,
        },
        sql: Counts { intents: 1000, acked: 980, lost_create: 150, stale: 40, resurrected: 10, ..Counts::default() },
        files: Counts { intents: 100, acked: 98, lost_create: 3, ..Counts::default() },
        dangling_marked: 0,
        dangling_unmarked: 0,
        dangling_left: 0,
        salvage: None,
        orphans: 3,
        orphans_unexcused: 0,
        lost: Vec::new(),
        unobserved: None,
        old_side: Some(OldSideAsked { asked: 120, ..OldSideAsked::default() }),
        phases: vec![
            phase("suspected", 0.7, true),
            phase("declared", 2.0, true),
            phase("fenced", 0.2, true),
            phase("first_ack", 0.1, false),
        ],
        back_to_rate_s: Some(0.4),
        served: Some(served(100.0)),
    }
}

fn end(environment: u16) -> EventMeasures {
    let gap = || Some(Gap::default());
    EventMeasures {
        id: "end".to_owned(),
        kind: None,
        switched: None,
        recovery_point: RecoveryPoint::default(),
        dose_s: None,
        interruption: Interruptions {
            sql_write: gap(),
            sql_read: gap(),
            files_write: gap(),
            files_read: gap(),
            resolution_s: 0.05,
        },
        sql: Counts { intents: 1600, acked: 1580, intact: 1580, ..Counts::default() },
        files: Counts::default(),
        orphans: 0,
        old_side: None,
        phases: Vec::new(),
        back_to_rate_s: None,
        served: None,
        ..switch(environment)
    }
}

fn books(environment: u16, store: Store) -> Books {
    Books { environment: EnvironmentIndex(environment), store, balanced: true, foreign: false, why: None }
}

fn lag(environment: u16, store: Store) -> Lag {
    let environment = EnvironmentIndex(environment);
    Lag { environment, store, samples: 100, p50_s: 0.01, p99_s: 1.9, max_s: 2.1, unguarded_s: 2.1, error_s: 0.2 }
}
