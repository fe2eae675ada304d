//! Ports of a run. They lie below the ports that the kernel hands out for outgoing connections, in blocks; a block is
//! locked (by a file in the cache) for as long as its run lives, so that runs side by side do not race for a port between
//! its choice and its use. A port of a locked block that something else listens on is left out.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

/// First port.
const FIRST: u16 = 20_000;

/// Ports in a block.
const BLOCK: u16 = 100;

/// Blocks: the last port is 31,999, and the kernel's own begin at 32,768.
const BLOCKS: u16 = 120;

/// Last port.
const LAST: u16 = FIRST + BLOCKS * BLOCK - 1;

/// The number of the block that a port is in, below 120.
#[cfg(feature = "compose")]
pub(super) fn block_of(port: u16) -> u16 {
    port.saturating_sub(FIRST) / BLOCK
}

/// Reserved ports.
pub(super) struct Ports {
    locks: Vec<File>,
    free: Vec<u16>,
}

impl Ports {
    /// Reserves `count` ports, by lock files in `folder`.
    ///
    /// # Errors
    /// The system's, or that too many runs stand already.
    pub fn reserve(folder: &Path, count: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut ports = Self { locks: Vec::new(), free: Vec::new() };
        let start = rand::random::<u16>() % BLOCKS;
        for step in 0..BLOCKS {
            let block = (start + step) % BLOCKS;
            let file =
                File::options().write(true).create(true).truncate(false).open(folder.join(format!("{block}.lock")))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => continue,
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            ports.locks.push(file);
            let first = FIRST + block * BLOCK;
            ports.free.extend((first..first + BLOCK).filter(|port| is_free(*port)));
            if ports.free.len() >= count {
                // Taken from the end.
                ports.free.reverse();
                return Ok(ports);
            }
        }
        Err(io::Error::other(format!(
            "{count} free ports are needed between {FIRST} and {LAST}, and {} were left: end other runs first",
            ports.free.len()
        )))
    }

    /// Reserves `count` ports in a row, and returns the first of them.
    ///
    /// # Errors
    /// As [`Ports::reserve`].
    #[cfg(feature = "compose")]
    pub fn reserve_row(folder: &Path, count: u16) -> io::Result<(Self, u16)> {
        // Blocks side by side may be another run's, or hold a port that something listens on: the row is looked for among
        // twice as many, then among all that can be had.
        for wanted in [2 * count, 4 * count, 16 * count] {
            let Ok(ports) = Self::reserve(folder, usize::from(wanted)) else { break };
            let mut free = ports.free.clone();
            free.sort_unstable();
            let row = free.windows(usize::from(count)).find(|row| row[0] + count - 1 == row[row.len() - 1]);
            if let Some(first) = row.map(|row| row[0]) {
                return Ok((ports, first));
            }
        }
        Err(io::Error::other(format!(
            "no {count} ports in a row are free between {FIRST} and {LAST}: end other runs first"
        )))
    }

    /// Takes one.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// How many blocks are held.
    #[cfg(test)]
    pub fn blocks(&self) -> usize {
        self.locks.len()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::BTreeSet,
        thread::sleep,
        time::{Duration, Instant},
    };

    #[test]
    fn runs_side_by_side_share_no_port() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs: Vec<Ports> = (0..8).map(|_| Ports::reserve(folder.path(), 150).unwrap()).collect();
        let mut seen = BTreeSet::new();
        for run in &mut runs {
            assert!(run.blocks() >= 2);
            for _ in 0..150 {
                assert!(seen.insert(run.take().unwrap()));
            }
        }
    }

    #[test]
    fn a_port_that_something_listens_on_is_left_out_and_blocks_come_back() {
        let folder = tempfile::tempdir().unwrap();
        // Most of all, and not so many that tests of whole regions beside this one leave too few.
        let mut all = Ports::reserve(folder.path(), 9_500).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, all.take().unwrap())).unwrap();
        assert!(Ports::reserve(folder.path(), 6_000).is_err());
        drop(all);
        // A lock lasts as long as any copy of its file, and a process that a test beside this one has just forked has one
        // of each until it executes its program.
        let since = Instant::now();
        let mut again = loop {
            match Ports::reserve(folder.path(), 9_500) {
                Ok(ports) => break ports,
                Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{error}"),
            }
            sleep(Duration::from_millis(20));
        };
        let port = taken.local_addr().unwrap().port();
        assert!(std::iter::from_fn(|| again.take()).all(|other| other != port));
    }
}
