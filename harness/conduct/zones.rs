//! Faults of a zone as events of the report: each is observed by a reading of its own. Where the seat of an environment was in the
//! zone that is the moment at which the platform says that another zone has taken over; where it was not, the fault changes
//! nothing but the servers that are left, and the reading comes before the next step.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    observe::Observer,
    recorder::{Recorder, deadline},
    watch::Boundaries,
};
use crate::{
    api::{EnvironmentId, Region, Zone},
    model::{
        RunTime,
        event::{Event, What},
        operation::{EnvironmentIndex, Side},
        plan::StepState,
    },
};

/// The platform says that another zone has taken over.
pub(super) const COMPLETED: &str = "zone.completed";
/// The same of an attempt that was undone.
const ABORTED: &str = "zone.aborted";
/// The platform says that another zone is to take over.
const STARTED: &str = "zone.started";

/// Longest wait for another zone to take over from the one that held the seat; the reading then shows what is.
const MOVED_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for whatever ends the event of a zone that held nothing: a scenario ends long before.
const EVER: Duration = Duration::from_secs(24 * 3600);

/// How far the run is, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    /// Steps that were about to act.
    steps: u64,
    /// The load is about to end.
    is_over: bool,
}

/// The events of zones.
pub(super) struct Zones {
    observer: Arc<Observer>,
    boundaries: Boundaries,
    progress: watch::Sender<Progress>,
    /// Environments of which an event is open, or a fault is about to open one.
    open: Mutex<Vec<EnvironmentIndex>>,
}

/// A fault of a zone that is being injected.
pub(super) struct Awaited {
    zones: Arc<Zones>,
    step: String,
    concerned: Vec<(EnvironmentIndex, bool)>,
    mark: usize,
}

impl Zones {
    pub(super) fn new(observer: Arc<Observer>, boundaries: Boundaries) -> Self {
        Self { observer, boundaries, progress: watch::Sender::default(), open: Mutex::default() }
    }

    fn recorder(&self) -> &Recorder {
        &self.observer.recorder
    }

    /// A step is about to act: events of zones that held nothing end here.
    pub(super) fn before_a_step(&self) {
        self.progress.send_modify(|progress| progress.steps += 1);
    }

    /// The load is about to end, and with it every event.
    pub(super) fn close(&self) {
        self.progress.send_modify(|progress| progress.is_over = true);
    }

    /// A zone is about to be taken: what the platform does about it is this step's event.
    pub(super) fn awaits(self: &Arc<Self>, step: &str, region: &Region, zone: Zone) -> Awaited {
        let side = self.observer.plan.regions.side(region);
        let count = u16::try_from(self.observer.plan.environments.len()).unwrap_or(u16::MAX);
        let concerned: Vec<(EnvironmentIndex, bool)> = self.recorder().look(|events| {
            let seats = (0..count).map(EnvironmentIndex).map(|index| (index, seat(events, index)));
            seats.filter(|(_, (at, _))| *at == side).map(|(index, (_, seat))| (index, seat == zone)).collect()
        });
        self.open().extend(concerned.iter().map(|(index, _)| *index));
        let mark = self.recorder().mark();
        Awaited { zones: Arc::clone(self), step: step.to_owned(), concerned, mark }
    }

    /// The platform says that another zone is to take over: an event of its own, unless a fault has opened one.
    pub(super) fn started(self: &Arc<Self>, environment: EnvironmentIndex, at: RunTime) {
        let mut open = self.open();
        if open.contains(&environment) {
            return;
        }
        open.push(environment);
        drop(open);
        let earlier = |event: &&Event| match &event.what {
            What::ZoneLost { event, environment: of, .. } => *of == environment && event.starts_with("zone-"),
            _ => false,
        };
        let (number, mark) = self.recorder().look(|events| (events.iter().filter(earlier).count() + 1, events.len()));
        self.begin(format!("zone-{number}"), environment, at, true, mark);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<EnvironmentIndex>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, event: String, environment: EnvironmentIndex, cause: RunTime, held: bool, mark: usize) {
        self.boundaries.begin();
        self.recorder().say(What::ZoneLost { event: event.clone(), environment, cause });
        // Read here: the next step may be about to act before the task runs.
        let (zones, progress) = (Arc::clone(self), self.progress.subscribe());
        let steps = progress.borrow().steps;
        tokio::spawn(async move {
            zones.await_end(&event, environment, (!held).then_some(steps), mark, progress).await;
            // What begins from here on is another event's.
            zones.open().retain(|open| *open != environment);
            zones.observer.boundary(environment, &event).await;
            zones.boundaries.end();
        });
    }

