//! What was said, beside what was seen: moments that the platform announced one by one, and the error of each claim over the
//! whole run.

use super::{
    contract::{ClaimErrorRow, ClaimRow},
    make::name,
};
use crate::{
    api::control::PlatformEvent,
    model::{
        RunTime, SwitchKind,
        claim::{ClaimCounts, ClaimError, Claimant, Spread},
        event::{Event, What},
        measure::{EventMeasures, Measures},
        operation::Side,
        plan::Plan,
    },
};

/// The claim of how much a switch has lost.
const LOSS_WINDOW: &str = "estimated loss window";
/// Its announcement is a claim of several things.
const COMPLETED: &str = "failover.completed";

/// What a moment was laid beside: what that is, and when it was, or why it was not seen.
type Beside = Result<(&'static str, RunTime), String>;

/// Every moment that the platform announced.
pub(super) fn moments(plan: &Plan, measures: &Measures, events: &[Event]) -> Vec<ClaimRow> {
    let run = Run { plan, measures, events };
    let row = |(heard, claim): (RunTime, &PlatformEvent)| {
        let beside = run.beside(heard, claim);
        let measured = beside.as_ref().ok().map(|(_, at)| *at);
        ClaimRow {
            claim: claim.name.clone(),
            environment: claim.environment.as_ref().map(ToString::to_string),
            region: claim.region.as_ref().map(ToString::to_string),
            heard_s: heard.seconds(),
            measured_s: measured.map(RunTime::seconds),
            error_s: measured.map(|at| heard.seconds() - at.seconds()),
            beside: beside.as_ref().ok().map(|(what, _)| (*what).to_owned()),
            why: beside.err(),
            detail: claim.detail.clone(),
        }
    };
    run.claims().map(row).collect()
}

/// The error of each claim: of the figures that were sampled, of the moments that can be compared, and of the loss that the
/// platform estimated.
pub(super) fn errors(plan: &Plan, measures: &Measures, events: &[Event], moments: &[ClaimRow]) -> Vec<ClaimErrorRow> {
    let sampled = measures.claims.iter().map(|error| sampled(plan, error));
    let losses = Run { plan, measures, events }.losses();
    sampled.chain(losses).chain(of_moments(moments)).collect()
}

fn sampled(plan: &Plan, error: &ClaimError) -> ClaimErrorRow {
    ClaimErrorRow {
        environment: Some(name(plan, error.environment)),
        by: error.by,
        claim: error.claim.clone(),
        unit: error.unit.clone(),
        samples: error.samples,
        claimed: error.claimed,
        measured: error.measured,
        error: error.error,
        measured_unsaid_max: error.measured_unsaid_max,
        at_least: error.at_least,
        resolution: error.resolution,
        why: error.why.clone(),
    }
}

/// A row for each moment of each environment; those of one name are the samples.
fn of_moments(moments: &[ClaimRow]) -> Vec<ClaimErrorRow> {
    let mut keys: Vec<(&str, Option<&str>)> = Vec::new();
    for moment in moments {
        let key = (moment.claim.as_str(), moment.environment.as_deref());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let row = |(claim, environment): (&str, Option<&str>)| {
        let of: Vec<&ClaimRow> = (moments.iter())
            .filter(|moment| moment.claim == claim && moment.environment.as_deref() == environment)
            .collect();
        let errors: Vec<f64> = of.iter().filter_map(|moment| moment.error_s).collect();
        let (samples, compared) = (of.len() as u64, errors.len() as u64);
        let why = of.iter().find_map(|moment| moment.why.clone()).filter(|_| compared == 0);
        ClaimErrorRow {
            environment: environment.map(str::to_owned),
            by: Claimant::Platform,
            claim: claim.to_owned(),
            unit: "s".to_owned(),
            samples: ClaimCounts { samples, compared, unmeasured: samples - compared, ..ClaimCounts::default() },
            // Moments of a run have no median.
            claimed: None,
            measured: None,
            error: Spread::of(errors),
            measured_unsaid_max: None,
            at_least: false,
            resolution: None,
            why,
        }
    };
    keys.into_iter().map(row).collect()
}

struct Run<'a> {
    plan: &'a Plan,
    measures: &'a Measures,
    events: &'a [Event],
}

impl<'a> Run<'a> {
    fn claims(&self) -> impl Iterator<Item = (RunTime, &'a PlatformEvent)> + use<'a> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Claim(claim) => Some((event.at, claim)),
            _ => None,
        })
    }

    /// The switch that was under way, or over, when a claim was heard.
    fn switch(&self, heard: RunTime, claim: &PlatformEvent) -> Option<&'a EventMeasures> {
        let environment = claim.environment.as_ref()?;
        let mut of = self
            .measures
            .events
            .iter()
            .filter(|event| event.switch().is_some() && name(self.plan, event.environment) == environment.as_str());
        of.rfind(|event| event.began <= heard)
    }

    fn beside(&self, heard: RunTime, claim: &PlatformEvent) -> Beside {
        let switch = || self.switch(heard, claim).ok_or("no switch was seen to begin".to_owned());
        let seen = |what, at: Option<RunTime>| at.map(|at| (what, at)).ok_or(format!("not seen: {what}"));
        match claim.name.as_str() {
            "region.declared" => {
                let mut unplanned =
                    self.measures.events.iter().filter(|event| event.switch() == Some(SwitchKind::Unplanned));
                let lost = unplanned.rfind(|event| event.began <= heard).map(|event| event.began);
                seen("the fault that led to a switch took effect", lost)
            }
            "failover.notified" => seen("the notice came to the examiner's receiver", self.notice(claim)),
            "failover.fenced" => seen("the last write that the old side acknowledged", switch()?.cut),
            "failover.promoted" => {
                let switch = switch()?;
                seen("the new side's Postgres was first seen to be no standby", self.promoted(switch))
            }
            "failover.routed" | COMPLETED => seen("the first write that the new side acknowledged", switch()?.switched),
            "environment.protected" => self.protected(heard, claim),
            _ => Err("nothing that clients are answered or that a region holds shows it".to_owned()),
        }
    }

    fn notice(&self, claim: &PlatformEvent) -> Option<RunTime> {
        self.events.iter().find_map(|event| match &event.what {
            What::NoticeReceived { environment, operation, .. }
                if Some(*operation) == claim.operation
                    && claim.environment.as_ref().is_some_and(|id| name(self.plan, *environment) == id.as_str()) =>
            {
                Some(event.at)
            }
            _ => None,
        })
    }

    /// When the side switched to first said that it is no standby, after the switch began.
    fn promoted(&self, switch: &EventMeasures) -> Option<RunTime> {
        let Side(to) = switch.to?;
        self.events.iter().filter(|event| event.at >= switch.began).find_map(|event| match &event.what {
            What::Claimed(sample) if sample.environment == switch.environment => {
                let says = sample.sql.get(usize::from(to)).copied().flatten();
                says.filter(|says| !says.in_recovery).map(|_| event.at)
            }
            _ => None,
        })
    }

    fn protected(&self, heard: RunTime, claim: &PlatformEvent) -> Beside {
        let looked = self.events.iter().filter(|event| event.at >= heard).find_map(|event| match &event.what {
            What::Protected { environment, seen, detail, .. }
                if claim.environment.as_ref().is_some_and(|id| name(self.plan, *environment) == id.as_str()) =>
            {
                Some((event.at, *seen, detail))
            }
            _ => None,
        });
        match looked {
            Some((at, true, _)) => Ok(("both stores were seen to follow", at)),
            Some((_, false, detail)) => Err(format!("not seen: {detail}")),
            None => Err("the load ended before anybody looked".to_owned()),
        }
    }

    /// How much each switch lost, as the platform estimates when it announces its end, beside what it lost.
    fn losses(&self) -> Vec<ClaimErrorRow> {
        let mut rows: Vec<(String, Vec<Loss>)> = Vec::new();
        for (heard, claim) in self.claims().filter(|(_, claim)| claim.name == COMPLETED) {
            let Some(id) = &claim.environment else { continue };
            let switch = self.switch(heard, claim).filter(|event| event.unobserved.is_none());
            // The platform speaks of rows.
            let loss = Loss { said: claim.loss_window_s(), lost: switch.map(|event| event.recovery_point.sql_age_s) };
            match rows.iter_mut().find(|(of, _)| of == id.as_str()) {
                Some((_, losses)) => losses.push(loss),
                None => rows.push((id.to_string(), vec![loss])),
            }
        }
        rows.into_iter().map(|(environment, losses)| loss_row(environment, &losses)).collect()
    }
}

