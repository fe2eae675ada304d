//! The live side, as a returning cluster sees it: by the receiver's role, over the link that it will stream by.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Place, PostgresError, Session, session::literal};

/// How long the live side's checkpoint may take.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(60);
/// How long the slot may still be in use: longer than the live side's `wal_sender_timeout`.
const FREE_WITHIN: Duration = Duration::from_secs(8);
/// How often it is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// A connection to the live side.
pub struct Source {
    session: Session,
}

impl Source {
    /// Connects, and checks that it is a primary, on `timeline` if one is given.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn open(place: &Place, timeline: Option<u32>) -> Result<Self, PostgresError> {
        let mut session = Session::of_source(place).await?;
        let (found,): (i32,) = session
            .one(
                "read the live side's timeline",
                "SELECT CASE WHEN pg_is_in_recovery() THEN 0
                        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END",
            )
            .await?;
        if found == 0 {
            return Err(PostgresError::State("the other side is a standby, not the primary".to_owned()));
        }
        if let Some(wanted) = timeline.filter(|wanted| u32::try_from(found) != Ok(*wanted)) {
            return Err(PostgresError::State(format!("the other side is on timeline {found}, not on {wanted}")));
        }
        Ok(Self { session })
    }

    /// Makes its control file name its timeline, without which `pg_rewind` takes the two for the same.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn checkpoint(&mut self) -> Result<(), PostgresError> {
        self.session.run_within("checkpoint the live side", "CHECKPOINT".to_owned(), CHECKPOINT_WITHIN).await
    }

    /// Makes its slot for this region one that holds log and that nobody uses: of a receiver that is gone, the live side
    /// may learn late.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn free_slot(&mut self, place: &Place) -> Result<(), PostgresError> {
        let slot = place.own_slot();
        let in_use =
            format!("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE active AND slot_name = {})", literal(&slot));
        let deadline = Instant::now() + FREE_WITHIN;
        loop {
            let found: Vec<(bool,)> = self.session.all("look at the slot", in_use.clone(), FREE_WITHIN).await?;
            if found != [(true,)] {
                break;
            }
            if Instant::now() >= deadline {
                return Err(PostgresError::State(format!("the live side's slot `{slot}` is in use by another")));
            }
            sleep(PERIOD).await;
        }
        ensure_slot(&mut self.session, &slot).await
    }

    /// Its position, in bytes of log.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn position(&mut self) -> Result<u64, PostgresError> {
        let (lsn,): (i64,) = self
            .session
            .one("read the live side's position", "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
            .await?;
        u64::try_from(lsn).map_err(|_| PostgresError::State(format!("the live side says that it is at {lsn}")))
    }
}

/// Makes a physical slot that reserves log, anew if there is one that has lost what it reserved.
///
/// # Errors
/// [`PostgresError`].
pub(super) async fn ensure_slot(session: &mut Session, slot: &str) -> Result<(), PostgresError> {
    let slot = literal(slot);
    let drop_lost = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE slot_name = {slot} AND wal_status = 'lost' AND NOT active"
    );
    session.run("drop a slot that has lost its log", drop_lost).await?;
    let make = format!(
        "SELECT pg_create_physical_replication_slot({slot}, true) \
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})"
    );
    session.run("make the standby's slot", make).await
}
