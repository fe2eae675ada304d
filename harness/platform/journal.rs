//! The control plane's durable memory: one SQLite file, `control.db`, mode 0600, written with `synchronous = FULL`.
//!
//! | table | holds |
//! |---|---|
//! | `meta` | `first_start_ms`: Unix time of the very first start |
//! | `records` | every [`Record`] as JSON, in order: the truth, everything else follows from it |
//! | `events` | platform events by number, for readers |
//! | `notices` | the outbox: one row a notice |
//! | `subscriptions` | who gets notices |
//! | `deliveries` | one row for each notice and each subscriber there was when it was written |
//!
//! One call of [`Journal::write`] is one transaction: a record, the event it tells and the notice it owes stand or fall
//! together. The file is locked for one process, so a second control plane cannot start on it.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::de::DeserializeOwned;
use sqlx::{
    Connection, SqliteConnection, SqliteExecutor,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::core::{NewNotice, Record};
use crate::{
    api::control::{Notice, PlatformEvent},
    os::files,
};

/// The file's name in the role's data folder.
const FILE: &str = "control.db";
/// How long a start waits for an earlier process to let go of the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Events returned at once.
const EVENTS_MAX: u32 = 1_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS notices (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS subscriptions (name TEXT PRIMARY KEY, url TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
    notice INTEGER NOT NULL, subscriber TEXT NOT NULL, attempts INTEGER NOT NULL, delivered INTEGER NOT NULL,
    PRIMARY KEY (notice, subscriber)
) STRICT;
";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database's own.
    #[error("journal: {0} (a second control plane on the same folder cannot start)")]
    Database(#[from] sqlx::Error),
    /// The file system's.
    #[error("journal: {0}")]
    File(#[from] io::Error),
    /// What it holds is not what this version writes.
    #[error("journal: unreadable content: {0}")]
    Content(#[from] serde_json::Error),
}

impl JournalError {
    /// There was no room: SQLite's `SQLITE_FULL`. What was to be written has been rolled back.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("13"))
    }
}

/// An open journal.
pub struct Journal {
    connection: Mutex<SqliteConnection>,
}

/// A journal with what it held when it was opened.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// All records, in order.
    pub records: Vec<Record>,
    /// Milliseconds since the very first start, and no less than the last event's.
    pub age_ms: u64,
}

/// A delivery that is still owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The notice.
    pub notice: u64,
    /// Whom it is owed to.
    pub subscriber: String,
}

impl Journal {
    /// Opens or makes the journal in a folder, and locks it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn open(folder: &Path) -> Result<Opened, JournalError> {
        files::private_folder(folder)?;
        let path = folder.join(FILE);
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        files::give(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_WAIT);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        sqlx::query("INSERT INTO meta (key, value) VALUES ('first_start_ms', ?) ON CONFLICT DO NOTHING")
            .bind(now)
            .execute(&mut connection)
            .await?;
        let (first,): (i64,) =
            sqlx::query_as("SELECT value FROM meta WHERE key = 'first_start_ms'").fetch_one(&mut connection).await?;
        let (last_event,): (i64,) =
            sqlx::query_as("SELECT coalesce(max(at_ms), 0) FROM events").fetch_one(&mut connection).await?;
        let bodies: Vec<(String,)> =
            sqlx::query_as("SELECT body FROM records ORDER BY seq").fetch_all(&mut connection).await?;
        let records = parse(bodies)?;
        // A wall clock that was set back must not make events run backwards.
        let age_ms = u64::try_from((now - first).max(last_event)).unwrap_or(0);
        Ok(Opened { journal: Self { connection: Mutex::new(connection) }, records, age_ms })
    }

    /// Writes records, all or none, to the disk.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn write(&self, records: &[Record]) -> Result<(), JournalError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        for record in records {
            let body = serde_json::to_string(record)?;
            sqlx::query("INSERT INTO records (body) VALUES (?)").bind(body).execute(&mut *transaction).await?;
            match record {
                Record::Event(event) => write_event(&mut *transaction, event).await?,
                Record::Notice(notice) => write_notice(&mut transaction, notice).await?,
                _ => {}
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Events after a number, in order, a thousand at most.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn events_after(&self, number: u64) -> Result<Vec<PlatformEvent>, JournalError> {
        let rows: Vec<(String,)> = sqlx::query_as("SELECT body FROM events WHERE number > ? ORDER BY number LIMIT ?")
            .bind(signed(number))
            .bind(EVENTS_MAX)
            .fetch_all(&mut *self.connection.lock().await)
            .await?;
        Ok(parse(rows)?)
    }

    /// The outbox, in order.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn notices(&self) -> Result<Vec<Notice>, JournalError> {
        self.notices_where(None).await
    }

    /// One notice as it is posted, if there is such a one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn notice(&self, id: u64) -> Result<Option<Notice>, JournalError> {
        Ok(self.notices_where(Some(id)).await?.pop())
    }

    async fn notices_where(&self, id: Option<u64>) -> Result<Vec<Notice>, JournalError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT body, coalesce(sum(attempts), 0), coalesce(min(delivered), 1)
             FROM notices LEFT JOIN deliveries ON notice = id
             WHERE ?1 IS NULL OR id = ?1 GROUP BY id ORDER BY id",
        )
        .bind(id.map(signed))
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.into_iter().map(|(body, attempts, delivered)| notice(&body, attempts, delivered != 0)).collect()
    }

    /// Sets a subscriber's address; it gets the notices written from now on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn subscribe(&self, name: &str, url: &str) -> Result<(), JournalError> {
        sqlx::query("INSERT INTO subscriptions (name, url) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET url = ?2")
            .bind(name)
            .bind(url)
            .execute(&mut *self.connection.lock().await)
            .await?;
        Ok(())
    }

    /// Where a subscriber is reached now.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn address(&self, subscriber: &str) -> Result<Option<String>, JournalError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT url FROM subscriptions WHERE name = ?")
            .bind(subscriber)
            .fetch_optional(&mut *self.connection.lock().await)
            .await?;
        Ok(row.map(|(url,)| url))
    }

    /// Deliveries still owed, of one notice or of all.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn owed(&self, notice: Option<u64>) -> Result<Vec<Delivery>, JournalError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT notice, subscriber FROM deliveries
             WHERE delivered = 0 AND (?1 IS NULL OR notice = ?1) ORDER BY notice, subscriber",
        )
        .bind(notice.map(signed))
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        let delivery =
            |(notice, subscriber): (i64, String)| Delivery { notice: u64::try_from(notice).unwrap_or(0), subscriber };
        Ok(rows.into_iter().map(delivery).collect())
    }

    /// Notices that not every subscriber has.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn notices_owed(&self) -> Result<u64, JournalError> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(DISTINCT notice) FROM deliveries WHERE delivered = 0")
            .fetch_one(&mut *self.connection.lock().await)
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn count_attempt(&self, delivery: &Delivery, is_delivered: bool) -> Result<(), JournalError> {
        sqlx::query(
            "UPDATE deliveries SET attempts = attempts + 1, delivered = max(delivered, ?)
             WHERE notice = ? AND subscriber = ?",
        )
        .bind(is_delivered)
        .bind(signed(delivery.notice))
        .bind(&delivery.subscriber)
        .execute(&mut *self.connection.lock().await)
        .await?;
        Ok(())
    }
}

