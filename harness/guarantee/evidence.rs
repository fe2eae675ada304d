//! What a run has to show for itself, and the questions that rules ask of it.

use std::time::Duration;

use crate::{
    api::Region,
    model::{
        RunTime,
        event::{Event, What, last_faults},
        fault::FaultRecord,
        measure::{EventKind, EventMeasures, Measures},
        operation::{EnvironmentIndex, Side, Store},
        plan::{Action, EnvironmentPlan, Plan, Platform, Step, When},
    },
};

/// Bound on a switch that no step waits for.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);

/// Everything verdicts are made of.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What verification found.
    pub measures: &'a Measures,
    /// What happened.
    pub events: &'a [Event],
}

/// An outage of a region that served an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage {
    /// When it was asked for: it began no earlier.
    pub asked: RunTime,
    /// When the deed was done: it began no later.
    pub began: RunTime,
    /// How long it lasted, or until when it was watched.
    pub lasted: Duration,
    /// It was over before the watching was.
    pub healed: bool,
}

impl<'a> Evidence<'a> {
    /// Every environment with its index.
    pub(super) fn environments(self) -> impl Iterator<Item = (EnvironmentIndex, &'a EnvironmentPlan)> {
        self.plan
            .environments
            .iter()
            .enumerate()
            .map(|(place, environment)| (EnvironmentIndex(u16::try_from(place).unwrap_or(u16::MAX)), environment))
    }

    /// The environment's name.
    pub(super) fn name(self, environment: EnvironmentIndex) -> Option<String> {
        self.plan.environments.get(usize::from(environment.0)).map(|found| found.id.to_string())
    }

