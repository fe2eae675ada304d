//! `*.restored`: after a failback the environment has its replica and its features again, at the end both regions hold the same, and
//! so do the non-production instances of its product: each is served, and holds all that its customers were ever told.

use std::time::Duration;

use super::{Case, Ruling, features};
use crate::model::{RunTime, event::What, verdict::Verdict};

/// How long an instance may serve nobody under load before it counts as not back: ours.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let (event, switched) = match case.observed_switch() {
        Ok(observed) => observed,
        Err(ruling) => return ruling,
    };
    let Some(home) = event.to else { return Ruling::inconclusive("no switch") };
    let later = case
        .evidence
        .events_of(case.index)
        .filter(|other| other.switch().is_some() && other.switched.is_some_and(|at| at > switched))
        .count();
    if later > 0 {
        return Ruling::inconclusive("another switch followed, so what this one restored was not seen at the end");
    }
    let missing = features::not_back(case, switched);
    if let Some(ruling) = missing.as_ref().filter(|ruling| ruling.verdict == Verdict::Violated) {
        return ruling.clone();
    }
    let replica = Case::other(home);
    let seen = case.evidence.events.iter().rev().find_map(|happened| match &happened.what {
        What::Protected { environment, replica: of, seen, detail }
            if *environment == case.index && *of == replica && happened.at >= switched =>
        {
            Some((*seen, detail.clone()))
        }
        _ => None,
    });
    let compared = case.evidence.measures.regions.iter().find(|compared| compared.environment == case.index);
    match (seen, compared) {
        (_, Some(compared)) if compared.differences() > 0 => {
            Ruling::violated(format!("the regions differ: {}", compared.examples.join(", ")))
        }
        (None, _) | (_, None) => Ruling::inconclusive("the run ended before the replica was said to be back"),
        (Some((false, why)), _) => Ruling::inconclusive(format!("the replica was not seen: {why}")),
        (_, Some(compared)) if compared.unread.is_some() => {
            Ruling::inconclusive(compared.unread.clone().unwrap_or_default())
        }
        (Some((true, _)), Some(_)) => match nonproduction(case, switched) {
            Some(ruling) => ruling,
            None => missing.unwrap_or_else(|| Ruling::new(Verdict::Held)),
        },
    }
}

/// What speaks against non-production instances being back; the worst of it, where there is more.
fn nonproduction(case: &Case<'_>, switched: RunTime) -> Option<Ruling> {
    let product = case.environment.kind.product();
    let mut unknown = None;
    for (index, environment) in case.evidence.environments() {
        if environment.kind.product() != product || case.evidence.promised_since(index, environment).is_some() {
            continue;
        }
        let id = &environment.id;
        let Some(end) = case.evidence.events_of(index).find(|event| event.kind.is_none()) else {
            unknown = Some(Ruling::inconclusive(format!("what non-production `{id}` holds at the end was not read")));
            continue;
        };
        let (rows, objects) = (end.sql.lost(), end.files.lost());
        if rows + objects > 0 {
            return Some(Ruling::violated(format!(
                "{rows} rows and {objects} objects of non-production `{id}` are not as acknowledged"
            )));
        }
        if let Some(finding) = case.evidence.measures.findings.iter().find(|finding| finding.environment == index) {
            return Some(Ruling::violated(format!("non-production `{id}`: {}", finding.id.id())));
        }
        let is_served = end.cut.is_some_and(|last| last > switched);
        let load_went_on = end.began.since(switched);
        match &end.unobserved {
            Some(why) => unknown = Some(Ruling::inconclusive(format!("non-production `{id}`: {why}"))),
            None if is_served => {}
            None if load_went_on >= SERVED_WITHIN => {
                return Some(Ruling::violated(format!("non-production `{id}` was not served again")));
            }
            None => {
                unknown = Some(Ruling::inconclusive(format!(
                    "non-production `{id}` was not seen to be served before the load ended"
                )));
            }
        }
    }
    unknown
}
