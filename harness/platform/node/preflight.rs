//! Whether a planned switch may begin: every reason against it at once, and nothing changed by asking.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    commands::{CommandError, known},
    files,
    postgres::{Access, Place, PostgresError, Session},
    shared::Node,
    state::Role,
};
use crate::api::{EnvironmentId, Epoch, node::Answer};

/// How soon the standby must have replayed what the primary had when asked.
const LAG_MAX: Duration = Duration::from_secs(1);
/// For how long the primary's side is looked at again before it is called unfit: a machine that is busy for a moment is no
/// reason to give a switch up, and clients are served meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause between two looks.
const AGAIN: Duration = Duration::from_millis(200);
/// How often the standby's position is looked at.
const PERIOD: Duration = Duration::from_millis(20);
/// Room that a new primary needs on its disk before its first checkpoints make some: twice `min_wal_size`.
const ROOM_BYTES_MIN: u64 = 64 << 20;

/// On the primary's side.
pub async fn primary(node: &Node, environment: &EnvironmentId, epoch: Epoch) -> Result<Answer, CommandError> {
    let begun = Instant::now();
    loop {
        let (sql, files) =
            tokio::join!(sql_primary(node, environment, epoch), files::preflight_primary(node, environment));
        let answer = answer(sql?, files?);
        if answer == Answer::Done || begun.elapsed() > PATIENCE {
            return Ok(answer);
        }
        sleep(AGAIN).await;
    }
}

/// On the other side.
pub async fn standby(node: &Node, environment: &EnvironmentId) -> Result<Answer, CommandError> {
    let (sql, files) = tokio::join!(sql_standby(node, environment), files::preflight_standby(node, environment));
    Ok(answer(sql?, files?))
}

fn answer(sql: Vec<String>, files: Vec<String>) -> Answer {
    let why: Vec<String> = sql.into_iter().chain(files).collect();
    if why.is_empty() { Answer::Done } else { Answer::Unmet { why: why.join("; ") } }
}

async fn sql_primary(node: &Node, environment: &EnvironmentId, epoch: Epoch) -> Result<Vec<String>, CommandError> {
    let supervised = known(node, environment)?;
    let record = node.durable.record(environment);
    let mut why = Vec::new();
    if record.owned() != Some(epoch) {
        why.push(format!("the primary of epoch {epoch} is not here"));
    }
    if record.is_handed_over() {
        why.push("the primary is handed over already".to_owned());
    }
    let (place, running, access) = {
        let mut cluster = supervised.cluster.lock().await;
        (cluster.place.clone(), cluster.is_running(), cluster.access())
    };
    if !running {
        why.push("postgres does not run".to_owned());
        return Ok(why);
    }
    if access != Some(Access::Open) {
        why.push("the primary is not open to clients".to_owned());
    }
    match standbys(&place).await {
        Ok(reasons) => why.extend(reasons),
        Err(error) => why.push(format!("postgres: {error}")),
    }
    Ok(why)
}

/// The one standby outside of the region is the other region's, streams, and soon has what the primary has now.
async fn standbys(place: &Place) -> Result<Vec<String>, PostgresError> {
    let mut session = Session::open(place, "postgres").await?;
    let found: Vec<(String, String)> = session
        .all(
            "look at the standbys",
            "SELECT application_name, coalesce(state, '') FROM pg_stat_replication \
             WHERE application_name NOT LIKE '%.zone-%' ORDER BY 1"
                .to_owned(),
            Duration::from_secs(5),
        )
        .await?;
    let peer = place.peer.as_str();
    if found.iter().map(|(name, state)| (name.as_str(), state.as_str())).ne([(peer, "streaming")]) {
        let seen: Vec<String> = found.iter().map(|(name, state)| format!("{name} ({state})")).collect();
        let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
        return Ok(vec![format!("not {peer} alone streams: {seen}")]);
    }
    let (wanted,): (i64,) = session.one("read the position", POSITION).await?;
    let deadline = Instant::now() + LAG_MAX;
    loop {
        // An idle receiver tells its replay once a second only; a commit makes it tell with the next flush.
        session.run("write a mark", "SELECT pg_logical_emit_message(true, 'geodrill', '')".to_owned()).await?;
        let (replayed,): (i64,) = session.one("read the standby's position", REPLAYED).await?;
        if replayed >= wanted {
            return Ok(vec![]);
        }
        if Instant::now() >= deadline {
            let behind = wanted - replayed;
            return Ok(vec![format!("the standby is {behind} bytes of log behind after {LAG_MAX:?}")]);
        }
        sleep(PERIOD).await;
    }
}

const POSITION: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";

const REPLAYED: &str = "SELECT coalesce((SELECT max(pg_wal_lsn_diff(replay_lsn, '0/0')) FROM pg_stat_replication
     WHERE application_name NOT LIKE '%.zone-%'), 0)::bigint";

async fn sql_standby(node: &Node, environment: &EnvironmentId) -> Result<Vec<String>, CommandError> {
    let supervised = known(node, environment)?;
    let mut why = Vec::new();
    if node.durable.record(environment).role != Role::Standby {
        why.push("there is no standby here".to_owned());
    }
    let (place, running) = {
        let mut cluster = supervised.cluster.lock().await;
        (cluster.place.clone(), cluster.is_running())
    };
    why.extend(room(&place));
    if !running {
        why.push("postgres does not run".to_owned());
        return Ok(why);
    }
    match receiver(&place).await {
        Ok(reasons) => why.extend(reasons),
        Err(error) => why.push(format!("postgres: {error}")),
    }
    Ok(why)
}

async fn receiver(place: &Place) -> Result<Vec<String>, PostgresError> {
    let mut session = Session::open(place, "postgres").await?;
    let (follows, streams, paused): (bool, bool, bool) = session
        .one(
            "look at the receiver",
            "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
                    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END",
        )
        .await?;
    let reasons = [
        (!follows, "postgres is no standby"),
        (!streams, "the receiver does not stream"),
        (paused, "the replay is paused"),
    ];
    Ok(reasons.into_iter().filter(|(is, _)| *is).map(|(_, why)| why.to_owned()).collect())
}

fn room(place: &Place) -> Option<String> {
    let room = match nix::sys::statvfs::statvfs(&place.data) {
        Ok(disk) => disk.blocks_available() * disk.fragment_size(),
        Err(error) => return Some(format!("the disk of {} cannot be looked at: {error}", place.data.display())),
    };
    let mib = |bytes: u64| bytes >> 20;
    (room < ROOM_BYTES_MIN).then(|| {
        format!("there are {} MiB free at {}, {} are needed", mib(room), place.data.display(), mib(ROOM_BYTES_MIN))
    })
}
