//! What the edge sees of the regions' computes, told to control every poll.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::de::IgnoredAny;

use super::routes::Routes;
use crate::{
    api::{
        Address, Epoch, Region, Zone,
        role::Timers,
        route::{Door, DoorStore, EdgeReport, Preamble},
    },
    clients::http::Http,
    platform::actor::{
        beat::every,
        connection::dial,
        locked,
        preamble::{PreambleError, introduce},
    },
};

/// How long a check or a report may take; others are begun meanwhile.
const CALL_WITHIN: Duration = Duration::from_secs(2);

/// When each zone's compute last answered.
#[derive(Default)]
pub struct Health {
    heard: Mutex<BTreeMap<(Region, Zone), Option<Instant>>>,
}

impl Health {
    /// Of zones not heard yet.
    pub fn new(zones: impl Iterator<Item = (Region, Zone)>) -> Self {
        Self { heard: Mutex::new(zones.map(|zone| (zone, None)).collect()) }
    }

    /// Checks one zone's compute every poll, for ever.
    pub async fn keep_checking(self: Arc<Self>, region: Region, zone: Zone, compute: Address, timers: Timers) {
        every(Duration::from_millis(timers.poll_ms), || {
            let (health, region, compute) = (Arc::clone(&self), region.clone(), compute.clone());
            async move {
                match check(&compute).await {
                    Ok(()) => {
                        locked(&health.heard).insert((region, zone), Some(Instant::now()));
                    }
                    Err(error) => tracing::debug!(%region, %zone, %error, "compute does not answer"),
                }
            }
        })
        .await;
    }

    fn silent_ms(&self) -> Vec<(Region, Zone, Option<u64>)> {
        let milliseconds = |heard: &Instant| u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        let heard = locked(&self.heard);
        heard.iter().map(|((region, zone), heard)| (region.clone(), *zone, heard.as_ref().map(milliseconds))).collect()
    }
}

async fn check(address: &Address) -> Result<(), PreambleError> {
    let check = Preamble { environment: None, epoch: Epoch(0), store: DoorStore::Sql, door: Door::Ro };
    let mut compute = dial(address, CALL_WITHIN).await?;
    introduce(&mut compute, &check, CALL_WITHIN).await
}

/// Reports to control every poll, for ever.
pub async fn keep_reporting(health: Arc<Health>, routes: Arc<Routes>, control: Http, timers: Timers) {
    every(Duration::from_millis(timers.poll_ms), || {
        let report = EdgeReport { silent_ms: health.silent_ms(), routes: routes.all() };
        let control = control.clone();
        async move {
            if let Err(error) = control.post::<IgnoredAny>("/internal/edge", &report, CALL_WITHIN).await {
                tracing::debug!(%error, "control did not take the report");
            }
        }
    })
    .await;
}
