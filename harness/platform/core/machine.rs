//! The core itself: one event in, effects out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    effect::{CallId, Effect},
    event::Event,
    health::Ears,
    parts::Part,
    permits::Given,
    progress::Progress,
    record::{NewNotice, Record},
    samples::Samples,
    settings::Settings,
    state::State,
    zones::Zones,
};
use crate::api::{
    EnvironmentId, Region,
    control::{NoticeKind, PlatformEvent},
    permit::NodeState,
};

/// The control plane's decisions. Everything but [`State`] is volatile, and chosen so that forgetting it is safe.
pub struct Core {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) age_ms: u64,
    pub(super) ears: Ears,
    pub(super) zones: Zones,
    pub(super) given: Given,
    pub(super) samples: BTreeMap<EnvironmentId, Samples>,
    /// Samples of an old side, and when its last permit ended.
    pub(super) laid_aside: BTreeMap<EnvironmentId, (Samples, u64)>,
    pub(super) progress: BTreeMap<EnvironmentId, Progress>,
    pub(super) calls: BTreeMap<CallId, (EnvironmentId, Part)>,
    pub(super) last_call: u64,
    /// Automatic failovers tried since a region was declared, and when the next may be.
    pub(super) attempts: BTreeMap<EnvironmentId, (u32, u64)>,
    /// Returns that failed, and when the next may be.
    pub(super) returns: BTreeMap<EnvironmentId, (u32, u64)>,
    /// When a part of a repair may next be tried.
    pub(super) repairs: BTreeMap<(EnvironmentId, Part), u64>,
    /// Old sides of undone switches that have been told to go on: the node, the compute.
    pub(super) mended: BTreeSet<(EnvironmentId, Part)>,
    /// What each node said last of each environment.
    pub(super) claims: BTreeMap<(EnvironmentId, Region), NodeState>,
    /// What a promotion told, with the estimate made from it, for the notice of completion.
    pub(super) promotions: BTreeMap<EnvironmentId, String>,
}

/// What one step has produced so far.
pub(super) struct Turn {
    pub(super) now_ms: u64,
    pub(super) records: Vec<Record>,
    pub(super) effects: Vec<Effect>,
}

impl Core {
    /// A core with what its journal holds; nothing for a new one. Its time 0 must be no earlier than the end of whoever
    /// wrote the journal.
    pub fn recover<'a>(settings: Settings, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = State::default();
        records.into_iter().for_each(|record| state.fold(record));
        Self {
            settings,
            state,
            age_ms: 0,
            ears: Ears::default(),
            zones: Zones::default(),
            given: Given::default(),
            samples: BTreeMap::new(),
            laid_aside: BTreeMap::new(),
            progress: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            attempts: BTreeMap::new(),
            returns: BTreeMap::new(),
            repairs: BTreeMap::new(),
            mended: BTreeSet::new(),
            claims: BTreeMap::new(),
            promotions: BTreeMap::new(),
        }
    }

    /// Takes one event. `now_ms` is milliseconds since this core's start on a clock that never goes back.
    pub fn step(&mut self, now_ms: u64, event: Event) -> Vec<Effect> {
        let mut turn = Turn { now_ms, records: Vec::new(), effects: Vec::new() };
        match event {
            Event::Restarted { age_ms } => {
                self.age_ms = age_ms;
                self.resume(&mut turn);
                self.renew_leaves(&mut turn);
            }
            Event::Tick => {}
            Event::PermitAsked { ask, request } => self.answer_holder(&mut turn, ask, &request),
            Event::EdgeReported(report) => {
                self.ears.hear_edge(now_ms, &report);
                self.level_routes(&mut turn, &report);
            }
            Event::CallEnded { call, result } => self.end_call(&mut turn, call, result),
            Event::NoticeAttempted { notice } => self.end_notice(notice),
            Event::TenantPut { ask, name, tenant } => self.put_tenant(&mut turn, ask, name, tenant),
            Event::DeployOrdered { ask, order, credentials } => self.order_deploy(&mut turn, ask, order, *credentials),
            Event::ConversionOrdered { ask, order } => self.order_conversion(&mut turn, ask, &order.environment),
            Event::TicketOrdered { ask, order } => self.order_ticket(&mut turn, ask, &order.environment),
            Event::BackUpOrdered { ask, order } => self.order_back_up(&mut turn, ask, &order.environment),
            Event::RestoreOrdered { ask, order } => self.order_restore(&mut turn, ask, &order.environment),
            Event::CopyOrdered { ask, order } => self.order_copy(&mut turn, ask, &order.from, &order.to),
            Event::DeletionOrdered { ask, environment } => self.order_deletion(&mut turn, ask, &environment),
            Event::FailoverOrdered { ask, order } => self.order_failover(&mut turn, ask, &order),
            Event::ExposureOrdered { ask, environment, order } => {
                self.order_exposure(&mut turn, ask, &environment, order);
            }
        }
        self.watch_exposure(&mut turn);
        self.watch_regions(&mut turn);
        self.cover_declared(&mut turn);
        self.watch_zones(&mut turn);
        self.advance_all(&mut turn);
        self.return_replicas(&mut turn);
        self.repair(&mut turn);
        self.provide(&mut turn);
        if !turn.records.is_empty() {
            turn.effects.insert(0, Effect::Journal(turn.records));
        }
        turn.effects
    }

    /// The durable state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Folds a record and puts it down for the journal.
    pub(super) fn record(&mut self, turn: &mut Turn, record: Record) {
        self.state.fold(&record);
        turn.records.push(record);
    }

    /// Says that something has happened to a region.
    pub(super) fn say_region(&mut self, turn: &mut Turn, name: &str, region: &Region, detail: &str) {
        let event = PlatformEvent {
            number: self.state.last_event + 1,
            at_ms: self.age_ms + turn.now_ms,
            name: name.to_owned(),
            operation: None,
            region: Some(region.clone()),
            environment: None,
            epoch: None,
            detail: detail.to_owned(),
        };
        self.record(turn, Record::Event(event));
    }

    /// Says that something has happened to an environment; epoch, active region and operation are those in force.
    pub(super) fn say(&mut self, turn: &mut Turn, name: &str, id: &EnvironmentId, detail: impl Into<String>) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let event = PlatformEvent {
            number: self.state.last_event + 1,
            at_ms: self.age_ms + turn.now_ms,
            name: name.to_owned(),
            operation: Some(environment.last_operation),
            region: Some(environment.active.clone()),
            environment: Some(id.clone()),
            epoch: Some(environment.epoch),
            detail: detail.into(),
        };
        self.record(turn, Record::Event(event));
    }

    /// Puts a notice into the outbox.
    pub(super) fn notify(
        &mut self,
        turn: &mut Turn,
        environment: &EnvironmentId,
        operation: u64,
        kind: NoticeKind,
        text: String,
    ) -> u64 {
        let id = self.state.last_notice + 1;
        self.record(turn, Record::Notice(NewNotice { id, operation, environment: environment.clone(), kind, text }));
        turn.effects.push(Effect::Notify { notice: id });
        id
    }
}
