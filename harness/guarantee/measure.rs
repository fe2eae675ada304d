//! Bare measures that a scenario bounds in `expect`.

use super::{
    Evidence,
    rules::{Ruling, worst},
};
use crate::model::{
    measure::{EventMeasures, Salvaged},
    operation::EnvironmentIndex,
    verdict::Verdict,
};

/// Whether the measure is one of the environment, not of each event.
pub(super) fn of_environment(name: &str) -> bool {
    name == "switches" || name == "regions.differ"
}

/// How many differences there are between the two regions at the end, against a bound.
pub(super) fn regions(evidence: Evidence<'_>, environment: EnvironmentIndex, bound: f64) -> Ruling {
    let compared = evidence.measures.regions.iter().find(|compared| compared.environment == environment);
    let Some(compared) = compared else {
        let why = "not exercised: the platform did not call it protected at the end";
        return Ruling { tested: Some(bound), ..Ruling::inconclusive(why) };
    };
    let measured = compared.differences() as f64;
    let ruling = match &compared.unread {
        _ if measured > bound => Ruling::violated(compared.examples.join(", ")),
        Some(why) => Ruling::inconclusive(why.clone()),
        None => Ruling::new(Verdict::Held),
    };
    ruling.with_figures(Some(bound), measured)
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
    // What an attempt that was undone cost is measured like any other.
    if event.switch().is_some() && event.switched.is_none() && !event.aborted {
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
        "dangling.marked" => count(event, event.dangling_marked, bound),
        "dangling.unmarked" => count(event, event.dangling_unmarked, bound),
        "dangling.left" => count(event, event.dangling_left, bound),
        "salvage.missing" => salvaged(event, |salvage| salvage.missing, bound),
        "salvage.extra" => salvaged(event, |salvage| salvage.extra, bound),
        "interruption" => worst(&event.interruption, None, Some(bound)),
        _ => match name.strip_prefix("interruption.") {
            Some(access) => worst(&event.interruption, Some(access), Some(bound)),
            None => Ruling::inconclusive(format!("nothing measures `{name}`")),
        },
    }
}

fn count(event: &EventMeasures, measured: u64, bound: f64) -> Ruling {
    let ruling = match &event.unobserved {
        Some(why) => return Ruling::inconclusive(format!("what survived was not observed: {why}")),
        None if measured as f64 > bound => Ruling::violated(format!("{measured} were found")),
        None => Ruling::new(Verdict::Held),
    };
    ruling.with_figures(Some(bound), measured as f64)
}

fn salvaged(event: &EventMeasures, of: impl Fn(&Salvaged) -> u64, bound: f64) -> Ruling {
    let Some(salvage) = &event.salvage else {
        return Ruling { tested: Some(bound), ..Ruling::inconclusive("not exercised: no salvage list was fetched") };
    };
    let measured = of(salvage) as f64;
    let ruling = match &event.unobserved {
        Some(why) => return Ruling::inconclusive(format!("what was lost was not observed: {why}")),
        None if measured > bound => Ruling::violated(salvage.examples.join(", ")),
        None => Ruling::new(Verdict::Held),
    };
    ruling.with_figures(Some(bound), measured).with_count(salvage.rows + salvage.objects)
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
