//! Which processes belong to a site or a run, besides those in inventories: all that work in its folder and were not started
//! by somebody else from there, such as a person's shell; and all that carry the run's mark in their environment.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::os::{process::Identity, spawn::ServiceUser};

struct Process {
    identity: Identity,
    parent: i32,
    uid: u32,
    name: String,
    works_here: bool,
}

/// Processes whose working folder lies in `site`, if they run as the service user that root made, or were left to the
/// machine's first process (or a user's), or were started by ourselves.
pub(super) fn working_in(site: &Path) -> Vec<Identity> {
    let Ok(site) = site.canonicalize() else { return Vec::new() };
    let all: BTreeMap<i32, Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, read(pid, &site)?)))
        .collect();
    let service_user = ServiceUser::current().filter(|_| nix::unistd::geteuid().is_root()).map(|user| user.uid);
    all.values()
        .filter(|process| process.works_here)
        .filter(|process| Some(process.uid) == service_user || is_left(process, &all))
        .map(|process| process.identity)
        .collect()
}

/// Processes that carry the mark of a run: their home lies in its folder, as of everything that a testbed starts and of
/// what that starts in turn; or it is the folder that they were told to be the run's, as a scenario's commands are.
pub(super) fn marked(folder: &Path) -> Vec<Identity> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| !is_us(*pid))
        .filter_map(Identity::of)
        .filter(|process| {
            // What may not be read is not ours.
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            // It is the same process that was read.
            has_mark(&environment, &folder) && process.is_alive()
        })
        .collect()
}

fn has_mark(environment: &[u8], folder: &Path) -> bool {
    environment.split(|byte| *byte == 0).any(|variable| {
        let value = |name: &[u8]| variable.strip_prefix(name).map(|value| Path::new(OsStr::from_bytes(value)));
        value(b"HOME=").is_some_and(|home| home.starts_with(folder))
            || value(b"GEODRILL_RUN_DIR=").is_some_and(|run| run == folder)
    })
}

/// Whether the first of a process's ancestors that works elsewhere is the machine's first process, a user's, or we.
fn is_left(process: &Process, all: &BTreeMap<i32, Process>) -> bool {
    let mut parent = process.parent;
    // Bounded, since what was read of a changing machine may hold a loop.
    for _ in 0..all.len() {
        match all.get(&parent) {
            Some(other) if other.works_here => parent = other.parent,
            Some(other) => return parent == 1 || other.name == "systemd" || is_us(parent),
            None => return true,
        }
    }
    false
}

fn is_us(pid: i32) -> bool {
    u32::try_from(pid).is_ok_and(|pid| pid == std::process::id())
}

fn read(pid: i32, site: &Path) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let works_here = fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(site));
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let parent = stat.get(close + 2..)?.split(' ').nth(1)?.parse().ok()?;
    let name = stat.get(open + 1..close)?.to_owned();
    let uid = fs::metadata(&folder).ok()?.uid();
    Some(Process { identity: Identity::of(pid)?, parent, uid, name, works_here })
}

#[cfg(test)]
mod tests {
    use super::has_mark;
    use std::path::Path;

    #[test]
    fn a_mark_names_the_very_run() {
        let run = Path::new("/var/tmp/runs/20260101-000000-abcd");
        let marked = |text: &str| has_mark(text.as_bytes(), run);
        assert!(marked("PATH=/bin\0HOME=/var/tmp/runs/20260101-000000-abcd/east\0"));
        assert!(marked("GEODRILL_RUN_DIR=/var/tmp/runs/20260101-000000-abcd"));
        assert!(!marked("HOME=/var/tmp/runs/20260101-000000-abcdef/east"));
        assert!(!marked("HOME=/root\0PWD=/var/tmp/runs/20260101-000000-abcd/east"));
        assert!(!marked(""));
    }
}