async fn write_event(into: impl SqliteExecutor<'_>, event: &PlatformEvent) -> Result<(), JournalError> {
    sqlx::query("INSERT INTO events (number, at_ms, body) VALUES (?, ?, ?)")
        .bind(signed(event.number))
        .bind(signed(event.at_ms))
        .bind(serde_json::to_string(event)?)
        .execute(into)
        .await?;
    Ok(())
}

async fn write_notice(into: &mut SqliteConnection, notice: &NewNotice) -> Result<(), JournalError> {
    sqlx::query("INSERT INTO notices (id, body) VALUES (?, ?)")
        .bind(signed(notice.id))
        .bind(serde_json::to_string(notice)?)
        .execute(&mut *into)
        .await?;
    sqlx::query(
        "INSERT INTO deliveries (notice, subscriber, attempts, delivered) SELECT ?, name, 0, 0 FROM subscriptions",
    )
    .bind(signed(notice.id))
    .execute(into)
    .await?;
    Ok(())
}

fn parse<T: DeserializeOwned>(rows: Vec<(String,)>) -> Result<Vec<T>, serde_json::Error> {
    rows.iter().map(|(body,)| serde_json::from_str(body)).collect()
}

fn notice(body: &str, attempts: i64, delivered: bool) -> Result<Notice, JournalError> {
    let NewNotice { id, operation, environment, kind, text } = serde_json::from_str(body)?;
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    Ok(Notice { id, operation, environment, kind, text, attempts, delivered })
}

