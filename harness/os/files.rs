//! Files and folders that their owner alone can read, written whole or not at all.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use super::spawn::ServiceUser;

/// Makes a folder (and those above it) of mode 0700 that belongs to the service user.
///
/// # Errors
/// The system's.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        private_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    give(path)
}

/// Gives a path to the service user, where we are root.
///
/// # Errors
/// The system's.
pub fn give(path: &Path) -> io::Result<()> {
    match ServiceUser::current() {
        Some(user) if nix::unistd::geteuid().is_root() => chown(path, Some(user.uid), Some(user.gid)),
        _ => Ok(()),
    }
}

/// Gives to the service user what was made of a private folder before there was such a user: all that is in it, and the private
/// folders above it.
///
/// # Errors
/// The system's.
pub fn hand_over(folder: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() || ServiceUser::current().is_none() {
        return Ok(());
    }
    let is_roots = |path: &Path| {
        let found = fs::symlink_metadata(path)?;
        Ok::<_, io::Error>(found.is_dir() && found.uid() == 0 && found.mode() & 0o077 == 0)
    };
    for above in folder.ancestors().skip(1) {
        if !is_roots(above)? {
            break;
        }
        give(above)?;
    }
    if is_roots(folder)? { give_all(folder) } else { Ok(()) }
}

fn give_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !entry.file_type()?.is_symlink() {
                give_all(&entry.path())?;
            }
        }
    }
    give(path)
}

/// Writes a file of mode 0600 whole: to a temporary one beside it, flushed to the disk, then renamed over it.
///
/// # Errors
/// The system's.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_data()?;
    give(&fresh)?;
    fs::rename(&fresh, path)
}

/// Writes a value as JSON, as [`write_private`] does.
///
/// # Errors
/// The system's.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_private(path, &serde_json::to_vec_pretty(value)?)
}

/// Reads a value from JSON.
///
/// # Errors
/// The system's, or `InvalidData` for a file that does not hold such a value.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
