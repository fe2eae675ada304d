//! Zones: a standby within the region, whom the primary waits for, and what the other region follows after a zone has taken
//! over.

use std::{sync::Arc, time::Duration};

use super::{
    commands::{CommandError, current, known},
    postgres::{Cluster, Place, PostgresError, Source, end_left, newest_timeline},
    shared::Node,
    state::{Following, Role, Synchronous},
};
use crate::{
    api::{
        EnvironmentId, Epoch, Zone,
        node::{Answer, Fork, Rejoin, Spec},
    },
    clients::poll,
};

/// How long the store is asked what a lost zone has left locked: as long as it may take to free it by itself.
const FREE_WITHIN: Duration = Duration::from_secs(120);
/// How often.
const FREE_PERIOD: Duration = Duration::from_millis(500);

/// How long a standby may take to have what its primary has.
const FOLLOW_WITHIN: Duration = Duration::from_secs(30);

/// Makes the standby of a primary in another zone of this region. What stands here follows it already, or is made anew: under
/// another epoch it may have gone past where the primary forked, and nothing of it was promised to anybody.
pub async fn make_standby(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
    spec: Spec,
    zone: Zone,
) -> Result<Answer, CommandError> {
    let supervised = node.supervise(environment, &spec);
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    if record.owned().is_some() {
        return Err(CommandError::NotNow("the primary is here".to_owned()));
    }
    current(&record, epoch)?;
    let following = Some(Following { zone, epoch });
    let is_there = record.role == Role::Standby && record.follows == following && cluster.place.exists();
    cluster.adopt();
    if is_there && cluster.is_running() && cluster.streams().await {
        return Ok(Answer::Done);
    }
    let follows = (node.config.region.clone(), zone);
    cluster.place = Place { follows, synchronous: None, ..node.place(environment, &spec) };
    let place = cluster.place.clone();
    // Before anything is removed: while the primary cannot be reached there is nothing to follow.
    let mut source = Source::open(&place, None).await?;
    source.free_slot(&place).await?;
    if !is_there {
        // Nobody starts what is half removed.
        node.durable.change(environment, |record| {
            record.spec = Some(spec.clone());
            record.role = Role::None;
            record.granting = None;
        })?;
        cluster.remove().await?;
        node.durable.change(environment, |record| {
            record.role = Role::Standby;
            record.follows = following;
            record.replica_by = record.replica_by.max(operation);
            record.promotion = None;
            record.handing = None;
            record.returning = None;
            record.marks.clear();
        })?;
    }
    cluster.create_replica().await?;
    drop(cluster);
    supervised.wake.notify_one();
    tracing::info!(%environment, epoch = epoch.0, %zone, "follows a zone");
    Ok(Answer::Done)
}

/// From now on nothing is acknowledged here that a zone's standby has not got on its disk.
pub async fn synchronize(
    node: &Node,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
    zone: Option<Zone>,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    if record.owned() != Some(epoch) {
        return Err(CommandError::NotNow("the primary is not here".to_owned()));
    }
    if record.synchronous.is_some_and(|said| said.epoch == epoch && said.operation > operation) {
        return Err(CommandError::NotNow("a later operation has said whom to wait for".to_owned()));
    }
    node.durable.change(environment, |record| record.synchronous = Some(Synchronous { zone, epoch, operation }))?;
    let Some(zone) = zone else {
        cluster.wait_for(None).await?;
        cluster.place.synchronous = None;
        return Ok(Answer::Done);
    };
    cluster.place.synchronous = Some(zone);
    cluster.wait_surely_for(zone).await?;
    tracing::info!(%environment, %zone, "synchronous");
    Ok(Answer::Done)
}

/// The other region's standby follows the zone that has taken over there: as it is where it has not gone past the fork, else
/// built anew. Nothing past the fork was acknowledged, so there is nothing to salvage.
pub async fn follow_zone(node: &Node, environment: &EnvironmentId, fork: Fork) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    if record.role != Role::Standby || record.follows.is_some() {
        return Err(CommandError::NotNow("there is no standby of the other region's here".to_owned()));
    }
    cluster.place.follows = record.followed(&node.config.region, &node.config.peer);
    let place = cluster.place.clone();
    let mut source = Source::open(&place, Some(fork.timeline)).await?;
    cluster.adopt();
    let is_on = newest_timeline(&place.data)? >= fork.timeline;
    if is_on && cluster.is_running() && cluster.streams().await {
        return Ok(Answer::Rejoined(Rejoin::Followed));
    }
    let ahead = !is_on && cluster.is_running() && received(&cluster).await? > fork.lsn;
    cluster.stop().await?;
    end_left(&place).await?;
    source.free_slot(&place).await?;
    let mut how = Rejoin::Followed;
    if ahead {
        cluster.rebuild().await?;
        how = Rejoin::Rebuilt;
    }
    if let Err(error) = cluster.follow(source.position().await?, FOLLOW_WITHIN).await {
        if how == Rejoin::Rebuilt || cluster.streams().await {
            return Err(error.into());
        }
        tracing::warn!(%environment, %error, "it does not follow; built anew");
        cluster.stop().await?;
        source.free_slot(&place).await?;
        cluster.rebuild().await?;
        cluster.follow(source.position().await?, FOLLOW_WITHIN).await?;
        how = Rejoin::Rebuilt;
    }
    drop(cluster);
    supervised.wake.notify_one();
    tracing::info!(%environment, ?how, "follows the zone that has taken over");
    Ok(Answer::Rejoined(how))
}

/// Frees the objects that the store's node in the lost zone has locked, as soon as the store says which: if the node hangs, or is
/// cut off, that is when the others have given it up. Nothing waits for this: in the end the store does it itself.
pub async fn free_files(node: Arc<Node>, environment: EnvironmentId) {
    let Some(spec) = node.durable.record(&environment).spec else { return };
    let free = || async { node.store.free_abandoned(&spec.bucket).await };
    match poll::until("what the lost zone's store has locked", FREE_WITHIN, FREE_PERIOD, free).await {
        Ok(0) => {}
        Ok(freed) => {
            tracing::info!(%environment, freed, "objects that the lost zone's store had locked can be had again")
        }
        Err(error) => tracing::warn!(%environment, %error, "objects may stay locked until the store frees them itself"),
    }
}

async fn received(cluster: &Cluster) -> Result<u64, PostgresError> {
    let text =
        "SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint";
    lsn_of(cluster, text).await
}

async fn lsn_of(cluster: &Cluster, text: &'static str) -> Result<u64, PostgresError> {
    let (lsn,): (i64,) = cluster.session().await?.one("read the log's position", text).await?;
    u64::try_from(lsn).map_err(|_| PostgresError::State(format!("the log is said to be at {lsn}")))
}
