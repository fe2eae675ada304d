//! A site's inventory of processes ([`crate::api::site`]): read, and changed under a lock, since several processes of one
//! site write it. The lock is a file beside it, because the inventory itself is replaced at every change.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{files, process::Identity};
use crate::api::site::{INVENTORY_FILE, Inventory, ProcessEntry};

/// Enters a process, replacing an entry of the same pid. Entries of processes that are gone are dropped on the way, so
/// that a site whose servers come and go does not grow without bound.
///
/// # Errors
/// The system's, or `InvalidData` for an inventory that cannot be read.
pub fn register(site: &Path, entry: ProcessEntry) -> io::Result<()> {
    change(site, |inventory| {
        inventory.processes.retain(|other| other.pid != entry.pid && is_alive(other));
        inventory.processes.push(entry);
    })
}

/// Removes the entry of a pid, if there is one.
///
/// # Errors
/// As [`register`].
pub fn unregister(site: &Path, pid: i32) -> io::Result<()> {
    change(site, |inventory| inventory.processes.retain(|entry| entry.pid != pid))
}

/// The inventory as it stands; empty when none was written yet.
///
/// # Errors
/// As [`register`].
pub fn read(site: &Path) -> io::Result<Inventory> {
    match files::read_json(&site.join(INVENTORY_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Inventory::default()),
        other => other,
    }
}

/// Whether the very process of an entry still runs.
pub fn is_alive(entry: &ProcessEntry) -> bool {
    Identity { pid: entry.pid, start_ticks: entry.start_ticks }.is_alive()
}

fn change(site: &Path, edit: impl FnOnce(&mut Inventory)) -> io::Result<()> {
    files::private_folder(site)?;
    let path = lock_path(site);
    let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    files::give(&path)?;
    lock.lock()?;
    let mut inventory = read(site)?;
    edit(&mut inventory);
    files::write_json(&site.join(INVENTORY_FILE), &inventory)
    // The lock ends with its file.
}

fn lock_path(site: &Path) -> PathBuf {
    site.join(format!("{INVENTORY_FILE}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, start_ticks: u64) -> ProcessEntry {
        ProcessEntry { service: "files".to_owned(), environment: None, pid, start_ticks, port: None, data: None }
    }

    #[test]
    fn a_site_without_inventory_is_empty() {
        let site = tempfile::tempdir().unwrap();
        assert_eq!(read(site.path()).unwrap(), Inventory::default());
    }

    #[test]
    fn entries_come_and_go_and_the_dead_are_dropped() {
        let site = tempfile::tempdir().unwrap();
        let me = Identity::of(std::process::id() as i32).unwrap();
        register(site.path(), entry(me.pid, me.start_ticks + 1)).unwrap();
        register(site.path(), entry(1, Identity::of(1).unwrap().start_ticks)).unwrap();
        register(site.path(), entry(me.pid, me.start_ticks)).unwrap();
        let pids: Vec<i32> = read(site.path()).unwrap().processes.iter().map(|entry| entry.pid).collect();
        assert_eq!(pids, [1, me.pid]);
        unregister(site.path(), 1).unwrap();
        assert_eq!(read(site.path()).unwrap().processes, [entry(me.pid, me.start_ticks)]);
    }

    #[test]
    fn writers_side_by_side_lose_nothing() {
        let site = tempfile::tempdir().unwrap();
        let pids: Vec<Identity> = (0..8)
            .map(|_| std::process::Command::new("sleep").arg("20").spawn().unwrap())
            .map(|child| Identity::of(child.id() as i32).unwrap())
            .collect();
        std::thread::scope(|scope| {
            for identity in &pids {
                scope.spawn(|| register(site.path(), entry(identity.pid, identity.start_ticks)).unwrap());
            }
        });
        let count = read(site.path()).unwrap().processes.len();
        for identity in &pids {
            identity.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        assert_eq!(count, pids.len());
    }
}
