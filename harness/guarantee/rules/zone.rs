//! `*.zone.availability`: a zone of the region that serves was lost under load, and with it nothing that was acknowledged, nor
//! anybody's access for longer than the objective.

use super::{Case, Ruling, worst};
use crate::model::{
    fault::{Fault, FaultRecord, OutageHow},
    measure::EventMeasures,
    verdict::Verdict,
};

/// The longest that nobody may be answered when a zone's processes are killed, seconds: whoever has a connection to them is told
/// at once. An objective of ours.
const KILLED_S: f64 = 5.0;

/// The same when a zone falls silent, frozen or cut off, and every wait for it has to run out first.
const SILENT_S: f64 = 30.0;

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let Some(event) = case.event else { return Ruling::inconclusive("not exercised: no zone was lost in this run") };
    let lost = event.recovery_point.operations;
    let fault = fault_of(case, event);
    let objective = case.at_most.unwrap_or_else(|| fault.map_or(SILENT_S, |record| objective(&record.fault)));
    let stall = worst(&event.interruption, None, Some(objective));
    let measured =
        |ruling: Ruling| Ruling { measured: stall.measured, tested: Some(objective), ..ruling }.with_count(lost);
    let min_acked = case.evidence.plan.workload.min_acked;
    if lost > 0 {
        return measured(Ruling::violated(format!("{lost} acknowledged operations are gone")));
    }
    if stall.verdict == Verdict::Violated {
        return measured(stall.clone());
    }
    let why = match (&event.unobserved, fault) {
        (Some(why), _) => Some(format!("what survived was not observed: {why}")),
        (None, None) => Some("no fault of a zone led to it".to_owned()),
        (None, Some(record)) if record.unproven || record.effective.is_none() => {
            Some(format!("the effect of `{}` was not proven", record.step))
        }
        (None, Some(_)) if event.acked_before < min_acked => {
            let acked = event.acked_before;
            Some(format!("only {acked} acknowledgements in the five seconds before, fewer than {min_acked}"))
        }
        (None, Some(_)) => None,
    };
    measured(why.map_or_else(|| stall.clone(), Ruling::inconclusive))
}

/// The fault that led to the event: its step's own, or the last one of a zone before it.
fn fault_of<'a>(case: &Case<'a>, event: &EventMeasures) -> Option<&'a FaultRecord> {
    let mut faults = case.evidence.faults();
    faults.retain(|record| record.fault.lost_zone().is_some());
    let own = faults.iter().find(|record| record.step == event.id);
    let before = faults.iter().filter(|record| record.requested <= event.began).max_by_key(|record| record.requested);
    own.or(before).copied()
}

fn objective(fault: &Fault) -> f64 {
    match fault {
        Fault::ZoneOutage { how: OutageHow::Kill, .. } => KILLED_S,
        _ => SILENT_S,
    }
}
