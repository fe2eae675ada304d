//! The reference platform's journal, read from outside: which steps it has entered so far. The platform is not asked, and
//! does not know.
//!
//! The control plane keeps its SQLite file locked for itself, so nobody else can open it while it runs; what is read here is
//! a copy of the file and of the valid part of its write-ahead log, made whenever that log has grown. Growth is looked for
//! every millisecond or two, by the log's own frame headers. Whoever waits for a step therefore learns of it some
//! milliseconds after it became durable: an approximation, and never before.
//!
//! Format relied upon: table `records (seq, body)`, a body `{"entered": {"environment": …, "step": "name" | {"name": …}}}`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteLockingMode},
};
use tokio::time::{Instant, sleep};

use crate::{api::EnvironmentId, clients::error::chain};

/// Between two looks at the log's end.
const LOOK: Duration = Duration::from_millis(1);
/// Copies tried while the log is being begun anew.
const TRIES: usize = 20;
const HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

/// A step that the journal entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Place in the journal; grows.
    pub place: i64,
    /// The environment.
    pub environment: String,
    /// The step's name.
    pub step: String,
}

/// Reads one journal.
#[derive(Debug)]
pub struct Journal {
    file: PathBuf,
    /// Where copies are made; removed in the end.
    copies: PathBuf,
    log: Log,
}

/// How far the write-ahead log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Log {
    /// Drawn anew whenever the log begins anew.
    salts: [u8; 8],
    /// Bytes of it that are valid.
    bytes: u64,
}

impl Journal {
    /// The journal in the control plane's folder; copies of it are made below `scratch`, readable by nobody else.
    ///
    /// # Errors
    /// The system's.
    pub fn open(folder: &Path, scratch: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let copies = scratch.join(format!("journal-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        DirBuilder::new().mode(0o700).create(&copies)?;
        Ok(Self { file: folder.join("control.db"), copies, log: Log::default() })
    }

    /// The last place in the journal; 0 if it is empty.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn last(&mut self) -> Result<i64, String> {
        let mut copy = self.copy().await?;
        let (last,): (i64,) = sqlx::query_as("SELECT coalesce(max(seq), 0) FROM records")
            .fetch_one(&mut copy)
            .await
            .map_err(|error| chain(&error))?;
        copy.close().await.map_err(|error| chain(&error))?;
        Ok(last)
    }

    /// Steps entered after a place, in order.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn entered(&mut self, after: i64) -> Result<Vec<Entered>, String> {
        let mut copy = self.copy().await?;
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT seq, body FROM records WHERE seq > ? ORDER BY seq")
            .bind(after)
            .fetch_all(&mut copy)
            .await
            .map_err(|error| chain(&error))?;
        copy.close().await.map_err(|error| chain(&error))?;
        Ok(rows.iter().filter_map(|(place, body)| parse(*place, body)).collect())
    }

    /// Waits until this step has been entered so many times after a place, by one environment or by any.
    ///
    /// # Errors
    /// It was not within the time, with what was entered instead; or the journal cannot be read.
    pub async fn until(
        &mut self,
        after: i64,
        step: &str,
        environment: Option<&EnvironmentId>,
        nth: u32,
        deadline: Instant,
    ) -> Result<Entered, String> {
        let wanted = |entered: &&Entered| {
            entered.step == step && environment.is_none_or(|wanted| wanted.as_str() == entered.environment)
        };
        let place = usize::try_from(nth.max(1) - 1).unwrap_or(usize::MAX);
        loop {
            let all = self.entered(after).await?;
            if let Some(found) = all.iter().filter(wanted).nth(place) {
                return Ok(found.clone());
            }
            loop {
                if Instant::now() >= deadline {
                    let names: Vec<_> =
                        all.iter().map(|entered| format!("{}: {}", entered.environment, entered.step)).collect();
                    let others = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                    return Err(format!("the journal did not enter `{step}`; it entered {others}"));
                }
                // A control plane that is down has no log, or a broken one: it is waited for like any other.
                if read_log(&wal(&self.file), self.log).is_ok_and(|now| now != self.log) {
                    break;
                }
                sleep(LOOK).await;
            }
        }
    }

    /// Opens a copy of what is durable now.
    async fn copy(&mut self) -> Result<SqliteConnection, String> {
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.try_copy() {
                Ok(Some(log)) => {
                    self.log = log;
                    let options = SqliteConnectOptions::new()
                        .filename(self.copies.join("control.db"))
                        .locking_mode(SqliteLockingMode::Exclusive);
                    match SqliteConnection::connect_with(&options).await {
                        Ok(open) => return Ok(open),
                        Err(error) => last = chain(&error),
                    }
                }
                Ok(None) => last = "it is being rewritten all the time".to_owned(),
                Err(error) => last = error.to_string(),
            }
            sleep(LOOK).await;
        }
        Err(format!("the control plane's journal {} could not be read: {last}", self.file.display()))
    }

    /// Copies both files; `None` if the log was begun anew meanwhile, so that they may not fit.
    fn try_copy(&self) -> io::Result<Option<Log>> {
        let source = wal(&self.file);
        let before = read_log(&source, Log::default())?;
        let copy = self.copies.join("control.db");
        write(&copy, &fs::read(&self.file)?)?;
        let mut log = Vec::new();
        if before.bytes > 0 {
            File::open(&source)?.take(before.bytes).read_to_end(&mut log)?;
        }
        write(&wal(&copy), &log)?;
        let after = read_log(&source, before)?;
        Ok((after.salts == before.salts).then_some(before))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.copies) {
            tracing::debug!(%error, "a copy of the journal was not removed");
        }
    }
}

