//! One guarantee in one environment and event, and what all rules ask of it.

use std::time::Duration;

use super::{
    back_up, carries, condition, declared, features, interruption, lag, left_behind, licensed, loss, no_replica,
    notice, replica, restored, switched, zone,
};
use crate::{
    api::control::{Scope, SwitchKind},
    guarantee::{Evidence, evidence::Outage},
    model::{
        RunTime,
        measure::EventMeasures,
        operation::{EnvironmentIndex, Side},
        plan::{Action, EnvironmentPlan, WantedOutcome},
        promise::{Promise, Rule},
        verdict::Verdict,
    },
};

/// One guarantee in one environment, and one event where there was one.
#[derive(Debug, Clone, Copy)]
pub(in crate::guarantee) struct Case<'a> {
    pub evidence: Evidence<'a>,
    pub promise: &'a Promise,
    pub index: EnvironmentIndex,
    pub environment: &'a EnvironmentPlan,
    /// `None`: nothing of the kind happened, or the guarantee is about no switch.
    pub event: Option<&'a EventMeasures>,
    /// The bound that the scenario set.
    pub at_most: Option<f64>,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::guarantee) struct Ruling {
    pub verdict: Verdict,
    pub stressed: Option<bool>,
    pub tested: Option<f64>,
    pub measured: Option<f64>,
    pub count: Option<u64>,
    pub why: Option<String>,
}

impl Ruling {
    pub fn new(verdict: Verdict) -> Self {
        Self { verdict, stressed: None, tested: None, measured: None, count: None, why: None }
    }

    pub fn violated(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::new(Verdict::Violated) }
    }

    pub fn inconclusive(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::new(Verdict::Inconclusive) }
    }

    /// The bound that was tested and what was measured against it.
    pub fn with_figures(self, tested: Option<f64>, measured: f64) -> Self {
        Self { tested, measured: Some(measured), ..self }
    }

    pub fn with_count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl Case<'_> {
    /// The ruling on this case.
    pub fn rule(&self) -> Ruling {
        match self.promise.rule {
            Some(Rule::Switched) => switched::rule(self),
            Some(Rule::Notice) => notice::rule(self),
            Some(Rule::Declared) => declared::rule(self),
            Some(Rule::Loss) => loss::rule(self),
            Some(Rule::Interruption) => interruption::rule(self),
            Some(Rule::Licensed) => licensed::rule(self),
            Some(Rule::Carries) => carries::rule(self),
            Some(Rule::Replica) => replica::rule(self),
            Some(Rule::NoReplica) => no_replica::rule(self),
            Some(Rule::BackUp) => back_up::rule(self),
            Some(Rule::DataMovement) => back_up::movement(self),
            Some(Rule::Lag) => lag::rule(self),
            Some(Rule::LeftBehind) => left_behind::rule(self),
            Some(Rule::Condition) => condition::rule(self),
            Some(Rule::Features) => features::away(self),
            Some(Rule::SupportTicket) => features::ticket(self),
            Some(Rule::Restored) => restored::rule(self),
            Some(Rule::Zone) => zone::rule(self),
            Some(Rule::Integrity) | None => Ruling::inconclusive("not exercised: nothing measures it yet"),
        }
    }

    /// The tighter of the documented bound and the scenario's; an objective of ours gives way to the scenario's.
    pub(super) fn tested(&self) -> Option<f64> {
        match (self.promise.number, self.at_most) {
            (Some(documented), Some(set)) if !self.promise.ours => Some(documented.min(set)),
            (Some(_), Some(set)) => Some(set),
            (documented, set) => documented.or(set),
        }
    }

    /// The event, with the moment at which clients saw the switch; without either, the ruling that says so.
    pub(super) fn observed_switch(&self) -> Result<(&EventMeasures, RunTime), Ruling> {
        match self.event {
            Some(event) => match event.switched {
                Some(switched) => Ok((event, switched)),
                None if event.aborted => Err(Ruling::inconclusive("no switch: the attempt was aborted")),
                None => Err(Ruling::inconclusive("no switch")),
            },
            None => Err(match self.unanswered() {
                Unanswered::No => not_exercised(self.promise.switch),
                Unanswered::Outage(outage) if outage.lasted < self.evidence.grace() => {
                    not_exercised(self.promise.switch)
                }
                _ => Ruling::inconclusive("no switch"),
            }),
        }
    }

    /// Since when it is promised to be switched; what came before is not answered by a switch, and need not be.
    fn promised_since(&self) -> RunTime {
        self.evidence.promised_since(self.index, self.environment).unwrap_or(RunTime(u64::MAX))
    }

    /// Whether something happened that a switch of this kind had to follow, and none did.
    pub(super) fn unanswered(&self) -> Unanswered {
        let orders = self.evidence.plan.steps().filter(|step| match &step.action {
            Action::Operate(_) if matches!(step.outcome, WantedOutcome::Aborted | WantedOutcome::Refused) => false,
            Action::Operate(order) => Some(order.kind) == self.promise.switch && self.covered(&order.scope),
            _ => false,
        });
        for step in orders {
            let answered = self.evidence.events_of(self.index).any(|event| event.id == step.id);
            if !answered && self.evidence.step_began(&step.id).is_some_and(|began| began >= self.promised_since()) {
                return Unanswered::Order(step.id.clone());
            }
        }
        if self.promise.switch != Some(SwitchKind::Unplanned) {
            return Unanswered::No;
        }
        self.unanswered_outages().max_by_key(|outage| outage.lasted).map_or(Unanswered::No, Unanswered::Outage)
    }

    /// Outages that no switch followed.
    pub(super) fn unanswered_outages(&self) -> impl Iterator<Item = Outage> {
        let (slack, since) = (self.evidence.grace_at_most(), self.promised_since());
        let promised = self.evidence.outages(self.index).into_iter().filter(move |outage| outage.began >= since);
        promised.filter(move |outage| {
            let last = outage.began.plus(outage.lasted + slack);
            let mut switches = self.evidence.events_of(self.index).filter(|event| event.switch().is_some());
            !switches.any(|event| event.began >= outage.asked && event.began <= last)
        })
    }

    /// The side that is not this one.
    pub(super) fn other(side: Side) -> Side {
        if side == Side(0) { Side(1) } else { Side(0) }
    }

    /// Whether an order names this environment.
    pub(super) fn names(&self, scope: &Scope) -> bool {
        matches!(scope, Scope::Environments(named) if named.contains(&self.environment.id))
    }

    pub(super) fn covered(&self, scope: &Scope) -> bool {
        matches!(scope, Scope::Region(_)) || self.names(scope)
    }

    /// Whether this case, without an event, has something to say beside those with one.
    pub fn speaks_without_event(&self) -> bool {
        matches!(self.promise.rule, Some(Rule::Switched | Rule::Declared)) && self.unanswered() != Unanswered::No
    }
}

/// A cause that no switch followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// There is none.
    No,
    /// The order of this step.
    Order(String),
    /// This outage: the longest.
    Outage(Outage),
}

pub(super) fn not_exercised(kind: Option<SwitchKind>) -> Ruling {
    let what = match kind {
        Some(SwitchKind::Unplanned) => "no unplanned failover",
        Some(SwitchKind::Planned) => "no planned failover",
        Some(SwitchKind::Failback) => "no failback",
        None => "nothing of the kind",
    };
    Ruling::inconclusive(format!("not exercised: {what} in this run"))
}

pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
