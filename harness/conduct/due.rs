//! When a replica is due, so that its lag is judged: from deployment until a switch begins or its region is lost, and again
//! once the examiner has itself seen that the other region follows.

use crate::model::{
    event::{Event, What},
    operation::{EnvironmentIndex, Side},
    plan::Regions,
};

/// Whether an environment's replica is due now.
pub(super) fn replica_is_due(events: &[Event], wanted: EnvironmentIndex, regions: &Regions) -> bool {
    let mut replica = Side(1);
    let mut due = true;
    // A switch that is undone leaves things as they were.
    let mut before = due;
    for event in events {
        match &event.what {
            What::SwitchBegan { environment, .. } if *environment == wanted => {
                before = due;
                due = false;
            }
            What::SwitchEnded { environment, aborted, .. } if *environment == wanted => due = *aborted && before,
            What::Protected { environment, replica: side, seen, .. } if *environment == wanted => {
                replica = *side;
                due = *seen;
            }
            What::Fault(record) if record.healed.is_none() => {
                let region = if replica == Side(0) { &regions.primary } else { &regions.secondary };
                if record.fault.lost_region() == Some(region) {
                    (due, before) = (false, false);
                }
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
        api::control::SwitchKind,
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
        let regions = Regions { primary: "east".parse().unwrap(), secondary: "west".parse().unwrap(), zones: 1 };
        let check = |what: Vec<What>, expected: bool| {
            let events: Vec<Event> = what.into_iter().map(|what| Event { at: RunTime::ZERO, what }).collect();
            assert_eq!(replica_is_due(&events, SALES, &regions), expected, "{events:?}");
        };
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
    }
}
