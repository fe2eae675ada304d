//! Before the load: stores of the size that the scenario wants, seen in both regions.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::{observe::Observer, replica};
use crate::{
    clients::poll,
    model::{event::What, operation::Side},
    workload::{self, LoadSpec, Target},
};

/// Between two words on how far it is.
const WORD: Duration = Duration::from_secs(5);
/// Between two looks at the other region's bucket: a listing of a large one takes seconds.
const LOOK: Duration = Duration::from_secs(2);
/// Objects cross at least as fast as this, a second.
const CROSSED_PER_S: u32 = 20;
/// Longest wait for the last of few.
const CROSSED: Duration = Duration::from_secs(30);

/// Writes what the scenario wants there before the load, waits until the other region has it, and reads it once on both
/// sides, so that no boundary reading, made while the load runs, has to. `deadline` bounds each operation.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn fill(observer: &Observer, spec: &LoadSpec, deadline: Duration) -> Result<(), String> {
    if spec.workload.prefill == 0 {
        return Ok(());
    }
    try_join_all(spec.targets.iter().map(|target| one(observer, spec, target, deadline))).await.map(drop)
}

async fn one(observer: &Observer, spec: &LoadSpec, target: &Target, deadline: Duration) -> Result<(), String> {
    let (environment, count) = (target.environment, spec.workload.prefill);
    let plan = &observer.plan.environments[usize::from(environment.0)];
    let say = |detail: String| {
        let detail = format!("{}: {detail}", plan.id);
        observer.recorder.say(What::Prefill { environment, detail });
    };
    let written = AtomicU32::new(0);
    let mut words = interval(WORD);
    words.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let writing = workload::prefill(target, spec, deadline, &written);
    tokio::pin!(writing);
    loop {
        tokio::select! {
            ended = &mut writing => break ended?,
            _ = words.tick() => say(format!("{} of {count} rows and objects written", written.load(Relaxed))),
        }
    }
    if plan.kind.has_replica() {
        say(format!("{count} rows and objects written; waiting for the other region"));
        let (testbed, region) = (observer.testbed.as_ref(), &observer.plan.regions.secondary);
        let within = CROSSED + Duration::from_secs(u64::from(count / CROSSED_PER_S));
        let there = || async {
            match replica::held(testbed, region, &plan.id, &target.endpoints).await? {
                held if held >= count as usize => Ok(()),
                held => Err(format!("{held} of {count} are there")),
            }
        };
        let waited = poll::until(format!("the objects of {} in {region}", plan.id), within, LOOK, there).await;
        waited.map_err(|error| error.to_string())?;
    }
    for side in [Side(0), Side(1)] {
        observer.acquaint(environment, side).await?;
    }
    // What is measured is full stores, not the filling of them: its last minutes are still on their way to the disk, and every
    // commit, checkpoint and promotion until then would wait for them.
    tokio::task::spawn_blocking(nix::unistd::sync).await.map_err(|error| error.to_string())?;
    say(format!("{count} rows and objects are there, and read"));
    Ok(())
}
