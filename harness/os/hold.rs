//! Who works in a folder: whoever holds its lock. The kernel gives the lock back when the holder ends, however it ends, so
//! that a lock that can be had proves that nobody works there any more.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

/// A folder that is held by this process.
#[derive(Debug)]
#[must_use = "the folder is held for as long as this lives"]
pub struct Hold {
    _folder: File,
}

/// Holds a folder. `None`: somebody else does.
///
/// # Errors
/// The system's.
pub fn hold(folder: &Path) -> io::Result<Option<Hold>> {
    let folder = File::open(folder)?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(Hold { _folder: folder })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::hold;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(folder.path()).unwrap();
        assert!(held.is_some());
        assert!(hold(folder.path()).unwrap().is_none());
        drop(held);
        assert!(hold(folder.path()).unwrap().is_some());
    }
}
