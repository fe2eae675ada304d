//! A stage for tests that count what is left: runs and the list of what stands are the stage's own, so that nobody else's
//! labs are ended; the servers and the locks of ports are the machine's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use geodrill::{
    os::{files, process::Identity},
    testbed::setup::{self, SetupMode},
};
use nix::sys::signal::Signal;

use crate::support::program;

/// How long after the death of a runner nothing of its run may be there any more.
pub const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Folders of its own for runs and for the list of what stands.
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// With the machine's servers, made if need be.
    pub async fn set() -> Self {
        setup::ensure(&|line: &str| eprintln!("{line}"), SetupMode::Auto).await.expect("the servers are there");
        let folder = tempfile::Builder::new().prefix("gd").tempdir_in("/var/tmp").expect("a folder");
        files::give(folder.path()).expect("the service user's");
        let cache = folder.path().join("c");
        fs::create_dir(&cache).expect("a folder");
        for entry in fs::read_dir(setup::cache()).expect("the cache").flatten() {
            if entry.file_name() != "runs" {
                std::os::unix::fs::symlink(entry.path(), cache.join(entry.file_name())).expect("a link");
            }
        }
        Self { folder }
    }

    /// The folder of its runs.
    pub fn runs(&self) -> PathBuf {
        self.folder.path().join("r")
    }

    /// A call of the program on this stage.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.env("NO_COLOR", "1").env("GEODRILL_RUNS", self.runs());
        command.env("GEODRILL_CACHE", self.folder.path().join("c"));
        command
    }

    /// Calls the program and waits: its exit code, standard output and standard error.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command().args(arguments).output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// As [`Stage::call`], with the exit code wanted; both outputs come back in one.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let (got, out, err) = self.call(arguments);
        assert_eq!(got, code, "geodrill {arguments:?}\n{out}{err}");
        out + &err
    }

    /// The folders of runs that are there.
    pub fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runs()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Files that say that a run stands.
    pub fn standing(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("c/runs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// The cgroups that its runs have made, by their undo ledgers, and that are there.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let ledgers = self.folders().into_iter().filter_map(|run| fs::read_to_string(run.join("undo.ndjson")).ok());
        let entries = ledgers.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        let folder = |line: String| {
            let entry: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(PathBuf::from(entry["quota"]["folder"].as_str()?))
        };
        entries.filter_map(folder).filter(|folder| folder.exists()).collect()
    }

    /// Every process that has to do with this stage: by its command line, working folder, program or environment.
    pub fn processes(&self) -> BTreeSet<(i32, String)> {
        let wanted = self.folder.path().display().to_string();
        let names = |text: &[u8]| String::from_utf8_lossy(text).contains(&wanted);
        let pids = fs::read_dir("/proc").expect("Linux has /proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| u32::try_from(*pid) != Ok(std::process::id()))
            .filter_map(|pid| {
                let folder = PathBuf::from(format!("/proc/{pid}"));
                let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
                let link = |name: &str| fs::read_link(folder.join(name)).is_ok_and(|path| path.starts_with(&wanted));
                let line = read("cmdline");
                let is_ours = names(&line) || names(&read("environ")) || link("cwd") || link("exe");
                // A zombie has none of these, and is its parent's to collect.
                is_ours.then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
            })
            .collect()
    }

    /// The living guardian of this stage's run, if there is one.
    pub fn guardian(&self) -> Option<Identity> {
        let found = self.processes().into_iter().find(|(_, line)| line.contains("role guardian"))?;
        Identity::of(found.0)
    }

    /// Waits until no process of this stage is left; how long that took.
    #[track_caller]
    pub fn wait_until_empty(&self, what: &str) -> Duration {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                return began.elapsed();
            }
            assert!(began.elapsed() < GONE_WITHIN, "{what}: left after {GONE_WITHIN:?}: {left:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a test that failed. Containers are no processes of ours, and whoever could end them would be killed below.
        if !self.standing().is_empty() {
            let _ = self.command().args(["down", "--all"]).output();
        }
        for (pid, _) in self.processes() {
            if let Some(process) = Identity::of(pid) {
                let _ = process.signal(Signal::SIGKILL);
            }
        }
    }
}

/// The blocks of ports whose locks a process holds: the lock's file, and the block's ports.
pub fn port_blocks(pid: u32) -> Vec<(PathBuf, std::ops::Range<u16>)> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("ports")))
        .filter_map(|path| {
            let block: u16 = path.file_stem()?.to_str()?.parse().ok()?;
            let first = 20_000 + block * 100;
            Some((path, first..first + 100))
        })
        .collect()
}

/// Ports of this range on which somebody listens.
pub fn listening(range: &std::ops::Range<u16>) -> Vec<u16> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has /proc/net/tcp");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|fields| fields.get(3) == Some(&"0A"))
        .filter_map(|fields| u16::from_str_radix(fields.get(1)?.split(':').nth(1)?, 16).ok())
        .filter(|port| range.contains(port))
        .collect()
}

/// A file's permission bits.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}
