//! The undo ledger, and ending what a run has started, whoever does it: the run itself, the next call after a crash, or
//! `geodrill down --all`.
//!
//! On disk: `<run>/undo.ndjson`, one [`Entry`] a line, each flushed to the disk before what it announces is done; and
//! `<cache>/runs/<run>-<pid>-<number>.json`, a [`Standing`] for every run that has not ended, wherever its folder is. A process that
//! was started and not yet entered in its site's inventory is found by its working folder, which lies in the site.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::{compose::leftovers::Project, scope};
use crate::{
    model::link::Link,
    os::{cgroup::Cgroup, files, inventory, process::Identity, shared_memory},
    testbed::setup,
};

/// File name of the ledger in a run's folder.
pub const LEDGER_FILE: &str = "undo.ndjson";

/// What the names of our cgroups begin with.
pub(super) const QUOTA_PREFIX: &str = "geodrill-";

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// A process will be started in a site.
    Start {
        /// The site's name, also its folder in the run's.
        site: String,
        /// What it is.
        service: String,
    },
    /// A project of Docker Compose will be brought up.
    Compose {
        /// Its name.
        project: String,
        /// Where its engine is, since whoever ends it may have another one.
        host: String,
    },
    /// A cgroup will be made, for a region's quota of the processors.
    Quota {
        /// Its folder.
        folder: PathBuf,
    },
    /// Links will be impeded.
    Impede {
        /// Which.
        links: Vec<Link>,
        /// How, for people.
        how: String,
    },
    /// Links will be cleared.
    Clear {
        /// Which.
        links: Vec<Link>,
    },
    /// A site will be killed and cut off, or cut off alone.
    Cut {
        /// The site.
        site: String,
        /// Its processes will be killed as well.
        killed: bool,
    },
    /// Everything will be ended.
    End,
    /// Everything has been ended.
    Ended,
}

/// A run that has not ended, or whose end nobody saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its folder.
    pub folder: PathBuf,
    /// Process id of its runner.
    pub pid: i32,
    /// Start time of its runner, as in [`Identity`].
    pub start_ticks: u64,
}

impl Standing {
    /// Its runner.
    pub fn runner(&self) -> Identity {
        Identity { pid: self.pid, start_ticks: self.start_ticks }
    }

    /// Whether its runner still runs, and so looks after it.
    pub fn has_runner(&self) -> bool {
        self.runner().is_alive()
    }
}

/// The ledger of a running testbed.
pub struct Ledger {
    file: Mutex<File>,
    standing: PathBuf,
}

impl Ledger {
    /// Opens the ledger of a run's folder, and says that the run stands.
    ///
    /// # Errors
    /// The system's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = folder.join(LEDGER_FILE);
        let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        files::give(&path)?;
        let me = Identity::of(i32::try_from(std::process::id()).map_err(io::Error::other)?)
            .ok_or_else(|| io::Error::other("no /proc to read our own start time from"))?;
        // One process may have several runs, in folders of one name.
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let standing = index().join(format!("{name}-{}-{number}.json", me.pid));
        fs::create_dir_all(index())?;
        files::write_json(
            &standing,
            &Standing { folder: folder.to_owned(), pid: me.pid, start_ticks: me.start_ticks },
        )?;
        Ok(Self { file: Mutex::new(file), standing })
    }

    /// The file that says that the run stands.
    pub fn standing(&self) -> &Path {
        &self.standing
    }

    /// Notes what is about to be done.
    ///
    /// # Errors
    /// The system's; what was announced must then not be done.
    pub fn note(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        file.sync_data()
    }

    /// Notes that everything has been ended: the run stands no more.
    ///
    /// # Errors
    /// The system's.
    pub fn close(&self) -> io::Result<()> {
        self.note(&Entry::Ended)?;
        forget(&self.standing)
    }
}

/// Says that a run stands no more.
///
/// # Errors
/// The system's.
pub(super) fn forget(standing: &Path) -> io::Result<()> {
    match fs::remove_file(standing) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn index() -> PathBuf {
    setup::cache().join("runs")
}

/// Runs that stand, with the file that says so.
///
/// # Errors
/// The system's.
pub fn standing() -> io::Result<Vec<(PathBuf, Standing)>> {
    let entries = match fs::read_dir(index()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Ok(standing) = files::read_json(&path)
        {
            found.push((path, standing));
        }
    }
    Ok(found)
}

/// Ends a run that its runner left behind, and says that it stands no more. What could not be ended is told.
pub fn end_standing(file: &Path, standing: &Standing, within: Duration) -> Vec<String> {
    let mut left = end(&standing.folder, within);
    if left.is_empty() {
        shared_memory::free_abandoned();
        left.extend(forget(file).err().map(|error| format!("{}: {error}", file.display())));
    }
    left
}

/// A run whose runner was gone, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Its folder.
    pub folder: PathBuf,
    /// How many processes, containers, networks and volumes of it were there.
    pub things: usize,
    /// What could not be ended.
    pub left: Vec<String>,
}

/// Ends what dead runners have left behind, each run within `within`. A guardian that is at it already is no hindrance.
///
/// # Errors
/// The system's, for the list of runs that stand.
pub fn sweep(within: Duration) -> io::Result<Vec<Swept>> {
    let dead = standing()?.into_iter().filter(|(_, standing)| !standing.has_runner());
    Ok(dead
        .map(|(file, standing)| {
            let things = count(&standing.folder);
            let left = end_standing(&file, &standing, within);
            Swept { folder: standing.folder, things, left }
        })
        .collect())
}