    /// `until_after`: the steps before this event, if the next one ends it; `None`: the seat was in the zone, so another one is to
    /// take over, whatever the next step.
    async fn await_end(
        &self,
        event: &str,
        environment: EnvironmentIndex,
        until_after: Option<u64>,
        mark: usize,
        mut progress: watch::Receiver<Progress>,
    ) {
        let id = &self.observer.plan.environments[usize::from(environment.0)].id;
        let limit: Instant = deadline(if until_after.is_none() { MOVED_WITHIN } else { EVER });
        let ended = self.recorder().until(limit, |events| is_over(&events[mark..], event, id).then_some(()));
        // An error would say that the sender is gone, which `self` keeps.
        let passed = progress.wait_for(|now| now.is_over || until_after.is_some_and(|began| now.steps > began));
        tokio::select! {
            _ = ended => {}
            _ = passed => {}
        }
    }
}

impl Awaited {
    /// The zone is lost, since then.
    pub(super) fn begins(self, cause: RunTime) {
        for (environment, held) in self.concerned {
            self.zones.begin(self.step.clone(), environment, cause, held, self.mark);
        }
    }
}

/// Where the seat of an environment was seen last; before that it is at home, in the first zone.
fn seat(events: &[Event], wanted: EnvironmentIndex) -> (Side, Zone) {
    let seen = events.iter().rev().find_map(|event| match event.what {
        What::SeatSeen { environment, side, zone, .. } if environment == wanted => Some((side, zone)),
        _ => None,
    });
    seen.unwrap_or((Side(0), Zone::FIRST))
}

/// Whether an event has ended: another zone has taken over, or is not to; or the fault is healed and none is about to.
fn is_over(events: &[Event], id: &str, environment: &EnvironmentId) -> bool {
    let (mut started, mut healed) = (false, false);
    for event in events {
        match &event.what {
            What::Claim(claim) if claim.environment.as_ref() == Some(environment) => match claim.name.as_str() {
                STARTED => started = true,
                COMPLETED | ABORTED => return true,
                _ => {}
            },
            What::Step { id: step, state: StepState::Healed, .. } if step == id => healed = true,
            _ => {}
        }
    }
    healed && !started
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::control::PlatformEvent;

    fn claim(name: &str, environment: &str) -> What {
        What::Claim(PlatformEvent {
            number: 1,
            at_ms: 0,
            name: name.to_owned(),
            operation: None,
            region: None,
            environment: Some(environment.parse().unwrap()),
            epoch: None,
            detail: String::new(),
        })
    }

    fn healed(step: &str) -> What {
        What::Step { id: step.to_owned(), state: StepState::Healed, detail: String::new() }
    }

    #[test]
    fn an_event_ends_when_another_zone_has_taken_over_or_none_is_to() {
        let check = |what: Vec<What>, expected: bool| {
            let events: Vec<Event> = what.into_iter().map(|what| Event { at: RunTime::ZERO, what }).collect();
            assert_eq!(is_over(&events, "lost", &"sales".parse().unwrap()), expected, "{events:?}");
        };
        check(vec![], false);
        check(vec![claim(STARTED, "sales")], false);
        check(vec![claim(STARTED, "sales"), claim(COMPLETED, "sales")], true);
        check(vec![claim(STARTED, "sales"), claim(ABORTED, "sales")], true);
        check(vec![claim(COMPLETED, "books")], false);
        check(vec![healed("lost")], true);
        check(vec![healed("other")], false);
        check(vec![claim(STARTED, "sales"), healed("lost")], false);
        check(vec![claim(STARTED, "books"), healed("lost")], true);
    }

    #[test]
    fn the_seat_is_where_it_was_seen_last() {
        let seen = |environment: u16, side: u8, zone: u8| Event {
            at: RunTime::ZERO,
            what: What::SeatSeen {
                environment: EnvironmentIndex(environment),
                side: Side(side),
                zone: Zone(zone),
                timeline: 1,
                before: RunTime::ZERO,
            },
        };
        let sales = EnvironmentIndex(0);
        assert_eq!(seat(&[], sales), (Side(0), Zone(1)));
        assert_eq!(seat(&[seen(0, 0, 2), seen(1, 1, 3)], sales), (Side(0), Zone(2)));
        assert_eq!(seat(&[seen(0, 0, 2), seen(0, 1, 1)], sales), (Side(1), Zone(1)));
    }
}
