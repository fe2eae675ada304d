//! How the side that served before a switch, or the zone of it, is asked past the edge, and until when: it may answer again once the examiner has
//! itself seen that it follows as a standby.

use std::{collections::BTreeSet, sync::Arc};

use super::recorder::Recorder;
use crate::{
    api::{EnvironmentId, Epoch, Zone},
    model::{
        event::{Event, What},
        operation::{EnvironmentIndex, Side},
        plan::Plan,
    },
    testbed::Testbed,
    workload::{OldDoors, OldSide},
};

/// The doors of old sides. Where they are the testbed knows; which epochs there are the platform has said in its events, and a
/// platform that says nothing is asked with the first ones.
pub(super) fn doors(plan: Arc<Plan>, testbed: Arc<dyn Testbed>, recorder: Recorder) -> OldSide {
    Arc::new(move |index, serving, changes| {
        let environment = &plan.environments.get(usize::from(index.0))?.id;
        let (old, epochs) = recorder.look(|events| {
            let old = old(events, index, serving, changes).filter(|old| !old.follows(events, index))?;
            Some((old, last_two(events, environment)))
        })?;
        let ports = testbed.computes_in(plan.regions.of(old.side), old.zone)?;
        Some(OldDoors { side: old.side, sql: ports.sql, files: ports.files, environment: environment.clone(), epochs })
    })
}

/// What served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Old {
    side: Side,
    zone: Zone,
    /// It is a zone of the region that serves.
    is_within: bool,
}

/// The zone that held the seat before, if another one of the region that serves holds it now; else the other side, once clients
/// were answered by both.
fn old(events: &[Event], wanted: EnvironmentIndex, serving: Side, changes: u32) -> Option<Old> {
    let mut seats = events.iter().rev().filter_map(|event| match event.what {
        What::SeatSeen { environment, side, zone, .. } if environment == wanted => Some((side, zone)),
        _ => None,
    });
    let (last, before) = (seats.next(), seats.clone().next());
    if let (Some((now, zone)), Some((side, old))) = (last, before)
        && (now, side) == (serving, serving)
        && zone != old
    {
        return Some(Old { side, zone: old, is_within: true });
    }
    let side = Side(1 - serving.0.min(1));
    let zone = last.into_iter().chain(seats).find(|(at, _)| *at == side).map_or(Zone::FIRST, |(_, zone)| zone);
    (changes > 0).then_some(Old { side, zone, is_within: false })
}

impl Old {
    /// Whether it was seen to follow since the last switch.
    fn follows(self, events: &[Event], wanted: EnvironmentIndex) -> bool {
        if !self.is_within {
            return follows(events, wanted, self.side);
        }
        let last = events.iter().rev().find(|event| match &event.what {
            What::SeatSeen { environment, .. } | What::SeatFollows { environment, .. } => *environment == wanted,
            _ => false,
        });
        last.is_some_and(|event| {
            matches!(event.what, What::SeatFollows { side, zone, .. } if (side, zone) == (self.side, self.zone))
        })
    }
}

/// Whether the side was seen to follow since the last switch. An attempt that was undone was none.
fn follows(events: &[Event], wanted: EnvironmentIndex, side: Side) -> bool {
    let mut undone = 0;
    for event in events.iter().rev() {
        match &event.what {
            What::Protected { environment, replica, seen, .. } if *environment == wanted && *replica == side => {
                return *seen;
            }
            What::SwitchEnded { environment, aborted: true, .. } if *environment == wanted => undone += 1,
            What::SwitchBegan { environment, .. } if *environment == wanted => match undone {
                0 => return false,
                _ => undone -= 1,
            },
            _ => {}
        }
    }
    false
}

