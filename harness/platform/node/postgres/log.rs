//! The log of a stopped cluster, read by `pg_waldump`: where it ends, and who committed past a fork.

use std::{
    fmt::Display,
    io::{self, Read},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::timeout,
};

use super::{ControlData, Place, PostgresError, create::output, promote::parse_lsn};
use crate::{
    api::node::LogEnd,
    os::{files, spawn},
};

/// How long the reading of one record may take.
const RECORD_WITHIN: Duration = Duration::from_secs(10);
/// How long the reading of all that is past a fork may take.
const PAST_WITHIN: Duration = Duration::from_secs(300);

/// Characters of a segment's name.
const SEGMENT_NAME: usize = 24;

/// How `pg_waldump` says that there is no whole record: nothing valid at the position, or no file of that part of the log.
pub(super) const NO_RECORD: [&str; 4] =
    ["could not find a valid record", "could not find file", "could not find any WAL file", "error in WAL record"];

/// What a cluster's log holds past a fork.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastFork {
    /// There are whole records.
    pub records: u64,
    /// The transactions, and their parts, that committed there.
    pub committed: Vec<u32>,
}

/// Where the log of a stopped primary ends: after its shutdown record.
///
/// # Errors
/// [`PostgresError::NotClean`] if it was not shut down in good order; the programs'.
pub async fn log_end(place: &Place) -> Result<LogEnd, PostgresError> {
    let control = ControlData::read(place, &place.data).await?;
    if !control.is_clean() {
        return Err(PostgresError::NotClean(control.state));
    }
    let lsn = shutdown_end(place, &place.data, &control).await?;
    Ok(LogEnd { system_id: control.system_id, timeline: control.timeline, lsn })
}

/// Where the shutdown record ends that a clean control file names.
///
/// # Errors
/// As [`log_end`].
pub async fn shutdown_end(place: &Place, data: &Path, control: &ControlData) -> Result<u64, PostgresError> {
    let mut waldump = waldump(place, data, control.timeline, &lsn_text(control.checkpoint))?;
    waldump.command.args(["-n", "1"]);
    let text = output("pg_waldump", waldump.command, RECORD_WITHIN).await?;
    let record = text.lines().find_map(Record::parse);
    match record {
        Some(record) if record.start == control.checkpoint && record.what.starts_with("CHECKPOINT_SHUTDOWN") => {
            Ok(record_end(record.start, record.bytes, control.page_bytes, control.segment_bytes))
        }
        _ => Err(PostgresError::NotClean("its latest checkpoint is no shutdown".to_owned())),
    }
}

/// Reads all records of a timeline from a position on.
///
/// # Errors
/// The program's, or that it takes too long.
pub async fn past(place: &Place, data: &Path, timeline: u32, from: u64) -> Result<PastFork, PostgresError> {
    let failed = |why: String| PostgresError::Program { program: "pg_waldump", why };
    let Waldump { command, _view } = waldump(place, data, timeline, &lsn_text(from))?;
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (Some(out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed("it has no output".to_owned()));
    };
    let read = async {
        let mut found = PastFork::default();
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await? {
            let Some(record) = Record::parse(&line) else { continue };
            // A first record that began before the position and reaches past it is not past it.
            if record.start >= from {
                found.records += 1;
                found.committed.extend(record.committed());
            }
        }
        let mut said = String::new();
        err.read_to_string(&mut said).await?;
        Ok::<_, std::io::Error>((found, said, child.wait().await?))
    };
    match timeout(PAST_WITHIN, read).await {
        // The end of the log is where there is no further valid record: an error to `pg_waldump`, not to us.
        Ok(Ok((found, said, status))) if status.success() || NO_RECORD.iter().any(|sign| said.contains(sign)) => {
            Ok(found)
        }
        Ok(Ok((_, said, _))) => Err(failed(said.trim().to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("not done within {PAST_WITHIN:?}"))),
    }
}

