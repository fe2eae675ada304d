//! Keeps each environment's cluster as its role and its permit demand, and says what it does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    postgres::{Access, Cluster, Place, PostgresError, Scratch, Session, Start},
    shared::{Node, Supervised},
    state::{Record, Role},
};
use crate::{
    api::{permit::SqlRole, route::Door},
    platform::actor::locked,
};

/// How often a cluster is looked at.
const PERIOD: Duration = Duration::from_millis(50);
/// How long the end of all clusters may take.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// Longest pause after a start that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Supervises every cluster for ever, those added later too.
pub async fn supervise_all(node: Arc<Node>) {
    let mut tasks = JoinSet::new();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let known: Vec<Arc<Supervised>> = locked(&node.supervised).values().cloned().collect();
        for supervised in known {
            if seen.insert(supervised.id.clone()) {
                tasks.spawn(supervise(Arc::clone(&node), Arc::clone(&supervised)));
                tasks.spawn(keep_claiming(Arc::clone(&node), supervised));
            }
        }
        node.added.notified().await;
    }
}

async fn supervise(node: Arc<Node>, supervised: Arc<Supervised>) {
    let adopted = {
        let mut cluster = supervised.cluster.lock().await;
        // What a killed node was reading rows from serves nobody any more.
        if let Err(error) = Scratch::clear(&cluster.place).await {
            tracing::warn!(environment = %supervised.id, %error, "cannot remove what was left of a scratch copy");
        }
        cluster.adopt()
    };
    if adopted {
        tracing::info!(environment = %supervised.id, "took over a running postgres");
        // The permit of the node that was killed may still have been good: one lifetime to learn whether it is renewed.
        let record = node.durable.record(&supervised.id);
        node.stand_in(&supervised.id, &record, Duration::from_millis(node.config.timers.permit_ms));
    }
    let mut pause = PERIOD;
    loop {
        let done = {
            let mut cluster = supervised.cluster.lock().await;
            keep(&node, &supervised, &mut cluster).await
        };
        match done {
            Ok(()) => pause = PERIOD,
            Err(error) => {
                tracing::warn!(environment = %supervised.id, %error, "cluster is not as it should be");
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        let watched = locked(&node.permits).watch(&supervised.id);
        let changed = async {
            match watched {
                // The first look is at what was just acted upon.
                Some(mut watched) => drop(watched.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = supervised.wake.notified() => {}
            () = changed => {}
        }
    }
}

/// One step towards what the cluster should be.
async fn keep(node: &Node, supervised: &Supervised, cluster: &mut Cluster) -> Result<(), PostgresError> {
    let record = node.durable.record(&supervised.id);
    if !cluster.place.exists() {
        return Ok(());
    }
    let running = cluster.is_running();
    match (record.role, record.owned()) {
        (Role::None, _) => Ok(()),
        (Role::Standby, _) if running => Ok(()),
        (Role::Standby, _) => cluster.start(Start::Standby).await,
        // No longer the owner. What runs is locked; what does not is not started, since it may have diverged.
        (Role::Primary(_), None) if running && cluster.access() != Some(Access::Fenced) => {
            cluster.let_in(Access::Fenced).await
        }
        (Role::Primary(_), None) => Ok(()),
        // Handed over: what still runs is locked until the order is repeated or taken back; nothing is started.
        (Role::Primary(_), Some(_)) if record.is_handed_over() => {
            if running && cluster.access() != Some(Access::Fenced) {
                cluster.let_in(Access::Fenced).await
            } else {
                Ok(())
            }
        }
        (Role::Primary(_), Some(owned)) => {
            let held = || node.terms(&supervised.id).allow(owned, Door::Ro, Instant::now()).is_ok();
            if !running {
                if !held() {
                    return Ok(());
                }
                cluster.start(Start::Primary).await?;
            }
            let wanted = if held() { Access::Open } else { Access::Fenced };
            if cluster.access() == Some(wanted) { Ok(()) } else { cluster.let_in(wanted).await }
        }
    }
}

/// Stops every cluster, side by side.
pub async fn stop_all(node: &Arc<Node>) {
    let supervised: Vec<Arc<Supervised>> = locked(&node.supervised).values().cloned().collect();
    let mut stops = JoinSet::new();
    for supervised in supervised {
        stops.spawn(async move {
            // A command may still have the cluster; its own deadlines are longer than a role's end may take.
            let stopped = timeout(STOP_WITHIN, async { supervised.cluster.lock().await.stop().await }).await;
            match stopped {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(environment = %supervised.id, %error, "postgres was not stopped"),
                Err(_) => tracing::error!(environment = %supervised.id, "postgres was not stopped in time"),
            }
        });
    }
    stops.join_all().await;
}

/// Looks every poll at what the cluster does.
async fn keep_claiming(node: Arc<Node>, supervised: Arc<Supervised>) {
    let period = Duration::from_millis(node.config.timers.poll_ms.max(1));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session = None;
    loop {
        ticks.tick().await;
        let record = node.durable.record(&supervised.id);
        // A cluster that is being started or changed is looked at in the next round.
        let Ok(mut cluster) = supervised.cluster.try_lock() else { continue };
        let running = cluster.is_running();
        let role = role(&record, running, cluster.access());
        let place = cluster.place.clone();
        drop(cluster);
        if !running {
            session = None;
        }
        let stamps = locked(&node.permits).stamps();
        let looked =
            if running { timeout(Duration::from_secs(1), look(&mut session, &place)).await.ok() } else { None };
        let positions = looked.and_then(|looked| looked.inspect_err(|_| session = None).ok());
        let mut claim = locked(&supervised.claim);
        claim.epoch = record.epoch;
        claim.sql = role;
        // Claims are made under the same lock, in this order.
        match positions {
            Some(positions) => {
                claim.timeline = positions.timeline;
                claim.lsn = positions.lsn;
                claim.other_lsn = positions.other_lsn;
                claim.streaming = positions.streaming;
                *locked(&supervised.read_after) = stamps;
            }
            None => claim.streaming = false,
        }
    }
}

fn role(record: &Record, running: bool, access: Option<Access>) -> SqlRole {
    match record.role {
        Role::Primary(_) if !running && record.owned().is_none() => SqlRole::Quarantined,
        _ if !running => SqlRole::Down,
        Role::Primary(_) if access == Some(Access::Open) => SqlRole::Primary,
        Role::Primary(_) => SqlRole::Fenced,
        Role::Standby | Role::None => SqlRole::Standby,
    }
}

struct Positions {
    timeline: u32,
    lsn: u64,
    other_lsn: u64,
    streaming: bool,
}

/// Positions of the log as bytes; on a primary the second is what the other region's standby has flushed.
const POSITIONS: &str = "
    SELECT timeline, lsn, other, streaming FROM (
        SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline,
               pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS lsn,
               coalesce((SELECT max(pg_wal_lsn_diff(flush_lsn, '0/0')) FROM pg_stat_replication
                          WHERE application_name NOT LIKE '%.zone-%'), 0)::bigint AS other,
               EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming'
                          AND application_name <> 'pg_basebackup'
                          AND application_name NOT LIKE '%.zone-%') AS streaming
         WHERE NOT pg_is_in_recovery()
        UNION ALL
        SELECT (SELECT timeline_id FROM pg_control_checkpoint()),
               pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint,
               pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint,
               EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
         WHERE pg_is_in_recovery()) AS positions";

async fn look(session: &mut Option<Session>, place: &Place) -> Result<Positions, PostgresError> {
    let mut open = match session.take() {
        Some(open) => open,
        None => Session::open(place, "postgres").await?,
    };
    let (timeline, lsn, other_lsn, streaming): (i32, i64, i64, bool) =
        open.one("read the positions of the log", POSITIONS).await?;
    *session = Some(open);
    let bytes = |position: i64| u64::try_from(position).unwrap_or(0);
    Ok(Positions {
        timeline: u32::try_from(timeline).unwrap_or(0),
        lsn: bytes(lsn),
        other_lsn: bytes(other_lsn),
        streaming,
    })
}