/// Kills every process of a run's sites, whole trees, and whatever else works in their folders; then ends its containers.
/// Bounded by `within`. What could not be ended is told.
pub fn end(folder: &Path, within: Duration) -> Vec<String> {
    let deadline = Instant::now() + within;
    loop {
        let alive = alive(folder);
        if alive.is_empty() {
            let left = |project: &Project| project.end(deadline.saturating_duration_since(Instant::now()));
            let quotas = quotas(folder).into_iter().filter_map(|quota| remove(&quota, deadline));
            return projects(folder).iter().flat_map(left).chain(quotas).collect();
        }
        let mut troubles = Vec::new();
        for process in &alive {
            if let Err(error) = process.signal(Signal::SIGKILL) {
                troubles.push(format!("process {}: {error}", process.pid));
            }
        }
        while alive.iter().any(|process| process.is_alive()) {
            if Instant::now() >= deadline {
                let left = alive.iter().filter(|process| process.is_alive());
                troubles
                    .extend(left.map(|process| format!("process {} of {} still runs", process.pid, folder.display())));
                return troubles;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Removes a cgroup; why it could not be, if so. One whose last process has just ended may be busy for a moment.
fn remove(quota: &Cgroup, deadline: Instant) -> Option<String> {
    loop {
        match quota.remove() {
            Ok(()) => return None,
            Err(error) if Instant::now() >= deadline => {
                return Some(format!("cgroup {}: {error}", quota.folder().display()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Every living process of a run but ourselves: those in its inventories with their trees, those that work in its folders,
/// those that carry its mark, and those in its cgroups.
pub(super) fn alive(folder: &Path) -> BTreeSet<Identity> {
    let mut alive: BTreeSet<Identity> = sites(folder).iter().flat_map(|site| alive_in(&folder.join(site))).collect();
    let inside = quotas(folder).into_iter().flat_map(|quota| quota.processes().unwrap_or_default());
    alive.extend(inside.filter_map(Identity::of));
    alive.extend(scope::marked(folder).into_iter().flat_map(Identity::tree));
    alive.retain(|process| u32::try_from(process.pid) != Ok(std::process::id()));
    alive
}

/// Every living process of one site.
pub(super) fn alive_in(site: &Path) -> BTreeSet<Identity> {
    let entered = inventory::read(site).unwrap_or_default().processes;
    let mut alive: BTreeSet<Identity> = entered
        .iter()
        .map(|entry| Identity { pid: entry.pid, start_ticks: entry.start_ticks })
        .filter(|process| process.is_alive())
        .flat_map(Identity::tree)
        .collect();
    alive.extend(scope::working_in(site).into_iter().flat_map(Identity::tree));
    alive
}

/// How much of a run is there: living processes, cgroups, and containers, networks and volumes. An engine that does not say counts as
/// one thing, since nobody can know that nothing is left with it.
pub(super) fn count(folder: &Path) -> usize {
    let of_project = |project: &Project| project.left().map_or(1, |left| left.count());
    let quotas = quotas(folder).iter().filter(|quota| quota.folder().exists()).count();
    alive(folder).len() + quotas + projects(folder).iter().map(of_project).sum::<usize>()
}

/// The sites in which something was started, by the ledger.
fn sites(folder: &Path) -> BTreeSet<String> {
    let entry = |entry| match entry {
        Entry::Start { site, .. } => Some(site),
        _ => None,
    };
    entries(folder).into_iter().filter_map(entry).collect()
}

/// The projects of Docker Compose, by the ledger.
fn projects(folder: &Path) -> BTreeSet<Project> {
    let entry = |entry| match entry {
        Entry::Compose { project, host } => Some(Project { name: project, host }),
        _ => None,
    };
    entries(folder).into_iter().filter_map(entry).collect()
}

/// The cgroups that were made for quotas, by the ledger; none but those of our naming.
fn quotas(folder: &Path) -> Vec<Cgroup> {
    let is_ours = |folder: &PathBuf| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(QUOTA_PREFIX))
    };
    let entry = |entry| match entry {
        Entry::Quota { folder } => Some(folder),
        _ => None,
    };
    let folders: BTreeSet<PathBuf> = entries(folder).into_iter().filter_map(entry).filter(is_ours).collect();
    folders.iter().map(|folder| Cgroup::at(folder)).collect()
}

fn entries(folder: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(folder.join(LEDGER_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_never_reached_the_inventory_is_ended_too() {
        let run = tempfile::tempdir_in("/var/tmp").unwrap();
        let site = run.path().join("east");
        fs::create_dir(&site).unwrap();
        let entry =
            serde_json::to_string(&Entry::Start { site: "east".to_owned(), service: "node".to_owned() }).unwrap();
        fs::write(run.path().join(LEDGER_FILE), format!("{entry}\nhalf a li")).unwrap();
        let mut child = Command::new("sleep").arg("30").current_dir(&site).spawn().unwrap();
        let mut elsewhere = Command::new("sleep").arg("30").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert_eq!(alive(run.path()), BTreeSet::from([identity]));
        let reaper = std::thread::spawn(move || child.wait());
        assert_eq!(end(run.path(), Duration::from_secs(5)), Vec::<String>::new());
        assert!(!identity.is_alive());
        reaper.join().unwrap().unwrap();
        assert!(elsewhere.try_wait().unwrap().is_none());
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
    }
}
