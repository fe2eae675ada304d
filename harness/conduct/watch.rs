//! What the platform says, kept as claims; every switch it says it has completed is observed at once, before the next event
//! may begin.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    observe::Observer,
    protection::Protection,
    recorder::Recorder,
    timeline::{Ordered, Orders},
    zones::{COMPLETED, Zones},
};
use crate::{
    api::control::{PlatformEvent, SwitchKind},
    model::{
        RunTime,
        event::{Event, What},
        operation::EnvironmentIndex,
        plan::Plan,
    },
    plane::Plane,
};

/// How long the platform is asked to wait for its next event.
const LONG_POLL: Duration = Duration::from_millis(500);
/// Claims after which the examiner looks for itself.
const OBSERVED: [&str; 5] =
    ["failover.completed", "failover.aborted", "failover.failed", "environment.protected", "environment.converted"];
/// Pause after a question that was not answered.
const PAUSE: Duration = Duration::from_millis(50);

/// Observations that are under way.
#[derive(Clone)]
pub(super) struct Boundaries {
    pending: Arc<watch::Sender<usize>>,
}

impl Boundaries {
    pub(super) fn new() -> Self {
        Self { pending: Arc::new(watch::Sender::new(0)) }
    }

    pub(super) fn begin(&self) {
        self.pending.send_modify(|pending| *pending += 1);
    }

    pub(super) fn end(&self) {
        self.pending.send_modify(|pending| *pending -= 1);
    }

    /// Waits until every switch so far is observed.
    pub(super) async fn observed(&self, limit: Instant) -> Result<(), String> {
        let mut pending = self.pending.subscribe();
        let done = timeout_at(limit, pending.wait_for(|pending| *pending == 0)).await;
        match done {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the observation of the switch before did not end in time".to_owned()),
        }
    }
}