    /// Events of an environment, its end included, in the order of time.
    pub(super) fn events_of(self, environment: EnvironmentIndex) -> impl Iterator<Item = &'a EventMeasures> {
        self.measures.events.iter().filter(move |event| event.environment == environment)
    }

    /// Events of a kind, of an environment.
    pub(super) fn events_of_kind(
        self,
        environment: EnvironmentIndex,
        kind: EventKind,
    ) -> impl Iterator<Item = &'a EventMeasures> {
        self.events_of(environment).filter(move |event| event.kind == Some(kind))
    }

    /// The last record of every fault.
    pub(super) fn faults(self) -> Vec<&'a FaultRecord> {
        last_faults(self.events)
    }

    /// The end of what was watched: the ledger was closed, or the last event.
    pub(super) fn watched_until(self) -> RunTime {
        let quiesced = self.events.iter().find(|event| event.what == What::Quiesced);
        quiesced.or(self.events.last()).map_or(RunTime::ZERO, |event| event.at)
    }

    /// Why nothing in this run can be called held. Empty is what one hopes for.
    pub(super) fn run_blockers(self) -> Vec<String> {
        let unproven = self.faults().into_iter().filter(|fault| fault.unproven);
        let mut blockers: Vec<String> = unproven.map(unproven_fault).collect();
        for event in self.events {
            match &event.what {
                What::StepFailed { id, why } => blockers.push(format!("step `{id}` failed: {why}")),
                What::Problem(why) => blockers.push(why.clone()),
                _ => {}
            }
        }
        blockers
    }

    /// Why nothing of this environment can be called held.
    pub(super) fn environment_blockers(self, environment: EnvironmentIndex) -> Vec<String> {
        let mut blockers = Vec::new();
        let mut books = self.measures.books.iter().filter(|books| books.environment == environment).peekable();
        if books.peek().is_none() {
            blockers.push("its books were not reckoned".to_owned());
        }
        for books in books.filter(|books| !books.balanced) {
            let why = books.why.as_deref().unwrap_or("no reason is given");
            let store = match books.store {
                Store::Sql => "sql",
                Store::Files => "files",
            };
            blockers.push(format!("the books of {store} do not balance: {why}"));
        }
        let end = self.events_of(environment).find(|event| event.kind.is_none());
        match end {
            None => blockers.push("there is no final reading".to_owned()),
            Some(end) => blockers.extend(end.unobserved.iter().map(|why| format!("the final reading failed: {why}"))),
        }
        blockers
    }

    /// The platform's own delay before it declares a region lost.
    pub(super) fn grace(self) -> Duration {
        let Platform::Reference { timers, .. } = &self.plan.platform;
        Duration::from_millis(timers.outage_grace_ms)
    }

    /// An outage longer than this must be declared: silence has to be noticed first, and the grace counts from then.
    pub(super) fn grace_at_most(self) -> Duration {
        let Platform::Reference { timers, .. } = &self.plan.platform;
        self.grace() + Duration::from_millis(timers.suspect_ms + 2 * timers.poll_ms)
    }

    /// How long a switch of this environment may take, from its cause: `within` of the step that ordered it, or of the one
    /// that waits for its completion.
    pub(super) fn switch_limit(self, environment: &EnvironmentPlan, event: Option<&EventMeasures>) -> Duration {
        let orders = |step: &&Step| matches!(step.action, Action::Operate(_));
        let ordered = event.and_then(|event| self.plan.steps().filter(orders).find(|step| step.id == event.id));
        if let Some(step) = ordered {
            return step.within;
        }
        let waits = |step: &&Step| match &step.when {
            Some(When::Event { name, environment: of, .. }) => {
                name == "failover.completed" && of.as_ref().is_none_or(|of| *of == environment.id)
            }
            _ => false,
        };
        self.plan.steps().find(waits).map_or(SWITCH_LIMIT, |step| step.within)
    }

    /// Whether an operator ordered the switch: its event then has the step's id.
    pub(super) fn ordered(self, event: &str) -> bool {
        self.plan.steps().any(|step| step.id == event && matches!(step.action, Action::Operate(_)))
    }

    /// When a step began to act, if it did.
    pub(super) fn step_began(self, id: &str) -> Option<RunTime> {
        self.events.iter().find_map(|event| match &event.what {
            What::Step { id: of, .. } if of == id => Some(event.at),
            _ => None,
        })
    }

    /// Outages of the region that served the environment when they began.
    pub(super) fn outages(self, environment: EnvironmentIndex) -> Vec<Outage> {
        let until = self.watched_until();
        let mut outages = Vec::new();
        for record in self.faults() {
            let (Some(region), Some(began)) = (record.fault.lost_region(), record.effective) else { continue };
            if self.serving(environment, began) != Some(region) {
                continue;
            }
            let end = record.healed.unwrap_or(until).min(until);
            outages.push(Outage {
                asked: record.requested.min(began),
                began,
                lasted: end.since(began),
                healed: record.healed.is_some_and(|at| at < until),
            });
        }
        outages
    }

    /// Whether anything at all was broken at that time, or had been before.
    pub(super) fn broken_before(self, at: RunTime) -> bool {
        self.faults().iter().any(|fault| fault.effective.is_some_and(|effective| effective <= at))
    }

    /// The region that served the environment at that time, as clients saw it.
    fn serving(self, environment: EnvironmentIndex, at: RunTime) -> Option<&'a Region> {
        let last =
            self.events_of(environment).filter(|event| event.switched.is_some_and(|switched| switched < at)).last();
        Some(self.region(last.and_then(|event| event.to).unwrap_or(Side(0))))
    }

    /// The region of a side.
    pub(super) fn region(self, side: Side) -> &'a Region {
        self.plan.regions.of(side)
    }

    /// Since when an environment is promised a replica: since ever, since its conversion, or (`None`) not at all.
    pub(super) fn promised_since(self, index: EnvironmentIndex, environment: &EnvironmentPlan) -> Option<RunTime> {
        if environment.kind.has_replica() {
            return Some(RunTime::ZERO);
        }
        self.events.iter().find_map(|event| match &event.what {
            What::Converted { environment, .. } if *environment == index => Some(event.at),
            _ => None,
        })
    }
}

fn unproven_fault(fault: &FaultRecord) -> String {
    match (&fault.effective, &fault.healing) {
        (Some(_), Some(healing)) => format!("the healing of `{}` was not proven: {healing}", fault.step),
        _ => format!("the effect of `{}` was not proven: {}", fault.step, fault.proof),
    }
}
