//! Observations on disk: one a file in `<run>/reads/`, so that a finished run can be judged again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    LedgerError,
    frame::{Frames, Next, UNDECODABLE, append},
};
use crate::model::observation::{Boundary, Observation};

/// The first bytes of an observation's file.
pub const MAGIC: &str = "geodrill reading 1\n";

/// The ending of an observation's file.
const ENDING: &str = "read";

/// Writes an observation into this folder, which is made (mode 0700) if it is not there; the file (mode 0600) is named
/// after environment, side and boundary and is there whole or not at all. Returns its path.
///
/// # Errors
/// The system's.
pub fn write(folder: &Path, observation: &Observation) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut content = MAGIC.as_bytes().to_vec();
    append(&mut content, observation)?;
    let boundary = match &observation.boundary {
        Boundary::Event(id) => format!("event-{}", plain(id)),
        Boundary::Final { pass, serving: true } => format!("final-{pass}-serving"),
        Boundary::Final { pass, serving: false } => format!("final-{pass}-other"),
    };
    let name = format!("environment-{}-side-{}-{boundary}.{ENDING}", observation.environment.0, observation.side.0);
    let (path, fresh) = (folder.join(&name), folder.join(format!("{name}.new")));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&content)?;
    file.sync_data()?;
    fs::rename(&fresh, &path)?;
    Ok(path)
}

/// Reads one observation.
///
/// # Errors
/// A file that is damaged, torn or none of ours; the system's.
pub fn read(path: &Path) -> Result<Observation, LedgerError> {
    decode(path, &payload(path)?)
}

/// The bytes of one observation, for [`decode`].
///
/// # Errors
/// A file that is damaged, torn or none of ours; the system's. What the bytes say is not looked at.
pub(super) fn payload(path: &Path) -> Result<Vec<u8>, LedgerError> {
    only(path, |frames| frames.payload())
}

/// What an observation's bytes say; its texts are copied, or stay where they are.
///
/// # Errors
/// Bytes that are no observation.
pub(super) fn decode<'a, S: Deserialize<'a>>(path: &Path, payload: &'a [u8]) -> Result<Observation<S>, LedgerError> {
    let undecodable = |_| LedgerError::Damaged { path: path.to_owned(), offset: MAGIC.len() as u64, why: UNDECODABLE };
    postcard::from_bytes(payload).map_err(undecodable)
}

/// Whether an observation's file is whole.
///
/// # Errors
/// As [`read`].
pub(super) fn check(path: &Path) -> Result<(), LedgerError> {
    only(path, |frames| frames.check())
}

/// What an observation's file begins with; the rest of it is not looked at.
///
/// # Errors
/// As [`read`].
pub(super) fn beginning<T: DeserializeOwned>(path: &Path) -> Result<T, LedgerError> {
    let (mut frames, _) = frames(path)?;
    let found = frames.beginning().map_err(|source| io_error(path, source))?;
    record(path, found, frames.offset)
}

type FileFrames = Frames<File>;

fn io_error(path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io { path: path.to_owned(), source }
}

/// The frames of a file, and its length.
fn frames(path: &Path) -> Result<(FileFrames, u64), LedgerError> {
    let refuse = |source| io_error(path, source);
    let mut input = File::open(path).map_err(refuse)?;
    let length = input.metadata().map_err(refuse)?.len();
    let mut magic = [0; MAGIC.len()];
    if length < MAGIC.len() as u64 || input.read_exact(&mut magic).is_err() || magic != MAGIC.as_bytes() {
        return Err(LedgerError::Stranger { path: path.to_owned(), expected: MAGIC });
    }
    Ok((Frames::new(input, MAGIC.len() as u64, length), length))
}

/// The one record of a file.
fn only<T>(path: &Path, next: impl FnOnce(&mut FileFrames) -> io::Result<Next<T>>) -> Result<T, LedgerError> {
    let (mut frames, length) = frames(path)?;
    let found = next(&mut frames).map_err(|source| io_error(path, source))?;
    let found = record(path, found, frames.offset)?;
    if frames.offset != length {
        let why = "something follows the reading";
        return Err(LedgerError::Damaged { path: path.to_owned(), offset: frames.offset, why });
    }
    Ok(found)
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
