//! `*.compute.both-regions`: after a switch the other region serves the load that was offered before.
//!
//! Both regions share one machine. Where the old side lives on, it goes on using its part of it, and what the new side serves is its
//! own doing; where a region is lost its processors are free, and that the load is served then proves nothing. That it is
//! *not* served is a violation either way.

use super::{Case, Ruling};
use crate::model::{
    SwitchKind,
    measure::{EventMeasures, Served},
    verdict::Verdict,
};

/// From this share of the rate before on the load counts as served.
const SERVED: f64 = 0.95;
/// Below this share it counts as not served; between the two nothing is said.
const NOT_SERVED: f64 = 0.8;

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let switches = case.evidence.events_of(case.index).filter(|event| event.switched.is_some());
    // The worst that was seen; proof in one switch is proof, where another says nothing.
    let rank = |ruling: &Ruling| match ruling.verdict {
        Verdict::Violated => 0,
        Verdict::Held => 1,
        Verdict::Inconclusive | Verdict::Reported => 2,
    };
    switches.map(of).min_by_key(rank).unwrap_or_else(|| Ruling::inconclusive("not exercised: nothing was switched"))
}

fn of(event: &EventMeasures) -> Ruling {
    let id = &event.id;
    let Some(Served { before, after }) = event.served else {
        return Ruling::inconclusive(format!("not exercised: the load did not go on long enough around `{id}`"));
    };
    let (offered, carried) = (before.acked_per_s, after.acked_per_s);
    let told = format!("of {offered:.1}/s before `{id}`, {carried:.1}/s were served after it");
    let ruling = if carried < NOT_SERVED * offered {
        Ruling::violated(told)
    } else if carried < SERVED * offered {
        Ruling::inconclusive(told)
    } else if event.switch() == Some(SwitchKind::Unplanned) {
        Ruling::inconclusive(format!("{told}, but the region that was lost left it its processors"))
    } else {
        Ruling::new(Verdict::Held)
    };
    ruling.with_figures(None, (carried * 10.0).round() / 10.0)
}
