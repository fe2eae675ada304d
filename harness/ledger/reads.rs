//! Observations on disk: one a file in `<run>/reads/`, so that a finished run can be judged again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    LedgerError,
    frame::{Frames, Next, append},
    part::{Head, Part, PartRef},
};
use crate::model::observation::{Boundary, FilesSnapshot, Observation, Reading, SqlSnapshot};

/// The first bytes of an observation's file.
pub const MAGIC: &str = "geodrill reading 2\n";

/// Bytes handed to the kernel at once.
const WRITE_BYTES: usize = 1 << 20;

/// The ending of an observation's file.
const ENDING: &str = "read";

/// Writes an observation into this folder, which is made (mode 0700) if it is not there; the file (mode 0600) is named
/// after environment, side and boundary and is there whole or not at all. Returns its path.
///
/// # Errors
/// The system's.
pub fn write(folder: &Path, observation: &Observation) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let boundary = match &observation.boundary {
        Boundary::Event(id) => format!("event-{}", plain(id)),
        Boundary::Final { pass, serving: true } => format!("final-{pass}-serving"),
        Boundary::Final { pass, serving: false } => format!("final-{pass}-other"),
    };
    let name = format!("environment-{}-side-{}-{boundary}.{ENDING}", observation.environment.0, observation.side.0);
    let (path, fresh) = (folder.join(&name), folder.join(format!("{name}.new")));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let parts = PartRef::all(observation);
    let mut buffer = MAGIC.as_bytes().to_vec();
    append(&mut buffer, &Head::of(observation, parts.len() as u64))?;
    for part in &parts {
        append(&mut buffer, part)?;
        if buffer.len() >= WRITE_BYTES {
            file.write_all(&buffer)?;
            buffer.clear();
        }
    }
    file.write_all(&buffer)?;
    file.sync_data()?;
    fs::rename(&fresh, &path)?;
    Ok(path)
}

/// Reads one observation.
///
/// # Errors
/// A file that is damaged, torn or none of ours; the system's.
pub fn read(path: &Path) -> Result<Observation, LedgerError> {
    let mut file = Opened::new(path)?;
    let Head { environment, side, boundary, began, ended, sql, files, .. } = file.head.clone();
    let (mut rows, mut objects) = (SqlSnapshot::default(), FilesSnapshot::default());
    while let Some(part) = file.next()? {
        match part {
            Part::History(more) => rows.history.extend(more),
            Part::Data(more) => rows.data.extend(more),
            Part::Accounts(more) => rows.accounts.extend(more),
            Part::Legs(more) => rows.legs.extend(more),
            Part::Versions(more) => objects.versions.extend(more),
            Part::Marked(more) => objects.marked.extend(more),
        }
    }
    let (sql, files) = (holding(sql, rows), holding(files, objects));
    Ok(Observation { environment, side, boundary, began, ended, sql, files })
}

fn holding<T>(reading: Reading<()>, whole: T) -> Reading<T> {
    match reading {
        Reading::Whole(()) => Reading::Whole(whole),
        Reading::Destroyed(why) => Reading::Destroyed(why),
        Reading::Failed(why) => Reading::Failed(why),
        Reading::Down => Reading::Down,
    }
}

/// Goes through one observation, a part after another, each decoded where its bytes lie.
///
/// # Errors
/// As [`read`]; what was gone through before the damage may not be trusted either.
pub(super) fn parts(path: &Path, take: &mut dyn FnMut(Part<&str>)) -> Result<(), LedgerError> {
    let mut file = Opened::new(path)?;
    while let Some(part) = file.next()? {
        take(part);
    }
    Ok(())
}

/// What an observation's file begins with; the rest of it is not looked at.
///
/// # Errors
/// As [`read`].
pub(super) fn head(path: &Path) -> Result<Head, LedgerError> {
    Opened::new(path).map(|file| file.head)
}

/// Whether an observation's file is whole; nothing of it is decoded.
///
/// # Errors
/// As [`read`].
pub(super) fn check(path: &Path) -> Result<(), LedgerError> {
    let mut file = Opened::new(path)?;
    while file.is_more()? {
        let found = file.frames.check().map_err(|source| io_error(path, source))?;
        record(path, found, file.frames.offset)?;
    }
    Ok(())
}

/// A file, from what it begins with on.
struct Opened<'p> {
    path: &'p Path,
    length: u64,
    frames: Frames<File>,
    head: Head,
    /// Parts that have not been gone through.
    left: u64,
}

impl<'p> Opened<'p> {
    fn new(path: &'p Path) -> Result<Self, LedgerError> {
        let refuse = |source| io_error(path, source);
        let mut input = File::open(path).map_err(refuse)?;
        let length = input.metadata().map_err(refuse)?.len();
        let mut magic = [0; MAGIC.len()];
        if length < MAGIC.len() as u64 || input.read_exact(&mut magic).is_err() || magic != MAGIC.as_bytes() {
            return Err(LedgerError::Stranger { path: path.to_owned(), expected: MAGIC });
        }
        let mut frames = Frames::new(input, MAGIC.len() as u64, length);
        let offset = frames.offset;
        let head: Head = record(path, frames.next().map_err(refuse)?, offset)?;
        let left = head.parts;
        Ok(Self { path, length, frames, head, left })
    }

    /// Whether a part follows. What follows the last one is damage.
    fn is_more(&mut self) -> Result<bool, LedgerError> {
        let Some(left) = self.left.checked_sub(1) else {
            let offset = self.frames.offset;
            let why = "something follows the reading";
            let damaged = LedgerError::Damaged { path: self.path.to_owned(), offset, why };
            return if offset == self.length { Ok(false) } else { Err(damaged) };
        };
        self.left = left;
        Ok(true)
    }

    /// The next part.
    fn next<'s, S: Deserialize<'s>>(&'s mut self) -> Result<Option<Part<S>>, LedgerError> {
        if !self.is_more()? {
            return Ok(None);
        }
        let (path, offset) = (self.path, self.frames.offset);
        let found = self.frames.next().map_err(|source| io_error(path, source))?;
        record(path, found, offset).map(Some)
    }
}

fn io_error(path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io { path: path.to_owned(), source }
}

fn record<T>(path: &Path, next: Next<T>, offset: u64) -> Result<T, LedgerError> {
    let damaged = |why| LedgerError::Damaged { path: path.to_owned(), offset, why };
    match next {
        Next::Record(record) => Ok(record),
        Next::End | Next::Torn => Err(damaged("the reading is not whole")),
        Next::Damaged(why) => Err(damaged(why)),
    }
}

/// The observations' files in this folder, in no order. No folder, no observations.
///
/// # Errors
/// The system's.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| io_error(folder, source))? {
        let path = entry.map_err(|source| io_error(folder, source))?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Reads every observation of this folder, in the order in which they began. No folder, no observations.
///
/// # Errors
/// As [`read`]: one that cannot be trusted spoils all.
pub fn read_all(folder: &Path) -> Result<Vec<Observation>, LedgerError> {
    let mut found: Vec<Observation> = files(folder)?.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    found.sort_by_key(|observation| (observation.began, observation.environment, observation.side));
    Ok(found)
}

/// Event ids keep to the grammar of names; should one not, it must not lead out of the folder.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