/// The newest timeline of which a data folder has log. The control file may name an older one until the first checkpoint
/// after a promotion.
///
/// # Errors
/// The system's, or that there is no log.
pub fn newest_timeline(data: &Path) -> Result<u32, PostgresError> {
    let mut newest = None;
    for entry in std::fs::read_dir(data.join("pg_wal"))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.len() == SEGMENT_NAME) else { continue };
        newest = newest.max(name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()));
    }
    newest.ok_or_else(|| PostgresError::State(format!("there is no log in {}", data.display())))
}

/// `pg_waldump`, and the folder that it reads.
pub(super) struct Waldump {
    pub(super) command: Command,
    _view: TempDir,
}

/// `pg_waldump` of a timeline from a position on. It takes the size of a segment from whichever file it happens to find
/// first and gives up if that one was made for later and holds nothing yet: so it is shown, by links, only those that have
/// a header.
///
/// # Errors
/// The system's.
pub(super) fn waldump(place: &Place, data: &Path, timeline: impl Display, from: &str) -> io::Result<Waldump> {
    let view = tempfile::Builder::new().prefix("log-").tempdir_in(&place.home)?;
    files::give(view.path())?;
    for entry in std::fs::read_dir(data.join("pg_wal"))? {
        let entry = entry?;
        if entry.file_name().len() == SEGMENT_NAME && has_header(&entry.path())? {
            symlink(entry.path(), view.path().join(entry.file_name()))?;
        }
    }
    let mut command = spawn::command(place.programs.join("pg_waldump"), &place.home);
    command.arg("-p").arg(view.path()).args(["-t", &timeline.to_string(), "-s", from]);
    Ok(Waldump { command, _view: view })
}

/// Whether a segment begins with a page's magic number. One that has just been removed has nothing.
fn has_header(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 2];
    match std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) => Ok(magic != [0; 2]),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A position as Postgres writes it.
pub fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// One line of `pg_waldump`.
#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    start: u64,
    bytes: u64,
    transaction: u32,
    what: &'a str,
}

impl<'a> Record<'a> {
    /// `rmgr: XLOG len (rec/tot): 114/ 114, tx: 0, lsn: 0/00B5A470, prev 0/…, desc: CHECKPOINT_SHUTDOWN redo …`
    fn parse(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("rmgr:")?;
        let (_, lengths) = rest.split_once("len (rec/tot):")?;
        let (lengths, rest) = lengths.split_once(", tx:")?;
        let (transaction, rest) = rest.split_once(", lsn:")?;
        let (start, rest) = rest.split_once(", prev")?;
        let (_, what) = rest.split_once("desc: ")?;
        Some(Self {
            start: parse_lsn(start.trim())?,
            bytes: lengths.split_once('/')?.1.trim().parse().ok()?,
            transaction: transaction.trim().parse().ok()?,
            what,
        })
    }

    /// The transaction and its parts, if this is a commit.
    fn committed(&self) -> Vec<u32> {
        let Some(rest) = self.what.strip_prefix("COMMIT") else { return vec![] };
        let top = match rest.strip_prefix("_PREPARED ") {
            Some(prepared) => prepared.split(':').next().and_then(|id| id.trim().parse().ok()),
            None => Some(self.transaction),
        };
        let parts = rest.split_once("; subxacts:").map_or("", |(_, parts)| parts.split(';').next().unwrap_or(""));
        top.into_iter().chain(parts.split_whitespace().filter_map(|id| id.parse().ok())).filter(|id| *id != 0).collect()
    }
}