/// Follows the platform's events until it is dropped.
pub(super) struct Watcher {
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts following the platform's events.
pub(super) fn start(
    observer: Arc<Observer>,
    boundaries: Boundaries,
    orders: Orders,
    zones: Arc<Zones>,
    evidence: PathBuf,
) -> Watcher {
    let (plan, plane) = (Arc::clone(&observer.plan), Arc::clone(&observer.plane));
    let recorder = observer.recorder.clone();
    let protection = Protection { observer: Arc::clone(&observer), evidence };
    let watch = Watch { plan, recorder, observer, boundaries, orders, zones, protection };
    Watcher { task: tokio::spawn(watch.follow(plane)) }
}

struct Watch {
    plan: Arc<Plan>,
    recorder: Recorder,
    observer: Arc<Observer>,
    boundaries: Boundaries,
    orders: Orders,
    zones: Arc<Zones>,
    protection: Protection,
}

impl Watch {
    async fn follow(self, plane: Arc<dyn Plane>) {
        let mut after = 0;
        loop {
            match plane.events(after, LONG_POLL).await {
                Ok(events) => {
                    for event in events {
                        after = after.max(event.number);
                        self.hear(event).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the platform's events could not be asked for");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn hear(&self, claim: PlatformEvent) {
        let environment = claim.environment.as_ref().and_then(|id| self.index(id.as_str()));
        let is_observed = OBSERVED.contains(&claim.name.as_str()) && environment.is_some();
        if is_observed {
            // Counted before any step can be triggered by the claim: it then waits for the observation.
            self.boundaries.begin();
        }
        let at = self.recorder.say(What::Claim(claim.clone()));
        let Some(environment) = environment else { return };
        match claim.name.as_str() {
            "failover.started" => {
                let order = match claim.operation {
                    Some(operation) => self.orders.lock().await.get(&operation).cloned(),
                    None => None,
                };
                self.began(environment, order, at);
            }
            "failover.completed" => self.observe(environment, |event| What::SwitchCompleted { event, environment }),
            "failover.aborted" | "failover.failed" => {
                let (aborted, why) = (claim.name == "failover.aborted", claim.detail.clone());
                self.observe(environment, |event| What::SwitchEnded { event, environment, aborted, why });
            }
            "zone.started" => self.zones.started(environment, at),
            "environment.protected" => self.protected(environment, at),
            "environment.converted" => self.converted(environment, at),
            _ => {}
        }
    }

    fn index(&self, id: &str) -> Option<EnvironmentIndex> {
        let place = self.plan.environments.iter().position(|environment| environment.id.as_str() == id)?;
        u16::try_from(place).ok().map(EnvironmentIndex)
    }

    fn began(&self, environment: EnvironmentIndex, order: Option<Ordered>, at: RunTime) {
        let what = self.recorder.look(|events| {
            let switches = events.iter().filter(|event| switch_of(event, environment).is_some()).count();
            // What nobody ordered is the platform's answer to a region that is lost.
            let (event, kind, cause) = match order {
                Some(Ordered { step, kind }) => (step.clone(), kind, started(events, &step)),
                None => (format!("failover-{}", switches + 1), SwitchKind::Unplanned, last_fault(events)),
            };
            What::SwitchBegan { event, kind, environment, cause: cause.unwrap_or(at) }
        });
        self.recorder.say_at(at, what);
    }

    /// Says that the last attempt has ended, and observes what it left.
    fn observe(&self, environment: EnvironmentIndex, what: impl FnOnce(String) -> What) {
        let event = self
            .recorder
            .look(|events| events.iter().rev().find_map(|event| switch_of(event, environment).map(str::to_owned)));
        let Some(event) = event else {
            self.boundaries.end();
            self.recorder.say(What::Problem("the platform ended a switch that it never said it began".to_owned()));
            return;
        };
        self.recorder.say(what(event.clone()));
        let (observer, boundaries) = (Arc::clone(&self.observer), self.boundaries.clone());
        tokio::spawn(async move {
            observer.boundary(environment, &event).await;
            boundaries.end();
        });
    }
}

impl Watch {
    /// The platform says that there is a replica where there was none: looks for it.
    fn converted(&self, environment: EnvironmentIndex, claimed: RunTime) {
        let (protection, boundaries) = (self.protection.clone(), self.boundaries.clone());
        tokio::spawn(async move {
            protection.look_at_replica(environment, claimed).await;
            boundaries.end();
        });
    }

    /// The platform says that there is a replica again: looks for it, if it followed a switch.
    fn protected(&self, environment: EnvironmentIndex, claimed: RunTime) {
        let id = &self.plan.environments[usize::from(environment.0)].id;
        // What followed a switch within the region has no list of what was salvaged.
        let last = self.recorder.look(|events| {
            events.iter().rev().find_map(|event| match &event.what {
                What::SwitchCompleted { event, environment: of } if *of == environment => Some(Some(event.clone())),
                What::Claim(claim) if claim.name == COMPLETED && claim.environment.as_ref() == Some(id) => Some(None),
                _ => None,
            })
        });
        let boundaries = self.boundaries.clone();
        let Some(event) = last else { return boundaries.end() };
        let protection = self.protection.clone();
        tokio::spawn(async move {
            match event {
                Some(event) => protection.look(environment, &event, claimed).await,
                None => protection.look_at_replica(environment, claimed).await,
            }
            boundaries.end();
        });
    }
}

fn switch_of(event: &Event, wanted: EnvironmentIndex) -> Option<&str> {
    match &event.what {
        What::SwitchBegan { event, environment, .. } if *environment == wanted => Some(event),
        _ => None,
    }
}

/// When the last fault took effect that was not healed since.
fn last_fault(events: &[Event]) -> Option<RunTime> {
    events.iter().rev().find_map(|event| match &event.what {
        What::Fault(record) if record.healed.is_none() => record.effective,
        _ => None,
    })
}

fn started(events: &[Event], step: &str) -> Option<RunTime> {
    events.iter().rev().find_map(|event| match &event.what {
        What::Step { id, .. } if id == step => Some(event.at),
        _ => None,
    })
}
