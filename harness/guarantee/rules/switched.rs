//! `*.switched`: the first acknowledged write was observed from the other region within the scenario's limit.

use super::{Case, Ruling, Unanswered, not_exercised, seconds};
use crate::model::verdict::Verdict;

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let limit = case.evidence.switch_limit(case.environment, case.event).as_secs_f64();
    let limit = case.at_most.map_or(limit, |set| set.min(limit));
    let Some(event) = case.event else { return without_event(case, limit) };
    let Some(switched) = event.switched else {
        if event.aborted {
            return Ruling { tested: Some(limit), ..Ruling::inconclusive("no switch: the attempt was aborted") };
        }
        return Ruling { tested: Some(limit), ..Ruling::violated("no write was acknowledged from the other region") };
    };
    let took = switched.since(event.began).as_secs_f64();
    let ruling = if took > limit {
        Ruling::violated(format!("the first write from the other region came after {took:.1} s"))
    } else {
        Ruling::new(Verdict::Held)
    };
    ruling.with_figures(Some(limit), took)
}

fn without_event(case: &Case<'_>, limit: f64) -> Ruling {
    let ruling = match case.unanswered() {
        Unanswered::No => return not_exercised(case.promise.switch),
        Unanswered::Order(step) => Ruling::violated(format!("ordered by `{step}`, and no switch was observed")),
        Unanswered::Outage(outage) if outage.lasted > case.evidence.grace_at_most() => Ruling::violated(format!(
            "an outage of {}, longer than the grace, and no switch was observed",
            seconds(outage.lasted)
        )),
        Unanswered::Outage(outage) if outage.lasted < case.evidence.grace() => {
            return Ruling::inconclusive("not exercised: no outage longer than the grace");
        }
        Unanswered::Outage(outage) => Ruling::inconclusive(format!(
            "no switch; the outage of {} was too near the grace to demand one",
            seconds(outage.lasted)
        )),
    };
    Ruling { tested: Some(limit), ..ruling }
}