/// The loss of one switch, seconds: as estimated, and as measured.
struct Loss {
    said: Option<f64>,
    lost: Option<f64>,
}

fn loss_row(environment: String, losses: &[Loss]) -> ClaimErrorRow {
    let both: Vec<(f64, f64)> = losses.iter().filter_map(|loss| loss.said.zip(loss.lost)).collect();
    let unsaid = || losses.iter().filter(|loss| loss.said.is_none());
    let (samples, compared, silent) = (losses.len() as u64, both.len() as u64, unsaid().count() as u64);
    ClaimErrorRow {
        environment: Some(environment),
        by: Claimant::Platform,
        claim: LOSS_WINDOW.to_owned(),
        unit: "s".to_owned(),
        samples: ClaimCounts {
            samples,
            compared,
            silent,
            unmeasured: samples - compared - silent,
            ..ClaimCounts::default()
        },
        claimed: Spread::of(both.iter().map(|(said, _)| *said).collect()),
        measured: Spread::of(both.iter().map(|(_, lost)| *lost).collect()),
        error: Spread::of(both.iter().map(|(said, lost)| said - lost).collect()),
        measured_unsaid_max: unsaid().filter_map(|loss| loss.lost).max_by(f64::total_cmp),
        at_least: false,
        // It is told in tenths of a second.
        resolution: Some(0.05),
        why: (compared == 0).then(|| "the platform gave no figure, or the loss was not observed".to_owned()),
    }
}
