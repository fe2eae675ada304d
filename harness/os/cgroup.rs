//! A group of processes that together get no more than a given share of the processors: a cgroup with a quota.
//!
//! Both versions are spoken, since a machine has the controller `cpu` in one of them alone: where a hierarchy of version 1 has it,
//! its files are `cpu.cfs_quota_us` and `cpu.cfs_period_us`; else it is version 2's `cpu.max`, and only below a group that hands
//! the controller down. Amounts are thousandths of a processor.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};

/// The span over which a quota is reckoned. Shorter than the system's own tenth of a second: who has used up the span waits for its
/// end, which would show in every answer's time.
const PERIOD_US: u64 = 20_000;
/// The shortest quota that the kernel takes, in a span.
const QUOTA_US_MIN: u64 = 1_000;
/// Clock ticks of `/proc` a second, fixed for user space.
const TICKS_PER_S: u64 = 100;

/// Which files a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group in the hierarchy that has the controller `cpu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    folder: PathBuf,
    /// Where the hierarchy begins, as far as it can be seen from here.
    top: PathBuf,
    version: Version,
}

impl Cgroup {
    /// The group of this process; `None` where there is no controller `cpu` to be seen.
    pub fn own() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        locate(&groups, &mounts)
    }

    /// Where a group of this name would be made: below this process's own, or below the nearest one above it that may hand the
    /// controller down. Nothing is made yet but what hands it down.
    ///
    /// # Errors
    /// What is missing, and what gets it.
    pub fn plan(name: &str) -> Result<Self, String> {
        let own = Self::own().ok_or("there is no controller `cpu` among this machine's cgroups")?;
        let mut troubles = Vec::new();
        for folder in own.folder.ancestors().take_while(|folder| folder.starts_with(&own.top)) {
            match may_be_made_in(folder).and_then(|()| own.version.hands_down(folder)) {
                Ok(()) => return Ok(Self { folder: folder.join(name), ..own }),
                Err(error) => troubles.push(format!("{}: {error}", folder.display())),
            }
            if own.version == Version::One {
                break;
            }
        }
        Err(format!(
            "no cgroup can be made here ({}): be root, or run in a subtree that is delegated with its controller `cpu` (`systemd-run \
             --user --scope -p Delegate=yes geodrill ...`)",
            troubles.join("; ")
        ))
    }

    /// The group of this folder, as an undo ledger names it.
    pub fn at(folder: &Path) -> Self {
        let version = if folder.join("cpu.cfs_quota_us").exists() { Version::One } else { Version::Two };
        Self { folder: folder.to_owned(), top: folder.to_owned(), version }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it, with this quota.
    ///
    /// # Errors
    /// The system's.
    pub fn make(&self, milli: u32) -> io::Result<()> {
        let quota = (u64::from(milli) * PERIOD_US / 1_000).max(QUOTA_US_MIN);
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match self.version {
            Version::One => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            Version::Two => self.write("cpu.max", &format!("{quota} {PERIOD_US}")),
        }
    }

    /// Takes a process in, with all its threads; whatever it starts from then on is in as well.
    ///
    /// # Errors
    /// The system's.
    pub fn take_in(&self, pid: i32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Its quota as the kernel has it; `None`: it has none.
    ///
    /// # Errors
    /// The system's, or that the kernel's words are not understood.
    pub fn quota(&self) -> io::Result<Option<u32>> {
        let text = match self.version {
            Version::One => format!("{} {}", self.read("cpu.cfs_quota_us")?.trim(), self.read("cpu.cfs_period_us")?),
            Version::Two => self.read("cpu.max")?,
        };
        parse_quota(&text).ok_or_else(|| io::Error::other(format!("not a quota: `{}`", text.trim())))
    }

    /// The smallest quota of it and of all above it; `None`: none of them has one.
    pub fn allowed(&self) -> Option<u32> {
        let above = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top));
        above.filter_map(|folder| Self { folder: folder.to_owned(), ..self.clone() }.quota().ok().flatten()).min()
    }

    /// The processes in it.
    ///
    /// # Errors
    /// The system's.
    pub fn processes(&self) -> io::Result<BTreeSet<i32>> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// The processor time that it has used so far: grows, but is counted from no fixed moment.
    ///
    /// # Errors
    /// The system's.
    pub fn used(&self) -> io::Result<Duration> {
        if self.version == Version::Two {
            return parse_usage(&self.read("cpu.stat")?).ok_or_else(|| io::Error::other("cpu.stat names no usage"));
        }
        // Version 1 counts it in a hierarchy of its own. A process that has ended is in the count of the one that started it.
        let ticks =
            self.processes()?.into_iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        Ok(Duration::from_millis(ticks.filter_map(|stat| parse_ticks(&stat)).sum::<u64>() * 1_000 / TICKS_PER_S))
    }

    /// Removes it; that it is not there is no error. Nobody may be in it.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.folder.join(file))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), text)
    }
}

impl Version {
    /// Makes sure that groups made in the folder have the controller.
    fn hands_down(self, folder: &Path) -> io::Result<()> {
        let control = folder.join("cgroup.subtree_control");
        match self {
            Self::One => Ok(()),
            Self::Two if has_cpu(&fs::read_to_string(&control)?) => Ok(()),
            Self::Two => fs::write(control, "+cpu"),
        }
    }
}

