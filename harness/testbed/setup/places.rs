//! Folders: the cache, and what the service user can reach.

use std::{
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::os::spawn::ServiceUser;

/// The cache: `/var/cache/geodrill` for root, else `$XDG_CACHE_HOME/geodrill` or `~/.cache/geodrill`. `GEODRILL_CACHE`
/// overrides.
pub fn cache() -> PathBuf {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = given("GEODRILL_CACHE") {
        return folder;
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/cache/geodrill");
    }
    given("XDG_CACHE_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/geodrill-cache-{}", nix::unistd::geteuid())))
        .join("geodrill")
}

/// Whether the user that servers run as can enter every folder above a program and execute it.
pub(in crate::testbed) fn reachable(program: &Path) -> bool {
    let Ok(program) = program.canonicalize() else { return false };
    let Some(user) = ServiceUser::current() else {
        // Root without a service user yet: what others may do is what that user will be able to do.
        return program.ancestors().all(|path| mode(path).is_some_and(|(mode, _, _)| mode & 0o001 != 0));
    };
    program.ancestors().all(|path| {
        mode(path).is_some_and(|(mode, uid, gid)| {
            let bit = if uid == user.uid {
                0o100
            } else if gid == user.gid {
                0o010
            } else {
                0o001
            };
            // A user's other groups are not looked at: what only they open is rare, and refused rather than guessed.
            mode & (bit | 0o001) != 0
        })
    })
}

fn mode(path: &Path) -> Option<(u32, u32, u32)> {
    path.metadata().ok().map(|data| (data.mode(), data.uid(), data.gid()))
}

/// The folders of `PATH`.
pub(super) fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// Subfolders of `parent` whose name starts with `prefix`, each joined with `rest`, those of the highest number first.
pub(super) fn numbered(parent: &str, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(prefix)?.split('.').map(|part| part.parse().unwrap_or(0)).collect();
            Some((number, entry.path().join(rest)))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}
