//! `*.declared`: an outage shorter than the grace causes no failover, a longer one does.

use super::{super::evidence::Outage, Case, Ruling, not_exercised, seconds};
use crate::model::verdict::Verdict;

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    match case.event {
        Some(_) => of_switch(case),
        None => without_switch(case),
    }
}

fn of_switch(case: &Case<'_>) -> Ruling {
    let (event, switched) = match case.observed_switch() {
        Ok(observed) => observed,
        Err(ruling) => return ruling,
    };
    if case.evidence.ordered(&event.id) {
        return Ruling::inconclusive("not exercised: an operator ordered this failover");
    }
    let outage = case.evidence.outages(case.index).into_iter().rfind(|outage| outage.asked < switched);
    let Some(outage) = outage else {
        return if case.evidence.broken_before(switched) {
            Ruling::inconclusive("the region was impeded but not lost: whether to give it up cannot be judged")
        } else {
            Ruling::violated("traffic was switched though nothing was broken")
        };
    };
    let (grace, waited) = (case.evidence.grace(), switched.since(outage.asked));
    if waited < grace {
        return Ruling::violated(format!(
            "traffic was switched {} into the outage, before the grace of {}",
            seconds(waited),
            seconds(grace)
        ));
    }
    if switched < outage.began.plus(grace) {
        return Ruling::inconclusive(format!(
            "the region took {} to die, so whether the grace of {} was waited out cannot be told",
            seconds(outage.began.since(outage.asked)),
            seconds(grace)
        ));
    }
    if outage.healed && outage.lasted < grace {
        return Ruling::violated(format!(
            "the region was back after {}, within the grace of {}, and failed over all the same",
            seconds(outage.lasted),
            seconds(grace)
        ));
    }
    Ruling::new(Verdict::Held)
}

fn without_switch(case: &Case<'_>) -> Ruling {
    let worst = case.unanswered_outages().map(|outage| of_outage(case, outage)).max_by_key(|ruling| ruling.verdict);
    worst.unwrap_or_else(|| not_exercised(case.promise.switch))
}

fn of_outage(case: &Case<'_>, outage: Outage) -> Ruling {
    let (grace, at_most) = (case.evidence.grace(), case.evidence.grace_at_most());
    if outage.lasted > at_most {
        return Ruling::violated(format!(
            "an outage of {}, longer than the grace of {}, caused no failover",
            seconds(outage.lasted),
            seconds(grace)
        ));
    }
    if outage.lasted >= grace {
        let why = format!("the outage of {} was too near the grace of {}", seconds(outage.lasted), seconds(grace));
        return Ruling::inconclusive(why);
    }
    if case.evidence.watched_until() < outage.began.plus(at_most) {
        return Ruling::inconclusive("the run ended before the grace would have run out");
    }
    Ruling::new(Verdict::Held)
}
