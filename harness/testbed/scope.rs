//! Which processes belong to a site, besides those in its inventory: all that work in its folder and were not started by
//! somebody else from there, such as a person's shell.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
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
