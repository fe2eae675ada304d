//! `*.restored`: after a failback the environment has its replica and its features again, and at the end both regions hold the
//! same.

use super::{Case, Ruling, features};
use crate::model::{event::What, verdict::Verdict};

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
        (Some((true, _)), Some(_)) if case.evidence.has_nonproduction() => {
            Ruling::inconclusive("whether non-production instances are back is not measured yet")
        }
        (Some((true, _)), Some(_)) => missing.unwrap_or_else(|| Ruling::new(Verdict::Held)),
    }
}
