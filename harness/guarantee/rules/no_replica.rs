//! `*.no-replica`: until it is converted to production nothing of it is in the other region and its failover is refused;
//! converted, it has a replica that holds what was written before.

use super::{Case, Ruling};
use crate::model::{
    RunTime,
    event::What,
    plan::{Action, StepState, WantedOutcome},
    verdict::Verdict,
};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let converted = case.evidence.promised_since(case.index, case.environment);
    let until = converted.unwrap_or(RunTime(u64::MAX));
    let mut looks = 0;
    let mut unlooked = None;
    for event in case.evidence.events {
        if let What::ReplicaSought { environment, found, unlooked: why } = &event.what
            && *environment == case.index
        {
            if !found.is_empty() {
                return Ruling::violated(found.join("; "));
            }
            match why.first() {
                Some(why) => unlooked = Some(why.clone()),
                None => looks += 1,
            }
        }
    }
    let mut switches = case.evidence.events_of(case.index).filter(|event| event.switch().is_some());
    if let Some(event) = switches.find(|event| event.began < until) {
        return Ruling::violated(format!("`{}` was to switch it, though it had no replica", event.id));
    }
    if looks == 0 {
        let why = unlooked.unwrap_or_else(|| "nobody looked".to_owned());
        return Ruling::inconclusive(format!("not exercised: whether there was a replica is not known: {why}"));
    }
    if !is_refused(case, until) {
        return Ruling::inconclusive("not exercised: no failover of it was ordered and refused");
    }
    match converted {
        Some(_) => after_conversion(case, until),
        None => Ruling::new(Verdict::Held),
    }
    .with_count(looks)
}

/// Whether a switch of this environment, by name, was refused.
fn is_refused(case: &Case<'_>, until: RunTime) -> bool {
    let steps = case.evidence.plan.steps().filter(|step| step.outcome == WantedOutcome::Refused);
    let mut orders = steps.filter(|step| match &step.action {
        Action::Operate(order) => case.names(&order.scope),
        _ => false,
    });
    orders.any(|step| {
        case.evidence.events.iter().any(|event| match &event.what {
            What::Step { id, state: StepState::Done, .. } => *id == step.id && event.at < until,
            _ => false,
        })
    })
}

fn after_conversion(case: &Case<'_>, since: RunTime) -> Ruling {
    for event in case.evidence.events {
        match &event.what {
            What::Converted { environment, sql_replica, files_replica, .. } if *environment == case.index => {
                let missing = [("rows", sql_replica), ("files", files_replica)].into_iter().find(|(_, seen)| !**seen);
                if let Some((store, _)) = missing {
                    return Ruling::violated(format!("the replica of {store} was not there when it was converted"));
                }
            }
            _ => {}
        }
    }
    let seen = case.evidence.events.iter().find_map(|event| match &event.what {
        What::Protected { environment, seen, detail, .. } if *environment == case.index => Some((*seen, detail)),
        _ => None,
    });
    match seen {
        Some((true, _)) => Ruling::new(Verdict::Held),
        Some((false, why)) => Ruling::violated(format!("after its conversion the replica was not seen: {why}")),
        None => Ruling::inconclusive(format!("what was written after {:.1} s was not looked for", since.seconds())),
    }
}
