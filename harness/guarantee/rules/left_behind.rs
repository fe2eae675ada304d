//! `*.secondary.nonproduction`: what became of an environment without a replica while production was served from the other
//! region: the longest time in which it was not served. It may be degraded, so this is told, and judged only against a bound of
//! the scenario's own.

use super::{Case, Ruling, worst};
use crate::model::operation::Side;

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let mut events = case.evidence.measures.events.iter();
    if !events.any(|event| event.switched.is_some() && event.to == Some(Side(1))) {
        return Ruling::inconclusive("not exercised: no environment was switched to the other region in this run");
    }
    match case.evidence.events_of(case.index).find(|event| event.kind.is_none()) {
        Some(end) => worst(&end.interruption, None, case.at_most),
        None => Ruling::inconclusive("there is no final reading"),
    }
}
