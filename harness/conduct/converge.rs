//! Before the final readings: replication of environments that the platform calls protected is given time to end, and which
//! way it runs is looked at.
//!
//! Only the side that receives is asked for its objects: to ask the source would make it replicate them. That it has all is
//! known from the ledger, and from a listing that stands still.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{due, observe::Observer, replica, seats};
use crate::{
    ledger::{self, History},
    model::{
        event::What,
        operation::{EnvironmentIndex, Side},
    },
    workload::read,
};

/// Longest wait for what is under way.
const WITHIN: Duration = Duration::from_secs(15);
/// A listing that did not change for so long stands still.
const STILL: Duration = Duration::from_millis(500);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Bound of one look.
const LOOK: Duration = Duration::from_secs(5);

/// Waits for replication to end, and says which way it runs. What cannot be told is a problem of the run.
pub(super) async fn settle(observer: &Arc<Observer>, ledger: &Path) {
    let history = match ledger::read(ledger) {
        Ok(history) => history,
        Err(error) => {
            observer.recorder.say(What::Problem(format!("the ledger could not be read: {error}")));
            return;
        }
    };
    let count = u16::try_from(observer.plan.environments.len()).unwrap_or(u16::MAX);
    join_all((0..count).map(|index| environment(observer, &history, EnvironmentIndex(index)))).await;
}

async fn environment(observer: &Observer, history: &History, index: EnvironmentIndex) {
    let place = usize::from(index.0);
    let id = &observer.plan.environments[place].id;
    let told = async { Ok::<_, String>((observer.claims_protection(index).await?, observer.serving(index).await?)) };
    let serving = match told.await {
        Ok((true, serving)) => serving,
        Ok((false, serving)) => return alone(observer, index, serving).await,
        Err(why) => {
            observer.recorder.say(What::Problem(format!("{id}: whether it is protected could not be told: {why}")));
            return;
        }
    };
    let other = if serving == Side(0) { Side(1) } else { Side(0) };
    let regions = [observer.region(serving), observer.region(other)];
    let (testbed, endpoints) = (observer.testbed.as_ref(), &observer.endpoints[place]);
    let (rows, objects) = tokio::join!(
        replica::catches_up(testbed, regions, id, endpoints, WITHIN),
        arrived(observer, history, index, other),
    );
    for why in [rows, objects].into_iter().filter_map(Result::err) {
        tracing::warn!(%id, why, "replication did not end before the final readings");
    }
    let wrong = replica::direction(testbed, regions, id, endpoints, LOOK).await;
    observer.recorder.say(What::Direction { environment: index, serving, wrong });
}

/// Looks for a replica of what is promised none to the last.
async fn alone(observer: &Observer, index: EnvironmentIndex, serving: Side) {
    let place = usize::from(index.0);
    let plan = &observer.plan.environments[place];
    if observer.recorder.look(|events| due::is_promised(events, plan)) {
        return;
    }
    let other = if serving == Side(0) { Side(1) } else { Side(0) };
    let regions = [observer.region(serving), observer.region(other)];
    let traces = replica::traces(observer.testbed.as_ref(), regions, &plan.id, &observer.endpoints[place]);
    let (found, unlooked) = traces.await;
    observer.recorder.say(What::ReplicaSought { environment: index, found, unlooked });
}

/// Waits until the other region's bucket lists every object acknowledged since the last switch, and stands still.
async fn arrived(observer: &Observer, history: &History, index: EnvironmentIndex, other: Side) -> Result<(), String> {
    let wanted = acknowledged(history, index);
    let place = usize::from(index.0);
    let id = &observer.plan.environments[place].id;
    let (began, mut last) = (Instant::now(), (0, Instant::now()));
    loop {
        let testbed = observer.testbed.as_ref();
        let stores = seats::stores(testbed, observer.region(other), id, &observer.endpoints[place]).await;
        let port = stores.files.ok_or("no file store runs in the other region")?;
        let bucket = &observer.endpoints[place].bucket;
        let listed = read::list_files(port, bucket, &observer.testbed.auditor().s3, LOOK).await?;
        let missing = wanted.difference(&listed).count();
        if listed.len() != last.0 {
            last = (listed.len(), Instant::now());
        }
        if missing == 0 && last.1.elapsed() >= STILL {
            return Ok(());
        }
        if began.elapsed() >= WITHIN {
            return Err(format!("{missing} of {} objects did not arrive within {WITHIN:?}", wanted.len()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Key and version of every object acknowledged since the last switch that the load has seen.
fn acknowledged(history: &History, index: EnvironmentIndex) -> BTreeSet<(Box<str>, Box<str>)> {
    let of = || history.operations().filter(move |(intent, _)| intent.environment == index);
    let epoch = of().map(|(intent, _)| intent.token.epoch).max().unwrap_or_default();
    of().filter(|(intent, _)| intent.token.epoch == epoch)
        .filter_map(|(intent, outcome)| {
            let acked = outcome?.file_acked.as_ref()?;
            Some((intent.file.as_ref()?.object_key.clone(), acked.version_id.clone()))
        })
        .collect()
}
