//! `*.notice`: a notice reached the examiner's own receiver before the new side's first acknowledgement; or, where the
//! receiver failed at the time, an attempt was made before, and the notice was delivered afterwards.

use std::time::Duration;

use super::{Case, Ruling, seconds};
use crate::{
    api::control::{NoticeKind, SwitchKind},
    model::{
        RunTime,
        event::{Event, What},
        fault::Fault,
        measure::EventMeasures,
        verdict::Verdict,
    },
};

/// After a receiver is well again, what is owed to it must have come within this. The document names no time; nobody should
/// have to wait longer for what was to be told at once.
const DELIVERED_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let (event, switched) = match case.observed_switch() {
        Ok(observed) => observed,
        Err(ruling) => return ruling,
    };
    let wanted = match event.switch() {
        Some(SwitchKind::Planned) => NoticeKind::PlannedFailover,
        Some(SwitchKind::Failback) => NoticeKind::Failback,
        Some(SwitchKind::Unplanned) | None => NoticeKind::UnplannedFailover,
    };
    let first = |is_it: &dyn Fn(&What) -> bool| {
        let happened: Option<&Event> =
            case.evidence.events.iter().find(|happened| happened.at >= event.began && is_it(&happened.what));
        happened.map(|happened| happened.at)
    };
    let received = first(
        &|what| matches!(what, What::NoticeReceived { environment, kind, .. } if *environment == case.index && *kind == wanted),
    );
    let attempted = first(
        &|what| matches!(what, What::NoticeAttempt { environment, kind, .. } if *environment == case.index && *kind == wanted),
    );
    if received.is_some_and(|at| at < switched) {
        return Ruling::new(Verdict::Held);
    }
    if attempted.is_some_and(|at| at < switched) {
        return after_an_attempt(case, switched, received);
    }
    if was_unreachable(case, event, switched) {
        return Ruling::inconclusive("the link to the receiver was impeded: whether anybody tried cannot be seen");
    }
    match received {
        Some(at) => Ruling::violated(format!(
            "the notice came {:.0} ms after traffic was switched",
            at.since(switched).as_secs_f64() * 1e3
        )),
        None => Ruling::violated("no notice was received"),
    }
}

/// The receiver failed when it was told: what it was owed has to come once it is well.
fn after_an_attempt(case: &Case<'_>, switched: RunTime, received: Option<RunTime>) -> Ruling {
    if received.is_some() {
        return Ruling::new(Verdict::Held);
    }
    let end = case.evidence.events.last().map_or(switched, |event| event.at);
    let failing = case.evidence.faults().into_iter().filter(|fault| {
        matches!(fault.fault, Fault::WebhookFail { .. }) && fault.effective.is_some_and(|effective| effective < end)
    });
    // Never healed: until the end.
    let well_since = failing.map(|fault| fault.healed.unwrap_or(end)).max().unwrap_or(switched);
    let well = end.since(well_since);
    if well > DELIVERED_WITHIN {
        let why =
            format!("an attempt was made in time, and {} after the receiver was well nothing has come", seconds(well));
        return Ruling::violated(why);
    }
    Ruling::inconclusive(format!(
        "an attempt was made in time; the receiver was well again for only {} before the end",
        seconds(well)
    ))
}

/// Whether the link on which notices go was impeded at any time between the cause and the switch.
fn was_unreachable(case: &Case<'_>, event: &EventMeasures, switched: RunTime) -> bool {
    case.evidence.faults().into_iter().any(|fault| {
        let link = match &fault.fault {
            Fault::LinkPartition { link, .. }
            | Fault::LinkFlap { link, .. }
            | Fault::LinkLatency { link, .. }
            | Fault::LinkBandwidth { link, .. } => link,
            _ => return false,
        };
        link.service == "notices"
            && fault.effective.is_some_and(|effective| effective <= switched)
            && fault.healed.is_none_or(|healed| healed >= event.began)
    })
}
