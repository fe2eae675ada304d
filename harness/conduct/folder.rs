//! The run's folder: what is in it, and that its owner alone may read it.
//!
//! | path | content |
//! |---|---|
//! | `run.json` | [`RunFile`]: the plan, the seed, versions, the testbed |
//! | `events.ndjson` | [`crate::model::event::Event`], one a line |
//! | `ledger/` | intents and outcomes ([`crate::ledger`]) |
//! | `reads/` | observations ([`crate::ledger::reads`]) |
//! | `report.json` | the report ([`crate::report`]) |
//! | `logs/` | `geodrill.ndjson` and every server's log |

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{RunTime, plan::Plan},
    os::files,
};

/// What a run was, in `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// The plan.
    pub plan: Plan,
    /// The seed that was used.
    pub seed: u64,
    /// The seed that the plan's phases were drawn from, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_seed: Option<u64>,
    /// The run's number in its tokens.
    pub run: u32,
    /// The testbed.
    pub testbed: String,
    /// Versions of everything that ran.
    pub versions: Vec<(String, String)>,
    /// Wall-clock time of the start, for people.
    pub started: String,
    /// The end of the load; zero while it runs.
    pub ended: RunTime,
}

/// Paths in a run's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder.
    pub root: PathBuf,
}

impl Layout {
    /// The layout of this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `run.json`.
    pub fn run(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// `events.ndjson`.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.ndjson")
    }

    /// `ledger/`.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// `reads/`.
    pub fn reads(&self) -> PathBuf {
        self.root.join("reads")
    }

    /// `evidence/`.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence")
    }

    /// `report.json`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// `logs/`.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Makes the folders that a run writes to.
    ///
    /// # Errors
    /// The system's.
    pub fn create(&self) -> io::Result<()> {
        for folder in [&self.root, &self.ledger(), &self.reads(), &self.logs()] {
            files::private_folder(folder)?;
        }
        Ok(())
    }

    /// The names of what outlives a run, the servers' data not among them.
    pub const KEPT: [&str; 7] = ["run.json", "events.ndjson", "ledger", "reads", "evidence", "report.json", "logs"];
}

/// Removes the servers' data of a run that has ended; what [`Layout::KEPT`] names stays.
///
/// # Errors
/// The system's.
pub fn tidy(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if Layout::KEPT.iter().any(|kept| entry.file_name() == *kept) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Copies what a run leaves to the folder that the user named, which is made if need be.
///
/// # Errors
/// The system's.
pub fn hand_over(from: &Path, to: &Path) -> io::Result<()> {
    files::private_folder(to)?;
    for name in Layout::KEPT {
        let (source, target) = (from.join(name), to.join(name));
        if source.exists() {
            copy(&source, &target)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        // Keeps the mode, which is 0600.
        return std::fs::copy(from, to).map(drop);
    }
    files::private_folder(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