/// The epoch in force as far as was heard, and the one before it. If only one was heard of, the one after it is on its way.
fn last_two(events: &[Event], wanted: &EnvironmentId) -> Vec<Epoch> {
    let said = events.iter().filter_map(|event| match &event.what {
        What::Claim(claim) if claim.environment.as_ref() == Some(wanted) => claim.epoch,
        _ => None,
    });
    let said: BTreeSet<Epoch> = said.collect();
    let last = said.last().copied().unwrap_or(Epoch(1));
    match said.iter().rev().nth(1) {
        Some(before) => vec![*before, last],
        None => vec![last, Epoch(last.0 + 1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::control::{PlatformEvent, SwitchKind},
        model::RunTime,
    };

    const SALES: EnvironmentIndex = EnvironmentIndex(0);

    fn events(what: Vec<What>) -> Vec<Event> {
        what.into_iter().map(|what| Event { at: RunTime::ZERO, what }).collect()
    }

    fn began(environment: u16) -> What {
        let (event, kind) = ("one".to_owned(), SwitchKind::Unplanned);
        What::SwitchBegan { event, kind, environment: EnvironmentIndex(environment), cause: RunTime::ZERO }
    }

    fn undone() -> What {
        What::SwitchEnded { event: "one".to_owned(), environment: SALES, aborted: true, why: String::new() }
    }

    fn protected(side: u8, seen: bool) -> What {
        What::Protected { environment: SALES, replica: Side(side), seen, detail: String::new() }
    }

    #[test]
    fn the_old_side_is_asked_until_it_was_seen_to_follow() {
        let check = |what: Vec<What>, side: u8, expected: bool| {
            let events = events(what);
            assert_eq!(follows(&events, SALES, Side(side)), expected, "{events:?}");
        };
        check(vec![], 0, false);
        check(vec![began(0)], 0, false);
        check(vec![began(0), protected(0, true)], 0, true);
        check(vec![began(0), protected(0, false)], 0, false);
        check(vec![began(0), protected(0, true), began(1)], 0, true);
        check(vec![began(0), protected(0, true), began(0)], 1, false);
        check(vec![began(0), protected(0, true), began(0), undone()], 0, true);
        check(vec![began(0), protected(0, true), began(0), protected(1, true)], 1, true);
    }

    fn seen(side: u8, zone: u8) -> What {
        let (side, zone) = (Side(side), Zone(zone));
        What::SeatSeen { environment: SALES, side, zone, timeline: 1, before: RunTime::ZERO }
    }

    #[test]
    fn a_zone_that_held_the_seat_is_the_old_side_until_it_follows() {
        let check = |what: Vec<What>, serving: u8, changes: u32, expected: Option<(u8, u8)>| {
            let events = events(what);
            let asked = old(&events, SALES, Side(serving), changes).filter(|old| !old.follows(&events, SALES));
            assert_eq!(asked.map(|old| (old.side.0, old.zone.0)), expected, "{events:?}");
        };
        let back = |zone| What::SeatFollows { environment: SALES, side: Side(0), zone: Zone(zone) };
        check(vec![], 0, 0, None);
        check(vec![seen(0, 1)], 0, 0, None);
        check(vec![seen(0, 1), seen(0, 2)], 0, 0, Some((0, 1)));
        check(vec![seen(0, 1), seen(0, 2), back(1)], 0, 0, None);
        check(vec![seen(0, 1), seen(0, 2), back(1), seen(0, 1)], 0, 0, Some((0, 2)));
        // To the other region: its compute is that of the zone that held the seat there.
        check(vec![seen(0, 1), seen(0, 2)], 1, 1, Some((0, 2)));
        check(vec![seen(0, 1), seen(0, 2), seen(1, 1)], 1, 1, Some((0, 2)));
        check(vec![seen(0, 1), seen(0, 2), seen(1, 1), began(0), protected(0, true)], 1, 1, None);
        check(vec![seen(0, 2), seen(1, 1), seen(0, 1)], 0, 2, Some((1, 1)));
    }

    #[test]
    fn the_epochs_are_the_last_two_that_the_platform_spoke_of() {
        let claim = |epoch: u64| {
            What::Claim(PlatformEvent {
                number: epoch,
                at_ms: 0,
                name: "failover.switched".to_owned(),
                operation: None,
                region: None,
                environment: Some("sales".parse().unwrap()),
                epoch: Some(Epoch(epoch)),
                detail: String::new(),
            })
        };
        let epochs = |what| last_two(&events(what), &"sales".parse().unwrap()).iter().map(|e| e.0).collect::<Vec<_>>();
        assert_eq!(epochs(vec![]), [1, 2]);
        assert_eq!(epochs(vec![claim(1), claim(1)]), [1, 2]);
        assert_eq!(epochs(vec![claim(1), claim(2), claim(2), claim(3)]), [2, 3]);
    }
}
