//! Processes within a container, seen and acted upon by a call of this program in there (`geodrill role inside`): process
//! numbers are the container's own, and so are the inventory and `/proc`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    api::{EnvironmentId, site::ProcessEntry},
    os::{inventory, process::Identity},
    testbed::contract::{DiskDeed, Space},
};

/// A block of most file systems, and of a page of memory.
const BLOCK: usize = 4 * 1024;

/// A process, by its number and start time there.
pub type Pair = (i32, u64);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Which processes of this service run, of one environment or of all.
    Processes {
        /// The service.
        service: String,
        /// The environment.
        environment: Option<EnvironmentId>,
    },
    /// These and all their descendants.
    Trees(Vec<Pair>),
    /// The state letter of each; `None`: gone.
    States(Vec<Pair>),
    /// A signal by its number, to these and all their descendants.
    Signal(Vec<Pair>, i32),
    /// Of the disk that has this folder.
    Disk(DiskDeed),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To all but the others.
    Processes(Vec<Pair>),
    /// To [`Ask::States`].
    States(Vec<Option<char>>),
    /// To [`Ask::Disk`].
    Space(Space),
}

/// Does what is asked, in the site of this folder.
///
/// # Errors
/// The system's, as text.
pub fn answer(site: &Path, ask: &Ask) -> Result<Answer, String> {
    let said = |error: std::io::Error| error.to_string();
    match ask {
        Ask::Processes { service, environment } => {
            let entries = running(site)?;
            let wanted = entries.iter().filter(|entry| entry.service == *service);
            let wanted = wanted.filter(|entry| environment.is_none() || entry.environment == *environment);
            Ok(Answer::Processes(wanted.map(|entry| (entry.pid, entry.start_ticks)).collect()))
        }
        Ask::Trees(roots) => Ok(Answer::Processes(identities(roots).flat_map(Identity::tree).map(pair).collect())),
        Ask::States(processes) => Ok(Answer::States(identities(processes).map(Identity::state).collect())),
        Ask::Signal(roots, number) => {
            let signal = Signal::try_from(*number).map_err(|error| error.to_string())?;
            let mut reached = Vec::new();
            for root in identities(roots) {
                reached.extend(root.signal_tree(signal).map_err(said)?.into_iter().map(pair));
            }
            Ok(Answer::Processes(reached))
        }
        Ask::Disk(deed) => disk(site, *deed).map(Answer::Space).map_err(said),
    }
}

/// Fills a disk, or empties it again of what has filled it, and looks at it. No server looks into `lost+found`, a file system's own.
fn disk(folder: &Path, deed: DiskDeed) -> io::Result<Space> {
    let own = folder.join("lost+found");
    let (filler, trial) = (own.join("filler"), own.join("trial"));
    fs::create_dir_all(&own).or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })?;
    match deed {
        DiskDeed::Look => {}
        DiskDeed::Fill => fill(&filler)?,
        DiskDeed::Free => fs::remove_file(&filler).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?,
    }
    let refuses = match fs::write(&trial, [1; BLOCK]).and_then(|()| fs::File::open(&trial)?.sync_all()) {
        Ok(()) => false,
        Err(error) if is_full(&error) => true,
        Err(error) => return Err(error),
    };
    if trial.exists() {
        fs::remove_file(&trial)?;
    }
    let shown = nix::sys::statvfs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(shown.fragment_size());
    Ok(Space { total: bytes(shown.blocks()), free: bytes(shown.blocks_available()), refuses })
}

/// Writes until there is no space left, in ever smaller pieces.
fn fill(filler: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(filler)?;
    let mut piece = vec![1; 1024 * BLOCK];
    while piece.len() >= BLOCK {
        match file.write(&piece) {
            Ok(0) => piece.truncate(piece.len() / 2),
            Ok(_) => {}
            Err(error) if is_full(&error) => piece.truncate(piece.len() / 2),
            Err(error) => return Err(error),
        }
    }
    file.sync_all().or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn running(site: &Path) -> Result<Vec<ProcessEntry>, String> {
    let inventory = inventory::read(site).map_err(|error| error.to_string())?;
    Ok(inventory.processes.into_iter().filter(inventory::is_alive).collect())
}

fn identities(pairs: &[Pair]) -> impl Iterator<Item = Identity> {
    pairs.iter().map(|(pid, start_ticks)| Identity { pid: *pid, start_ticks: *start_ticks })
}

fn pair(identity: Identity) -> Pair {
    (identity.pid, identity.start_ticks)
}
