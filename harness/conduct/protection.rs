//! The platform says that an environment has a replica, again or for the first time: what is seen of it in the region that does not serve, and the
//! platform's list of what it salvaged there, which is kept as a claim.
//!
//! What counts as seen: the standby streams the timeline of the side that serves, and a row and an object that clients wrote
//! after the claim can be read in the other region.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{observe::Observer, recorder::deadline, replica, salvages};
use crate::{
    clients::poll,
    model::{
        RunTime,
        event::{Event, What},
        operation::{EnvironmentIndex, Side},
        salvage::SalvageClaim,
    },
};

/// Longest look for the replica after a claim.
const LOOK: Duration = Duration::from_secs(10);
/// Longest wait for the salvage list; the control plane may be on its way back.
const LIST: Duration = Duration::from_secs(10);

/// Looks at what the platform claims.
#[derive(Clone)]
pub(super) struct Protection {
    pub(super) observer: Arc<Observer>,
    /// Where lists are kept.
    pub(super) evidence: PathBuf,
}

impl Protection {
    /// Looks after one claim, made after the switch `event`.
    pub(super) async fn look(&self, environment: EnvironmentIndex, event: &str, claimed: RunTime) {
        tokio::join!(self.fetch(environment, event), self.look_at_replica(environment, claimed));
    }

    /// Looks for the replica alone.
    pub(super) async fn look_at_replica(&self, environment: EnvironmentIndex, claimed: RunTime) {
        let observer = &self.observer;
        let serving = match observer.serving(environment).await {
            Ok(serving) => serving,
            Err(why) => {
                observer.recorder.say(What::Problem(format!("the serving region could not be told: {why}")));
                return;
            }
        };
        let replica = if serving == Side(0) { Side(1) } else { Side(0) };
        let place = usize::from(environment.0);
        let id = &observer.plan.environments[place].id;
        let regions = [observer.region(serving), observer.region(replica)];
        let streams = replica::follows(observer.testbed.as_ref(), regions, id, &observer.endpoints[place], LOOK);
        let (streams, arrives) = tokio::join!(streams, self.arrives(environment, claimed));
        let (seen, detail) = match streams.and_then(|streams| Ok(format!("{streams}; {}", arrives?))) {
            Ok(seen) => (true, seen),
            Err(why) => (false, why),
        };
        observer.recorder.say(What::Protected { environment, replica, seen, detail });
    }

    /// Waits until lag was sampled so small that what clients wrote after the claim has arrived.
    async fn arrives(&self, environment: EnvironmentIndex, claimed: RunTime) -> Result<String, String> {
        let enough = |events: &[Event]| {
            if events.iter().any(|event| event.what == What::Quiesced) {
                return Some(None);
            }
            events.iter().rev().take_while(|event| event.at > claimed).find_map(|event| match event.what {
                What::Lag { environment: of, sql_s: Some(sql), files_s: Some(files), .. } if of == environment => {
                    let lag = sql.max(files);
                    (event.at.since(claimed).as_secs_f64() > lag).then_some(Some(lag))
                }
                _ => None,
            })
        };
        match self.observer.recorder.until(deadline(LOOK), enough).await {
            Some(Some(lag)) => Ok(format!("what was written after the claim has arrived, {lag:.3} s behind")),
            Some(None) => Err("the load ended before anything written after the claim could be looked for".to_owned()),
            None => Err(format!("nothing written after the claim arrived within {LOOK:?}")),
        }
    }

    async fn fetch(&self, environment: EnvironmentIndex, event: &str) {
        let observer = &self.observer;
        let id = &observer.plan.environments[usize::from(environment.0)].id;
        let ask = || async { observer.plane.salvage(id).await.map_err(|error| error.to_string()) };
        let list = poll::until(format!("the salvage list of {id}"), LIST, Duration::from_millis(100), ask).await;
        let kept = match list {
            Ok(Some(list)) => {
                let at = observer.recorder.clock().now();
                let claim = SalvageClaim { environment, event: event.to_owned(), at, list };
                salvages::keep(&self.evidence, id.as_str(), &claim).map_err(|error| error.to_string())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = kept {
            observer.recorder.say(What::Problem(format!("the salvage list of {id} could not be kept: {why}")));
        }
    }
}
