//! Processes by pid *and* start time, read from `/proc`: pids come round again, the pair does not.

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a tree may go on growing, or moving, while it is signalled.
const SIGNALLED_WITHIN: Duration = Duration::from_secs(2);

/// A process that cannot be confused with a later one of the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks between the machine's start and the process's.
    pub start_ticks: u64,
}

impl Identity {
    /// The process that has this pid now, if there is one (a zombie counts as none).
    pub fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid)?;
        (stat.state != 'Z').then_some(Self { pid, start_ticks: stat.start_ticks })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Its state letter in `/proc` (`R`, `S`, `T` for stopped, ...), if it still runs.
    pub fn state(self) -> Option<char> {
        stat(self.pid).filter(|stat| stat.start_ticks == self.start_ticks).map(|stat| stat.state)
    }

    /// Sends a signal to it alone; that it is gone already is no error.
    ///
    /// # Errors
    /// The kernel's, such as a lack of permission.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// It and all its descendants, itself first. Each child of a postmaster has a process group of its own, so a signal
    /// to the group reaches none of them: the tree is walked instead.
    pub fn tree(self) -> Vec<Identity> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(next) = open.pop() {
            if next.is_alive() && seen.insert(next.pid) {
                found.push(next);
                open.extend(children(next.pid).into_iter().filter_map(Identity::of));
            }
        }
        found
    }

    /// Sends a signal to the whole tree, walking it again until no new process turns up, so that a child forked meanwhile is
    /// not missed: a process that is told to stop finishes the fork it is in first, so for a stop the last walk is one of a
    /// tree that stood still already. Gives up after two seconds. Returns those that were signalled.
    ///
    /// # Errors
    /// The kernel's, such as a lack of permission.
    pub fn signal_tree(self, signal: Signal) -> io::Result<BTreeSet<Identity>> {
        let deadline = Instant::now() + SIGNALLED_WITHIN;
        let mut reached = BTreeSet::new();
        let mut is_settled = signal != Signal::SIGSTOP;
        loop {
            let tree = self.tree();
            let fresh: Vec<Identity> = tree.iter().copied().filter(|process| !reached.contains(process)).collect();
            if fresh.is_empty() && is_settled || Instant::now() >= deadline {
                return Ok(reached);
            }
            for process in &fresh {
                process.signal(signal)?;
                reached.insert(*process);
            }
            if signal == Signal::SIGSTOP {
                is_settled =
                    tree.iter().all(|process| process.state().is_none_or(|state| matches!(state, 'T' | 't' | 'Z')));
                if !is_settled {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

struct Stat {
    state: char,
    start_ticks: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in parentheses and may hold anything: what follows the last one is regular.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Stat { state, start_ticks: fields.nth(18)?.parse().ok()? })
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