fn has_cpu(controllers: &str) -> bool {
    controllers.split_whitespace().any(|one| one == "cpu")
}

fn may_be_made_in(folder: &Path) -> io::Result<()> {
    Ok(access(folder, AccessFlags::W_OK)?)
}

/// The group that `/proc/self/cgroup` names, where `/proc/self/mountinfo` says that it is.
fn locate(groups: &str, mounts: &str) -> Option<Cgroup> {
    let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let one = lines().find(|(controllers, _)| controllers.split(',').any(|one| one == "cpu"));
    let (version, path) = match one {
        Some((_, path)) => (Version::One, path),
        None => (Version::Two, lines().find(|(controllers, _)| controllers.is_empty())?.1),
    };
    let (root, top) = mounts.lines().find_map(|line| mounted(line, version))?;
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let folder = if below.as_os_str().is_empty() { top.to_owned() } else { top.join(below) };
    Some(Cgroup { folder, top: top.to_owned(), version })
}

/// Root and place of a mount, if it is of the hierarchy.
fn mounted(line: &str, version: Version) -> Option<(&Path, &Path)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, place) = (mount.next()?, mount.next()?);
    let mut system = system.split(' ');
    let (kind, options) = (system.next()?, system.nth(1)?);
    let is_it = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "cpu"),
        Version::Two => kind == "cgroup2",
    };
    is_it.then(|| (Path::new(root), Path::new(place)))
}

/// `80000 100000`, `max 100000` or `-1 100000`.
fn parse_quota(text: &str) -> Option<Option<u32>> {
    let (quota, period) = text.trim().split_once(char::is_whitespace)?;
    if quota == "max" || quota == "-1" {
        return Some(None);
    }
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    Some(Some(u32::try_from((quota * 1_000).checked_div(period)?).ok()?))
}

fn parse_usage(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

/// User and system time of a process and of those of its children that have ended.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "29 28 0:25 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                       30 28 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const TWO: &str = "29 28 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_group_is_where_the_controller_is() {
        let found = |groups, mounts| locate(groups, mounts).map(|group| (group.folder, group.version));
        let at = |folder: &str, version| Some((PathBuf::from(folder), version));
        assert_eq!(found("2:cpu:/a\n0::/b\n", ONE), at("/sys/fs/cgroup/cpu/a", Version::One));
        assert_eq!(found("1:cpu,cpuacct:/\n0::/\n", ONE), at("/sys/fs/cgroup/cpu", Version::One));
        assert_eq!(found("0::/user.slice/x.scope\n", TWO), at("/sys/fs/cgroup/user.slice/x.scope", Version::Two));
        // In a container whose group is mounted as the whole.
        let bound = "29 28 0:25 /docker/7 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        assert_eq!(found("2:cpu:/docker/7\n", bound), at("/sys/fs/cgroup/cpu", Version::One));
        assert_eq!(found("3:memory:/a\n", TWO), None);
    }

    #[test]
    fn of_version_two_the_controller_is_handed_down_and_the_quota_written() {
        // Plain files in the place of the kernel's: what is written can be seen, not what it does.
        let top = tempfile::tempdir().unwrap();
        let control = top.path().join("cgroup.subtree_control");
        fs::write(&control, "memory pids\n").unwrap();
        Version::Two.hands_down(top.path()).unwrap();
        assert_eq!(fs::read_to_string(&control).unwrap(), "+cpu");
        let folder = top.path().join("geodrill-x");
        let group = Cgroup { folder: folder.clone(), top: top.path().to_owned(), version: Version::Two };
        group.make(800).unwrap();
        assert_eq!(fs::read_to_string(folder.join("cpu.max")).unwrap(), "16000 20000");
        fs::write(top.path().join("cpu.max"), "50000 100000\n").unwrap();
        assert_eq!((group.quota().unwrap(), group.allowed()), (Some(800), Some(500)));
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(parse_quota("16000 20000\n"), Some(Some(800)));
        assert_eq!(parse_quota("max 100000\n"), Some(None));
        assert_eq!(parse_quota("-1 100000\n"), Some(None));
        assert_eq!(parse_quota("soon"), None);
        assert_eq!(parse_usage("usage_usec 1500\nuser_usec 1000\n"), Some(Duration::from_micros(1500)));
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 10 20 30 40 20 0 1 0 99";
        assert_eq!(parse_ticks(stat), Some(100));
    }

    #[test]
    fn a_group_holds_its_processes_to_its_quota_and_goes_again() {
        let name = format!("geodrill-test-{}", std::process::id());
        let group = match Cgroup::plan(&name) {
            Ok(group) => group,
            // Nothing can be shown where none may be made; that it is said why is.
            Err(why) => return assert!(why.contains("delegated") || why.contains("no controller"), "{why}"),
        };
        group.make(200).unwrap();
        assert_eq!((group.quota().unwrap(), group.allowed()), (Some(200), Some(200)));
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        group.take_in(i32::try_from(busy.id()).unwrap()).unwrap();
        let before = group.used().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let used = group.used().unwrap() - before;
        assert_eq!(group.processes().unwrap().len(), 1);
        busy.kill().unwrap();
        busy.wait().unwrap();
        group.remove().unwrap();
        assert!(!group.folder().exists());
        assert!(used <= Duration::from_millis(350), "{used:?}");
    }
}
