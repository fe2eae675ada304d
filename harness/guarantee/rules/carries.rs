//! `*.compute.both-regions`: after a switch the other region serves the load that was offered before, and about as quickly.
//!
//! Both regions share one machine. Where the old side lives on, it goes on using its part of it, and what the new side serves is its
//! own doing. Where a region is lost its processors are free, and that the load is served proves something only if both regions
//! were held to quotas. That it is *not* served is a violation either way.

use super::{Case, Ruling};
use crate::{
    guarantee::evidence::Evidence,
    model::{
        SwitchKind,
        event::What,
        measure::{EventMeasures, Served, Service},
        verdict::Verdict,
    },
};

/// From this share of the rate before on the load counts as served.
const SERVED: f64 = 0.95;
/// Below this share it counts as not served; between the two nothing is said.
const NOT_SERVED: f64 = 0.8;
/// Up to so many times the time before, answers are as quick as they were; and up to so many seconds nobody minds: while the old side
/// is made to follow, right after a switch, a few of a hundred answers take half a second on two processors.
const AS_QUICK: (f64, f64) = (3.0, 1.0);
/// Beyond both they are so slow that the load is not carried, whatever is acknowledged in the end.
const TOO_SLOW: (f64, f64) = (10.0, 2.0);

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let switches = case.evidence.events_of(case.index).filter(|event| event.switched.is_some());
    // The worst that was seen; proof in one switch is proof, where another says nothing.
    let rank = |ruling: &Ruling| match ruling.verdict {
        Verdict::Violated => 0,
        Verdict::Held => 1,
        Verdict::Inconclusive | Verdict::Reported => 2,
    };
    switches
        .map(|event| of(case.evidence, event))
        .min_by_key(rank)
        .unwrap_or_else(|| Ruling::inconclusive("not exercised: nothing was switched"))
}

fn of(evidence: Evidence<'_>, event: &EventMeasures) -> Ruling {
    let id = &event.id;
    let Some(Served { before, after }) = event.served else {
        return Ruling::inconclusive(format!("not exercised: the load did not go on long enough around `{id}`"));
    };
    let (offered, carried) = (before.acked_per_s, after.acked_per_s);
    let told = format!("of {} before `{id}`, {} were served after it", words(&before), words(&after));
    let ruling = if carried < NOT_SERVED * offered || is_beyond(&before, &after, TOO_SLOW) {
        Ruling::violated(told)
    } else if carried < SERVED * offered || is_beyond(&before, &after, AS_QUICK) {
        Ruling::inconclusive(told)
    } else if event.switch() != Some(SwitchKind::Unplanned) {
        Ruling::new(Verdict::Held)
    } else {
        match unheld(evidence) {
            None => Ruling::new(Verdict::Held),
            Some(why) => Ruling::inconclusive(format!("{told}, but {why}")),
        }
    };
    ruling.with_figures(None, (carried * 10.0).round() / 10.0)
}

fn words(service: &Service) -> String {
    let within = service.p99_s.map_or_else(String::new, |p99| format!(" (99 % within {p99:.3} s)"));
    format!("{:.1}/s{within}", service.acked_per_s)
}

/// Whether answers take longer than so many times what they took, and than so many seconds.
fn is_beyond(before: &Service, after: &Service, (times, seconds): (f64, f64)) -> bool {
    let (Some(before), Some(after)) = (before.p99_s, after.p99_s) else { return false };
    after > times * before && after > seconds
}

/// Why the regions are not known to have been held to quotas of the processors; `None`: they were, from the load's beginning to its
/// end.
fn unheld(evidence: Evidence<'_>) -> Option<String> {
    if evidence.plan.regions.processors.is_none() {
        return Some("the region that was lost left it its processors".to_owned());
    }
    evidence.plan.regions.quotas().find_map(|(region, _)| {
        let looks = evidence.events.iter().filter_map(|event| match &event.what {
            What::Quota { region: of, held, trouble, .. } if of == region => Some((*held, trouble)),
            _ => None,
        });
        let looks: Vec<_> = looks.collect();
        if let Some(why) = looks.iter().find_map(|(_, trouble)| trouble.as_ref()) {
            return Some(format!("{region} was not held to its processors: {why}"));
        }
        looks.iter().all(|(held, _)| *held == 0).then(|| format!("nothing of {region} was seen held to its processors"))
    })
}
