//! A planned switch at the log: the primary is stopped so that its log has an end, the other side waits for that end, and
//! an undone switch takes the primary back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout_at};

use super::{
    commands::{CommandError, known},
    postgres::{Access, PostgresError, Session, Start, log_end, lsn_text},
    shared::Node,
    state::{Handing, Record, Role},
};
use crate::api::{
    EnvironmentId, Epoch,
    node::{Answer, LogEnd},
};

/// How long a checkpoint may take.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(60);
/// How often the replay is looked at.
const PERIOD: Duration = Duration::from_millis(2);

/// A checkpoint; on a standby a restartpoint.
pub async fn checkpoint(node: &Node, environment: &EnvironmentId) -> Result<Answer, CommandError> {
    let place = known(node, environment)?.cluster.lock().await.place.clone();
    let mut session = Session::open(&place, "postgres").await?;
    session.run_within("checkpoint", "CHECKPOINT".to_owned(), CHECKPOINT_WITHIN).await?;
    Ok(Answer::Done)
}

/// Stops the primary for good order's sake, and says where its log ends.
pub async fn hand_over(
    node: &Node,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    owns(&record, epoch)?;
    let newest = record.handing.map_or(0, |handing| handing.operation);
    if operation < newest || operation <= record.taken_back {
        return Err(CommandError::NotNow("a later operation, or this one, has undone this hand-over".to_owned()));
    }
    node.durable.change(environment, |record| record.handing = Some(Handing { epoch, operation }))?;
    cluster.adopt();
    cluster.stop_locked().await?;
    let end = log_end(&cluster.place).await.map_err(|error| match error {
        // No repeat can make it so: the switch is to be undone.
        PostgresError::NotClean(_) => CommandError::NotNow(error.to_string()),
        other => other.into(),
    })?;
    tracing::info!(%environment, timeline = end.timeline, lsn = %lsn_text(end.lsn), "handed over");
    Ok(Answer::HandedOver(end))
}

/// Undoes a hand-over: the primary runs again and is open to clients.
pub async fn take_back(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    owns(&record, epoch)?;
    if record.handing.is_some_and(|handing| operation < handing.operation) {
        return Err(CommandError::NotNow("a later operation has handed the primary over".to_owned()));
    }
    node.durable.change(environment, |record| {
        record.handing = None;
        record.taken_back = record.taken_back.max(operation);
    })?;
    cluster.adopt();
    cluster.start(Start::Primary).await?;
    // A greater epoch may have been heard of meanwhile.
    let record = node.durable.record(environment);
    owns(&record, epoch)?;
    node.stand_in(environment, &record, Duration::from_millis(node.config.timers.permit_ms));
    if cluster.access() != Some(Access::Open) {
        cluster.let_in(Access::Open).await?;
    }
    drop(cluster);
    supervised.wake.notify_one();
    tracing::info!(%environment, epoch = epoch.0, "taken back");
    Ok(Answer::Done)
}

/// Waits until the standby has replayed to the end of the primary's log.
pub async fn await_log(
    node: &Node,
    environment: &EnvironmentId,
    end: &LogEnd,
    within: Duration,
) -> Result<Answer, CommandError> {
    if node.durable.record(environment).role != Role::Standby {
        return Err(CommandError::NotNow("there is no standby here".to_owned()));
    }
    let place = known(node, environment)?.cluster.lock().await.place.clone();
    let deadline = Instant::now() + within;
    let mut session = None;
    let mut missing = "the standby does not answer".to_owned();
    loop {
        match timeout_at(deadline.into(), reached(&mut session, &place)).await {
            Ok(Ok(position)) => match position.short_of(end) {
                None => return Ok(Answer::Done),
                Some(short) => missing = short,
            },
            Ok(Err(error)) => missing = error.to_string(),
            // What was seen last stands.
            Err(_) => {}
        }
        if Instant::now() + PERIOD >= deadline {
            return Ok(Answer::Unmet { why: missing });
        }
        sleep(PERIOD).await;
    }
}

fn owns(record: &Record, epoch: Epoch) -> Result<(), CommandError> {
    if record.owned() == Some(epoch) {
        return Ok(());
    }
    Err(CommandError::NotNow(format!("the primary of epoch {epoch} is not here")))
}

struct Position {
    system_id: String,
    timeline: i32,
    lsn: i64,
}

impl Position {
    /// What it lacks of `end`, if anything.
    fn short_of(&self, end: &LogEnd) -> Option<String> {
        if self.system_id != end.system_id {
            return Some(format!("the standby is of system {}, not {}", self.system_id, end.system_id));
        }
        if u32::try_from(self.timeline) != Ok(end.timeline) {
            return Some(format!("the standby is on timeline {}, not {}", self.timeline, end.timeline));
        }
        let lsn = u64::try_from(self.lsn).unwrap_or(0);
        (lsn < end.lsn).then(|| {
            let lacks = end.lsn - lsn;
            format!("the standby has replayed to {}, {lacks} bytes short of {}", lsn_text(lsn), lsn_text(end.lsn))
        })
    }
}

/// The timeline is the newest of which there is log: what a standby has received it has received from its primary's. The
/// control file names it only after the next restartpoint.
async fn reached(session: &mut Option<Session>, place: &super::postgres::Place) -> Result<Position, PostgresError> {
    let mut open = match session.take() {
        Some(open) => open,
        None => Session::open(place, "postgres").await?,
    };
    let (system_id, timeline, lsn) = open
        .one(
            "read the replay position",
            "SELECT (SELECT system_identifier::text FROM pg_control_system()),
                    (SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) FROM pg_ls_waldir()
                      WHERE name ~ '^[0-9A-F]{24}$'),
                    pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint",
        )
        .await?;
    *session = Some(open);
    Ok(Position { system_id, timeline, lsn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_log_replayed_to_its_end_or_past_it_is_enough() {
        let end = LogEnd { system_id: "7".to_owned(), timeline: 2, lsn: 0x1_0000_0078 };
        let short =
            |system_id: &str, timeline, lsn| Position { system_id: system_id.to_owned(), timeline, lsn }.short_of(&end);
        assert_eq!(short("7", 2, 0x1_0000_0078), None);
        assert_eq!(short("7", 2, 0x1_0000_0080), None);
        let missing = short("7", 2, 0x1_0000_0000).unwrap();
        assert!(missing.contains("1/0, 120 bytes short of 1/78"), "{missing}");
        assert!(short("8", 2, 0x1_0000_0078).unwrap().contains("system 8"));
        assert!(short("7", 1, 0x1_0000_0078).unwrap().contains("timeline 1"));
        assert!(short("7", 3, 0x1_0000_0078).is_some());
    }
}