/// SQLite's integers are signed; no number of ours comes near the end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Epoch,
            control::{NoticeKind, Tenant},
            environment::Product,
        },
        platform::core::RegionStatus,
    };

    fn event(number: u64, at_ms: u64) -> Record {
        Record::Event(PlatformEvent {
            number,
            at_ms,
            name: "region.suspected".to_owned(),
            operation: None,
            region: Some("east".parse().unwrap()),
            environment: None,
            epoch: Some(Epoch(3)),
            detail: "it's \"quoted\"".to_owned(),
        })
    }

    fn owed_notice(id: u64) -> Record {
        let (environment, kind) = ("sales".parse().unwrap(), NoticeKind::Warning);
        Record::Notice(NewNotice { id, operation: 7, environment, kind, text: "told".to_owned() })
    }

    #[tokio::test]
    async fn without_room_nothing_is_written_and_with_room_again_everything() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).await.unwrap().journal;
        journal.write(&[event(1, 1)]).await.unwrap();
        let room = async |pages: u32| {
            let connection = &mut *journal.connection.lock().await;
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(connection).await
        };
        room(1).await.unwrap();
        let many: Vec<Record> = (2..=200).map(|number| event(number, number)).collect();
        for _ in 0..2 {
            assert!(journal.write(&many).await.unwrap_err().is_full());
        }
        assert_eq!(journal.events_after(0).await.unwrap().len(), 1, "all or none");
        room(1_000_000).await.unwrap();
        journal.write(&many).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path()).await.unwrap().records.len(), 200);
    }

    #[tokio::test]
    async fn what_was_written_is_read_again_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = Tenant { licences: vec![Product::Dataverse, Product::Finops] };
        let records = vec![
            Record::Tenant { name: "contoso".to_owned(), tenant },
            event(1, 10),
            Record::Region { region: "east".parse().unwrap(), status: RegionStatus::Declared },
            event(2, 5_000_000),
        ];
        let opened = Journal::open(folder.path()).await.unwrap();
        assert!(opened.records.is_empty());
        opened.journal.write(&records[..2]).await.unwrap();
        opened.journal.write(&records[2..]).await.unwrap();
        assert_eq!(opened.journal.events_after(1).await.unwrap().len(), 1);
        drop(opened);
        let opened = Journal::open(folder.path()).await.unwrap();
        assert!(opened.records == records);
        // Time goes on from the last event, even if the machine's clock says less.
        assert_eq!(opened.age_ms, 5_000_000);
        assert_eq!(opened.journal.events_after(0).await.unwrap().len(), 2);
        assert!(opened.journal.events_after(2).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_write_is_done_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Journal::open(folder.path()).await.unwrap();
        opened.journal.write(&[event(1, 1)]).await.unwrap();
        // The second event's number is taken: nothing of this write may stay.
        assert!(opened.journal.write(&[event(2, 2), owed_notice(1), event(1, 3)]).await.is_err());
        assert_eq!(opened.journal.events_after(0).await.unwrap().len(), 1);
        assert!(opened.journal.notices().await.unwrap().is_empty());
        opened.journal.write(&[event(2, 2)]).await.unwrap();
        drop(opened);
        assert_eq!(Journal::open(folder.path()).await.unwrap().records.len(), 2);
    }

    #[tokio::test]
    async fn a_notice_is_owed_to_those_who_subscribed_before_until_each_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).await.unwrap().journal;
        journal.write(&[owed_notice(1)]).await.unwrap();
        journal.subscribe("one", "http://127.0.0.1:1/").await.unwrap();
        journal.subscribe("two", "http://127.0.0.1:2/").await.unwrap();
        journal.subscribe("two", "http://127.0.0.1:3/").await.unwrap();
        journal.write(&[owed_notice(2)]).await.unwrap();
        assert_eq!(journal.address("two").await.unwrap().as_deref(), Some("http://127.0.0.1:3/"));
        assert_eq!(journal.address("three").await.unwrap(), None);
        let owed = journal.owed(None).await.unwrap();
        assert_eq!(owed.iter().map(|delivery| delivery.notice).collect::<Vec<_>>(), [2, 2]);
        journal.count_attempt(&owed[0], false).await.unwrap();
        journal.count_attempt(&owed[0], true).await.unwrap();
        assert_eq!(journal.owed(Some(2)).await.unwrap(), owed[1..]);
        assert_eq!(journal.notices_owed().await.unwrap(), 1);
        let state = |notices: Vec<Notice>| -> Vec<(u64, u32, bool)> {
            notices.into_iter().map(|notice| (notice.id, notice.attempts, notice.delivered)).collect()
        };
        // Owed to nobody is delivered.
        assert_eq!(state(journal.notices().await.unwrap()), [(1, 0, true), (2, 2, false)]);
        journal.count_attempt(&owed[1], true).await.unwrap();
        assert_eq!(state(journal.notices().await.unwrap()), [(1, 0, true), (2, 3, true)]);
        assert_eq!(state(journal.notice(2).await.unwrap().into_iter().collect()), [(2, 3, true)]);
        assert!(journal.notice(3).await.unwrap().is_none());
        assert_eq!(journal.notices_owed().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn content_that_cannot_be_read_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Journal::open(folder.path()).await.unwrap();
        let mut connection = opened.journal.connection.lock().await;
        sqlx::query("INSERT INTO records (body) VALUES ('{\"later\":1}')").execute(&mut *connection).await.unwrap();
        drop(connection);
        drop(opened);
        assert!(matches!(Journal::open(folder.path()).await, Err(JournalError::Content(_))));
    }
}
