//! Bare measures that a scenario bounds in `expect`.

use super::{
    Evidence,
    rules::{Ruling, worst},
};
use crate::model::{measure::EventMeasures, operation::EnvironmentIndex, verdict::Verdict};

/// Whether the measure is one of the environment, not of each event.
pub(super) fn of_environment(name: &str) -> bool {
    name == "switches"
}

/// How many switches clients observed, against a bound.
pub(super) fn switches(evidence: Evidence<'_>, environment: EnvironmentIndex, bound: f64) -> Ruling {
    let events: Vec<&EventMeasures> = evidence.events_of(environment).collect();
    let count = events.iter().filter(|event| event.switched.is_some()).count();
    let measured = u32::try_from(count).map_or(f64::MAX, f64::from);
    let ruling = match () {
        () if measured > bound => Ruling::violated(format!("{count} switches were observed")),
        () if events.is_empty() => Ruling::inconclusive("nothing was observed"),
        () => Ruling::new(Verdict::Held),
    };
    ruling.with_figures(Some(bound), measured)
}

/// A measure of one event against a bound.
pub(super) fn of_event(evidence: Evidence<'_>, name: &str, event: &EventMeasures, bound: f64) -> Ruling {
    if event.kind.is_some() && event.switched.is_none() {
        return Ruling::inconclusive("no switch");
    }
    match name {
        "loss.operations" => {
            let lost = event.recovery_point.operations;
            loss(evidence, event, lost as f64, bound).with_count(lost)
        }
        "loss.age" => {
            loss(evidence, event, event.recovery_point.age_s, bound).with_count(event.recovery_point.operations)
        }
        "interruption" => worst(&event.interruption, None, Some(bound)),
        _ => match name.strip_prefix("interruption.") {
            Some(access) => worst(&event.interruption, Some(access), Some(bound)),
            None => Ruling::inconclusive(format!("nothing measures `{name}`")),
        },
    }
}

fn loss(evidence: Evidence<'_>, event: &EventMeasures, measured: f64, bound: f64) -> Ruling {
    // Before a switch the last five seconds count; for the end of the run all that was written.
    let acked = if event.kind.is_some() { event.acked_before } else { event.sql.acked };
    let min_acked = evidence.plan.workload.min_acked;
    let ruling = match &event.unobserved {
        Some(why) => return Ruling::inconclusive(format!("what survived was not observed: {why}")),
        None if measured > bound => {
            Ruling::violated(format!("{} acknowledged operations are gone", event.recovery_point.operations))
        }
        None if acked < min_acked => {
            Ruling::inconclusive(format!("only {acked} writes were acknowledged, fewer than {min_acked}"))
        }
        None => Ruling::new(Verdict::Held),
    };
    ruling.with_figures(Some(bound), measured)
}
