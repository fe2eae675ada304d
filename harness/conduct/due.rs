//! When a replica is due, so that its lag is judged: from deployment (of a kind that has one) until a switch begins or its
//! region is lost, and again once the examiner has itself seen that the other region follows.

use crate::model::{
    event::{Event, What},
    operation::{EnvironmentIndex, Side},
    plan::{EnvironmentPlan, Plan},
};

/// Whether a replica is promised: by the kind that the environment was deployed as, or since the platform says that it was
/// converted.
pub(super) fn is_promised(events: &[Event], environment: &EnvironmentPlan) -> bool {
    let says = |event: &Event| match &event.what {
        What::Claim(claim) => {
            claim.name == "environment.converted" && claim.environment.as_ref() == Some(&environment.id)
        }
        _ => false,
    };
    environment.kind.has_replica() || events.iter().any(says)
}

/// Whether an environment's replica is due now.
pub(super) fn replica_is_due(events: &[Event], wanted: EnvironmentIndex, plan: &Plan) -> bool {
    let regions = &plan.regions;
    let id = plan.environments.get(usize::from(wanted.0)).map(|environment| &environment.id);
    let mut replica = Side(1);
    let mut due =
        plan.environments.get(usize::from(wanted.0)).is_some_and(|environment| environment.kind.has_replica());
    // A switch that is undone leaves things as they were.
    let mut before = due;
    for event in events {
        match &event.what {
            What::SwitchBegan { environment, .. } if *environment == wanted => {
                before = due;
                due = false;
            }
            What::SwitchEnded { environment, aborted, .. } if *environment == wanted => due = *aborted && before,
            // Until the other region follows the zone that takes over.
            What::Claim(claim) if claim.environment.is_some() && claim.environment.as_ref() == id => {
                match claim.name.as_str() {
                    "zone.started" => {
                        before = due;
                        due = false;
                    }
                    "zone.aborted" => due = before,
                    _ => {}
                }
            }
            What::Protected { environment, replica: side, seen, .. } if *environment == wanted => {
                replica = *side;
                due = *seen;
            }
            What::Fault(record)
                if record.healed.is_none() && record.fault.lost_region() == Some(regions.of(replica)) =>
            {
                (due, before) = (false, false);
            }
            _ => {}
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{control::SwitchKind, environment::EnvironmentKind},
        guarantee::sample,
        model::{
            RunTime,
            fault::{Fault, FaultRecord},
        },
    };

    const SALES: EnvironmentIndex = EnvironmentIndex(0);

    fn began(environment: EnvironmentIndex) -> What {
        let (event, kind) = ("one".to_owned(), SwitchKind::Planned);
        What::SwitchBegan { event, kind, environment, cause: RunTime::ZERO }
    }

    fn ended(aborted: bool) -> What {
        What::SwitchEnded { event: "one".to_owned(), environment: SALES, aborted, why: String::new() }
    }

    fn protected(side: u8, seen: bool) -> What {
        What::Protected { environment: SALES, replica: Side(side), seen, detail: String::new() }
    }

    fn lost(region: &str) -> What {
        What::Fault(FaultRecord {
            step: "outage".to_owned(),
            fault: Fault::RegionIsolate { region: region.parse().unwrap() },
            requested: RunTime::ZERO,
            effective: Some(RunTime::ZERO),
            proof: String::new(),
            healed: None,
            healing: None,
            unproven: false,
        })
    }

    #[test]
    fn a_replica_is_due_until_a_switch_and_again_once_it_is_seen() {
        let mut plan = sample::plan();
        let of = |plan: &Plan, what: Vec<What>, expected: bool| {
            let events: Vec<Event> = what.into_iter().map(|what| Event { at: RunTime::ZERO, what }).collect();
            assert_eq!(replica_is_due(&events, SALES, plan), expected, "{events:?}");
        };
        let check = |what, expected| of(&plan, what, expected);
        check(vec![], true);
        check(vec![began(SALES)], false);
        check(vec![began(EnvironmentIndex(1))], true);
        check(vec![began(SALES), ended(true)], true);
        check(vec![began(SALES), ended(false)], false);
        check(vec![began(SALES), protected(0, true)], true);
        check(vec![began(SALES), protected(0, false)], false);
        check(vec![lost("west")], false);
        check(vec![lost("east")], true);
        check(vec![began(SALES), protected(0, true), lost("west")], true);
        check(vec![began(SALES), protected(0, true), lost("east")], false);
        check(vec![lost("west"), began(SALES), ended(true)], false);
        check(vec![began(SALES), protected(0, true), began(SALES), protected(1, true)], true);
        // Of what has none it is due once it was seen after its conversion.
        plan.environments[0].kind = EnvironmentKind::DataverseTeams;
        of(&plan, vec![], false);
        of(&plan, vec![protected(1, false)], false);
        of(&plan, vec![protected(1, true)], true);
    }
}
