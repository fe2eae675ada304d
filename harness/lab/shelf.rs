//! The runs on disk, and taking them off.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::file::{LAB_FILE, run_id};
use crate::{
    conduct::{
        folder::{self, Layout},
        places::runs_root,
    },
    os::{
        files,
        hold::{Hold, hold},
    },
    testbed::undo::{self, LEDGER_FILE},
};

/// How far a run on disk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody works in it: a run under way, or a lab.
    Held,
    /// It has come to its end.
    Finished,
    /// Its runner was killed: what there is, is evidence.
    Abandoned,
}

/// A run on disk. While it lives, nobody else can take its folder for theirs.
#[derive(Debug)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// How far it has come.
    pub state: State,
    /// Bytes of its files.
    pub bytes: u64,
    /// How long ago it last changed.
    pub age: Duration,
    _held: Option<Hold>,
}

impl Kept {
    /// Its id.
    pub fn id(&self) -> String {
        run_id(&self.folder)
    }
}

/// Every run on disk, oldest first. Folders that are no run's are not among them.
///
/// # Errors
/// The system's.
pub fn all() -> io::Result<Vec<Kept>> {
    let standing: Vec<PathBuf> = undo::standing()?.into_iter().map(|(_, standing)| standing.folder).collect();
    let entries = match fs::read_dir(runs_root()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() && is_run(&path) {
            let real = path.canonicalize()?;
            found.push(look(path, standing.contains(&real))?);
        }
    }
    found.sort_by_key(Kept::id);
    Ok(found)
}

/// A run of that id, or in that folder.
pub fn find(name: &str) -> Option<PathBuf> {
    let by_id = runs_root().join(name);
    [PathBuf::from(name), by_id].into_iter().find(|folder| Layout::new(folder.clone()).run().is_file())
}

/// Whether a folder is a run's: by what is in it, or by its name where nothing is in it yet.
fn is_run(folder: &Path) -> bool {
    let files = ["run.json", "events.ndjson", "logs", LEDGER_FILE, LAB_FILE];
    let name = run_id(folder);
    let stamped = name.len() == 20
        && name.bytes().enumerate().all(|(place, byte)| match place {
            8 | 15 => byte == b'-',
            16.. => byte.is_ascii_hexdigit(),
            _ => byte.is_ascii_digit(),
        });
    stamped && (files.iter().any(|file| folder.join(file).exists()) || is_empty(folder))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn look(folder: PathBuf, stands: bool) -> io::Result<Kept> {
    let held = hold(&folder)?;
    let finished = || {
        let run = files::read_json::<folder::RunFile>(&Layout::new(&folder).run());
        run.is_ok_and(|run| run.ended > crate::model::RunTime::ZERO) || !folder.join(LEDGER_FILE).exists()
    };
    let state = match held {
        // What stands is not ours to take, held or not: its end comes first.
        None => State::Held,
        Some(_) if stands => State::Held,
        Some(_) if finished() => State::Finished,
        Some(_) => State::Abandoned,
    };
    let changed = fs::metadata(&folder)?.modified()?;
    let age = SystemTime::now().duration_since(changed).unwrap_or_default();
    Ok(Kept { bytes: bytes(&folder), folder, state, age, _held: held })
}

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Takes a run off the disk: all of it, or the servers' data alone, so that what tells of its course stays. Returns how
/// many bytes that freed.
///
/// # Errors
/// The system's.
pub fn remove(run: &Kept, whole: bool) -> io::Result<u64> {
    if whole {
        fs::remove_dir_all(&run.folder)?;
        return Ok(run.bytes);
    }
    // The ledger is what tells an abandoned run from one that has come to its end.
    let ledger = run.folder.join(LEDGER_FILE);
    let entries = fs::read(&ledger)?;
    folder::tidy(&run.folder)?;
    files::write_private(&ledger, &entries)?;
    Ok(run.bytes.saturating_sub(bytes(&run.folder)))
}