fn wal(file: &Path) -> PathBuf {
    file.with_extension("db-wal")
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

/// How far a write-ahead log goes: its frames carry the salts of its header as long as they are of the same beginning.
/// `known` is where an earlier look ended.
fn read_log(path: &Path, known: Log) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES as usize];
    if file.read_exact_at(&mut header, 0).is_err() {
        return Ok(Log::default());
    }
    let salts: [u8; 8] = header[16..24].try_into().map_err(io::Error::other)?;
    let page = u32::from_be_bytes(header[8..12].try_into().map_err(io::Error::other)?);
    let frame_bytes = FRAME_HEADER_BYTES + u64::from(page);
    let mut end = if known.salts == salts { known.bytes.max(HEADER_BYTES) } else { HEADER_BYTES };
    let (mut committed, mut frame) = (end, [0; FRAME_HEADER_BYTES as usize]);
    while file.read_exact_at(&mut frame, end).is_ok() && frame[8..16] == salts {
        end += frame_bytes;
        // The last frame of a transaction tells the size of the database after it.
        if frame[4..8] != [0; 4] {
            committed = end;
        }
    }
    Ok(Log { salts, bytes: committed })
}

fn parse(place: i64, body: &str) -> Option<Entered> {
    let record: Value = serde_json::from_str(body).ok()?;
    let entered = record.get("entered")?;
    let step = match entered.get("step")? {
        Value::String(name) => name.clone(),
        Value::Object(with_details) => with_details.keys().next()?.clone(),
        _ => return None,
    };
    Some(Entered { place, environment: entered.get("environment")?.as_str()?.to_owned(), step })
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteJournalMode;

    use super::*;

    /// A journal as the control plane keeps it: write-ahead log, locked for one process.
    async fn writer(folder: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("control.db"))
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal);
        let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT";
        sqlx::raw_sql(table).execute(&mut writer).await.unwrap();
        writer
    }

    async fn enter(writer: &mut SqliteConnection, environment: &str, step: &str) {
        let body = format!(r#"{{"entered":{{"environment":"{environment}","operation":3,"step":{step}}}}}"#);
        sqlx::query("INSERT INTO records (body) VALUES (?)").bind(body).execute(writer).await.unwrap();
    }

    #[tokio::test]
    async fn steps_are_read_while_the_journal_is_locked_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path()).await;
        let mut journal = Journal::open(folder.path(), folder.path()).unwrap();
        assert_eq!(journal.last().await.unwrap(), 0);
        enter(&mut writer, "sales", r#""preflight""#).await;
        enter(&mut writer, "books", r#"{"notifying":{"notice":4}}"#).await;
        sqlx::query("INSERT INTO records (body) VALUES ('{\"granting\":{}}')").execute(&mut writer).await.unwrap();
        let all = journal.entered(0).await.unwrap();
        let told: Vec<_> = all.iter().map(|entered| (&*entered.environment, &*entered.step)).collect();
        assert_eq!(told, [("sales", "preflight"), ("books", "notifying")]);
        assert_eq!(journal.entered(1).await.unwrap().len(), 1);
        assert_eq!(journal.last().await.unwrap(), 3);
        // Many times what makes the log begin anew.
        for number in 0..3_000 {
            enter(&mut writer, "sales", &format!(r#""step-{number}""#)).await;
        }
        assert_eq!(journal.entered(3).await.unwrap().len(), 3_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_step_is_waited_for_and_known_soon_after_it_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path()).await;
        enter(&mut writer, "sales", r#""draining""#).await;
        let mut journal = Journal::open(folder.path(), folder.path()).unwrap();
        let since = journal.last().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let waiting = tokio::spawn(async move {
            let sales = "sales".parse().unwrap();
            let found = journal.until(since, "draining", Some(&sales), 2, deadline).await;
            (found, Instant::now())
        });
        for (environment, step) in [("sales", r#""draining""#), ("books", r#""draining""#), ("sales", r#""waiting""#)] {
            enter(&mut writer, environment, step).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert!(!waiting.is_finished());
        enter(&mut writer, "sales", r#""draining""#).await;
        let durable = Instant::now();
        let (found, known) = waiting.await.unwrap();
        assert_eq!(found.unwrap().place, 5);
        let late = known.saturating_duration_since(durable);
        println!("known {late:?} after it was durable");
        assert!(late < Duration::from_secs(2), "{late:?}");
    }

    #[tokio::test]
    async fn a_step_that_does_not_come_is_told_with_those_that_did() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path()).await;
        enter(&mut writer, "sales", r#""fencing""#).await;
        let mut journal = Journal::open(folder.path(), folder.path()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let why = journal.until(0, "promoting", None, 1, deadline).await.unwrap_err();
        assert!(why.contains("`promoting`") && why.contains("sales: fencing"), "{why}");
        let missing = Journal::open(&folder.path().join("none"), folder.path()).unwrap().last().await.unwrap_err();
        assert!(missing.contains("could not be read"), "{missing}");
    }
}