/// Where a record ends, as the replay counts it: rounded up to 8 bytes, with the headers of the pages that it runs on to.
fn record_end(start: u64, bytes: u64, page_bytes: u64, segment_bytes: u64) -> u64 {
    let (mut position, mut left) = (start, bytes);
    loop {
        let room = page_bytes - position % page_bytes;
        if left <= room {
            return position + left.next_multiple_of(8);
        }
        left -= room;
        position += room;
        // The first page of a segment has the longer header.
        position += if position.is_multiple_of(segment_bytes) { 40 } else { 24 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_after_the_headers_of_the_pages_that_it_crosses() {
        let end = |start, bytes| record_end(start, bytes, 8192, 4 << 20);
        assert_eq!(end(0x1000, 114), 0x1000 + 120);
        assert_eq!(end(8192 - 120, 114), 8192);
        assert_eq!(end(8192 - 64, 114), 8192 + 24 + 56);
        assert_eq!(end((4 << 20) - 64, 114), (4 << 20) + 40 + 56);
        assert_eq!(end(8192 - 64, 64 + 8168 + 10), 2 * 8192 + 24 + 16);
    }

    #[test]
    fn commits_are_told_with_their_parts_and_aborts_are_not() {
        let line = |desc: &str| {
            format!(
                "rmgr: Transaction len (rec/tot):     34/    38, tx:        735, lsn: 0/01556F78, prev 0/01556F30, desc: {desc}"
            )
        };
        let committed = |desc: &str| Record::parse(&line(desc)).unwrap().committed();
        assert_eq!(committed("COMMIT 2026-01-01 10:00:00.1 UTC"), [735]);
        assert_eq!(
            committed("COMMIT 2026-01-01 10:00:00.1 UTC; subxacts: 736 737; inval msgs: catcache 1"),
            [735, 736, 737]
        );
        assert_eq!(committed("COMMIT_PREPARED 730: 2026-01-01 10:00:00.1 UTC"), [730]);
        assert!(committed("ABORT 2026-01-01 10:00:00.1 UTC; subxacts: 736").is_empty());
        let line = line("CHECKPOINT_SHUTDOWN redo 0/1");
        let record = Record::parse(&line).unwrap();
        assert_eq!((record.start, record.bytes, record.transaction), (0x0155_6F78, 38, 735));
        assert_eq!(Record::parse("pg_waldump: first record is after 0/1"), None);
    }

    #[test]
    fn every_record_of_a_real_log_ends_where_the_next_one_begins() {
        use crate::platform::{actor::trial, node::tests};
        let folder = trial::folder();
        let data = folder.path().join("data");
        tests::make_template(&data);
        let first = std::fs::read_dir(data.join("pg_wal")).unwrap().flatten();
        let number = |name: &str| u64::from_str_radix(name.get(16..24)?, 16).ok();
        let first = first.filter_map(|entry| number(entry.file_name().to_str()?)).min().unwrap();
        let mut place = tests::place();
        place.programs = trial::postgres_bin();
        place.home = folder.path().to_path_buf();
        // A segment has 4 MiB.
        // Segments made for later, of which `pg_waldump` would learn no size.
        for later in first + 100..first + 200 {
            let file =
                std::fs::File::create(data.join("pg_wal").join(format!("{:024X}", (1u128 << 64) | u128::from(later))));
            file.unwrap().set_len(4 << 20).unwrap();
        }
        let output = waldump(&place, &data, 1, &lsn_text(first << 22)).unwrap().command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let records: Vec<Record> = text.lines().filter_map(Record::parse).collect();
        assert!(records.len() > 1000, "{output:?}", output = output.stderr);
        let mut crossing = 0;
        for pair in records.windows(2).filter(|pair| !pair[0].what.starts_with("SWITCH")) {
            let end = record_end(pair[0].start, pair[0].bytes, 8192, 4 << 20);
            // The next one may begin behind a page's header.
            let header = match end {
                end if end.is_multiple_of(4 << 20) => 40,
                end if end.is_multiple_of(8192) => 24,
                _ => 0,
            };
            assert_eq!(end + header, pair[1].start, "{pair:?}");
            crossing += u32::from(pair[0].start / 8192 != end / 8192);
        }
        assert!(crossing > 100, "{crossing}");
    }
}
