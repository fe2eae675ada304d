//! A standby becomes the primary, with all that it has received.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Cluster, Place, PostgresError, Session, Start,
    create::output,
    log::{NO_RECORD, waldump},
    rejoin::{copy, remove},
    source::ensure_slot,
};
use crate::{api::sabotage::Sabotage, os::files};

/// How long the receiver may take to end.
const RECEIVER_WITHIN: Duration = Duration::from_secs(5);
/// How long the replay of what was received may take.
const REPLAY_WITHIN: Duration = Duration::from_secs(60);
/// How long the promotion itself may take.
const PROMOTE_WITHIN: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(2);

/// Where a promotion led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promoted {
    /// The new timeline.
    pub timeline: u32,
    /// Where it forked from the old one, in bytes of log.
    pub fork_lsn: u64,
}

impl Cluster {
    /// Promotes: cuts the receiver, waits until no further complete record exists past the replay position, promotes,
    /// checks the new timeline. Clients are still locked out.
    ///
    /// # Errors
    /// [`PostgresError`]; the cluster is then a standby that follows nobody, or a primary closed to clients.
    pub async fn promote(&mut self) -> Result<Promoted, PostgresError> {
        if !self.is_running() {
            return Err(PostgresError::NotRunning);
        }
        if self.place.sabotage == Some(Sabotage::RepeatPromotion) {
            self.begin_again().await?;
        }
        let mut session = self.session().await?;
        let (in_recovery,): (bool,) = session.one("ask for the role", "SELECT pg_is_in_recovery()").await?;
        if in_recovery && self.place.sabotage == Some(Sabotage::DiscardReceivedLog) {
            let position = replayed(&mut session).await?;
            self.recover_to(&position.lsn).await?;
            session = self.session().await?;
            promoted(&mut session).await?;
        } else if in_recovery {
            // Nothing that was received may wait for somebody to let it be replayed; and while the replay is paused, the
            // receiver is not told to end either.
            session.run("resume the replay", "SELECT pg_wal_replay_resume()".to_owned()).await?;
            self.cut_receiver(&mut session).await?;
            self.replay_all(&mut session).await?;
            // Not `pg_promote(true)`: it looks every 100 ms whether it is done.
            session.run("promote", "SELECT pg_promote(false)".to_owned()).await?;
            promoted(&mut session).await?;
        }
        if self.place.spec.kind.has_replica() {
            // Slots are not copied to a standby; the other region's is needed here as soon as it comes back.
            ensure_slot(&mut session, &Place::slot_of(&self.place.peer)).await?;
        }
        // The promotion has removed it; from here on whoever else starts this cluster gets a standby.
        files::write_private(&self.place.data.join("standby.signal"), b"")?;
        self.forked(&mut session).await
    }

    /// Sabotaged: the standby as it is before its first promotion is kept, and put back before every other one.
    async fn begin_again(&mut self) -> Result<(), PostgresError> {
        let place = self.place.clone();
        let kept = place.home.join("again").join(place.environment.as_str());
        self.stop().await?;
        if kept.exists() {
            remove(&place.data)?;
            copy(&place, &kept, &place.data).await?;
        } else {
            files::private_folder(&place.home.join("again"))?;
            copy(&place, &place.data, &kept).await?;
        }
        self.start(Start::Standby).await
    }

    async fn cut_receiver(&mut self, session: &mut Session) -> Result<(), PostgresError> {
        self.write_settings(false)?;
        self.reload(session).await?;
        let deadline = Instant::now() + RECEIVER_WITHIN;
        loop {
            // The statistics view has no row as soon as the receiver has been told to end; its process may still be
            // writing what it has received.
            let (receivers,): (i64,) = session
                .one(
                    "look for the receiver",
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'",
                )
                .await?;
            if receivers == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PostgresError::State("the receiver does not end".to_owned()));
            }
            sleep(PERIOD).await;
        }
    }

    /// Waits until the log on disk holds no complete record past the replay position. That the received position is not
    /// reached says nothing: it may lie within a record whose rest never came.
    async fn replay_all(&self, session: &mut Session) -> Result<(), PostgresError> {
        let deadline = Instant::now() + REPLAY_WITHIN;
        let mut before = replayed(session).await?;
        loop {
            let more = self.record_exists_at(&before).await?;
            let after = replayed(session).await?;
            if !more && after == before {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PostgresError::State(format!("what was received is replayed to {} only", after.lsn)));
            }
            before = after;
            sleep(PERIOD).await;
        }
    }

    /// Whether `pg_waldump` finds a whole record at the position or after.
    async fn record_exists_at(&self, position: &Replayed) -> Result<bool, PostgresError> {
        let place = &self.place;
        let mut waldump = waldump(place, &place.data, position.timeline, &position.lsn)?;
        waldump.command.args(["-n", "1"]);
        match output("pg_waldump", waldump.command, Duration::from_secs(10)).await {
            Ok(text) => Ok(!text.trim().is_empty()),
            Err(PostgresError::Program { why, .. }) if NO_RECORD.iter().any(|sign| why.contains(sign)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The timeline, and where it forked, from its history; the parent must be the timeline just before.
    async fn forked(&self, session: &mut Session) -> Result<Promoted, PostgresError> {
        let (file,): (String,) =
            session.one("read the timeline", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await?;
        let unreadable = || PostgresError::State(format!("the timeline cannot be read from {file}"));
        let timeline = file.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(unreadable)?;
        let path = self.place.data.join("pg_wal").join(format!("{timeline:08X}.history"));
        let history = std::fs::read_to_string(&path)?;
        match parse_history(&history) {
            Some((parent, fork_lsn)) if parent + 1 == timeline => Ok(Promoted { timeline, fork_lsn }),
            other => Err(PostgresError::State(format!(
                "timeline {timeline} has an unexpected parent: {:?}",
                other.map(|(parent, _)| parent)
            ))),
        }
    }
}

async fn promoted(session: &mut Session) -> Result<(), PostgresError> {
    let deadline = Instant::now() + PROMOTE_WITHIN;
    loop {
        let (in_recovery,): (bool,) = session.one("ask for the role", "SELECT pg_is_in_recovery()").await?;
        if !in_recovery {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(PostgresError::State(format!("the promotion was not done within {PROMOTE_WITHIN:?}")));
        }
        sleep(PERIOD).await;
    }
}

async fn replayed(session: &mut Session) -> Result<Replayed, PostgresError> {
    let (lsn, timeline): (String, i32) = session
        .one(
            "read the replay position",
            "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text,
                    greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                             (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                             (SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) FROM pg_ls_waldir()
                               WHERE name ~ '^[0-9A-F]{24}$'))",
        )
        .await?;
    Ok(Replayed { lsn, timeline })
}

#[derive(Debug, PartialEq, Eq)]
struct Replayed {
    lsn: String,
    timeline: i32,
}

/// Parent and fork position of a history's last line: `parent <tab> LSN <tab> reason`.
fn parse_history(text: &str) -> Option<(u32, u64)> {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#'))?;
    let mut fields = last.split_whitespace();
    Some((fields.next()?.parse().ok()?, parse_lsn(fields.next()?)?))
}

/// `16/B374D848` as bytes of log.
pub(super) fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some((u64::from(u32::from_str_radix(high, 16).ok()?) << 32) | u64::from(u32::from_str_radix(low, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fork_is_the_last_line_of_the_history() {
        let text = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tno recovery target specified\n";
        assert_eq!(parse_history(text), Some((2, (1 << 32) + 0xA0)));
        assert_eq!(parse_history(""), None);
    }
}
