//! What every testbed offers to faults, readers and the conductor.

use std::{fmt, path::Path, time::Duration};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Address, EnvironmentId, Region, Zone, environment::Login},
    model::{
        fault::{Direction, Mishap, PartitionMode},
        link::Link,
        process::ProcessName,
    },
    os::process::Identity,
};

/// Something the testbed could not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TestbedError {
    /// A server is missing and cannot be got, a port is taken, ...: what a user can do something about. Exit code 64.
    #[error("{0}")]
    Unusable(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// It is as wanted, but something else was disturbed on the way, as the text says.
    #[error("{0}")]
    Disturbed(String),
}

impl TestbedError {
    /// Whether what was asked for is in force all the same.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Disturbed(_))
    }
}

/// How a link is impeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impediment {
    /// Carries nothing.
    Partition(PartitionMode),
    /// Carries nothing one way, and everything the other. `Refuse` has no direction and closes the link.
    OneWay(PartitionMode, Direction),
    /// Delays, in each direction.
    Latency {
        /// Delay.
        latency: Duration,
        /// Up to this more or less.
        jitter: Duration,
    },
    /// Narrows, in each direction.
    Bandwidth {
        /// KiB a second.
        rate_kib: u64,
    },
    /// Lets its packets meet a mishap, each way. Only where links are more than proxies of streams.
    Packets(Mishap, u64),
}

/// What befell the packets of a link since its impediment began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketCounts {
    /// Packets that came by, by the count of whoever impedes them.
    pub seen: u64,
    /// Those that met the mishap, by the same count.
    pub befallen: u64,
    /// What the kernel at the end of the link counted meanwhile, of all its links: it knows nothing of the impediment.
    pub kernel: KernelCounts,
}

/// Counts of a kernel's TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelCounts {
    /// Segments sent again (`RetransSegs`).
    pub retransmitted: u64,
    /// Segments received whose checksum was wrong (`InCsumErrors`).
    pub bad_checksums: u64,
    /// Segments received before those sent earlier (`TCPOFOQueue`).
    pub out_of_order: u64,
}

/// What a connection through one proxy of a link met, as the proof of a fault's effect.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkTrial {
    /// The service behind it answered after so long.
    Answered(Duration),
    /// Connected; no answer within the time given.
    Silent,
    /// Not connected.
    Refused,
    /// Connected, then closed or reset without an answer.
    Reset,
    /// Connected, then closed, and nobody answers behind the proxy either: says nothing of the link itself.
    NoService,
    /// Not connected, and the testbed itself keeps the link cut, since a region at its end is lost or isolated.
    Cut,
}

/// What a request of some length through one proxy met.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighing {
    /// The proxy.
    pub proxy: String,
    /// Real length of the request, in bytes.
    pub bytes: usize,
    /// What it met.
    pub trial: LinkTrial,
}

/// A process as its testbed knows it; one that was started anew is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// One of this machine's.
    Here(Identity),
    /// A whole container.
    Container {
        /// Its name.
        name: String,
        /// When it was started, as the engine has it.
        started: String,
    },
    /// One inside a container, whose process numbers are its own.
    Inside {
        /// The container's name.
        container: String,
        /// The process.
        identity: Identity,
    },
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(identity) => write!(f, "{}", identity.pid),
            Self::Container { name, .. } => f.write_str(name),
            Self::Inside { container, identity } => write!(f, "{} of {container}", identity.pid),
        }
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs, or waits for something.
    Running,
    /// It was stopped and can be continued.
    Stopped,
    /// It is there no more.
    Gone,
}

/// What is done to a process from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is killed.
    Kill,
    /// It stops where it is, and notices nothing.
    Stop,
    /// It goes on.
    Continue,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Continue => "continue",
        })
    }
}

/// What is done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskDeed {
    /// It is looked at.
    Look,
    /// It is filled to its last block.
    Fill,
    /// What filled it is removed.
    Free,
}

/// What a disk has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// In all, bytes.
    pub total: u64,
    /// Free, bytes.
    pub free: u64,
    /// A write of a block was refused for want of space.
    pub refuses: bool,
}

/// How a region is held to its quota of the processors, as whoever holds it to it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaSeen {
    /// The quota, in thousandths of a processor; `None`: there is none.
    pub milli: Option<u32>,
    /// Processes (or containers) of the region that are held to it.
    pub held: u64,
    /// Those that are not.
    pub outside: Vec<String>,
}

/// The control API, by way of the link `client -> witness / control`.
#[derive(Clone)]
pub struct ControlAccess {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Bearer token.
    pub token: String,
}

/// The examiner's own way to the stores, past fences and links.
#[derive(Clone)]
pub struct Auditor {
    /// Postgres role, superuser.
    pub sql: Login,
    /// S3 key pair with every right, the same in both regions.
    pub s3: Login,
}

/// Where the auditor reaches one environment's stores in one region. `None`: not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorePorts {
    /// Postgres.
    pub sql: Option<u16>,
    /// S3.
    pub files: Option<u16>,
}

/// Where a region's compute takes traffic itself, past the edge and its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputePorts {
    /// SQL, on 127.0.0.1.
    pub sql: u16,
    /// Files, on 127.0.0.1.
    pub files: u16,
}

/// A running testbed.
///
/// Every method that starts or breaks something writes it to the undo ledger *before* it is done.
pub trait Testbed: Send + Sync {
    /// `native` or `compose`.
    fn name(&self) -> &'static str;

    /// The run's folder.
    fn folder(&self) -> &Path;

    /// Every link.
    fn links(&self) -> Vec<Link>;

    /// The control API.
    fn control(&self) -> ControlAccess;

    /// The auditor's credentials.
    fn auditor(&self) -> Auditor;

    /// Versions of everything that runs, for `run.json`: `postgres` → `15.18`, ...
    fn versions(&self) -> Vec<(String, String)>;

    /// Running processes of that name, without their children; without an environment, `postgres` names those of every
    /// environment. Empty: none runs.
    fn processes<'a>(&'a self, name: &'a ProcessName) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>>;

    /// These processes and all their descendants, as far as they run.
    fn trees<'a>(&'a self, roots: &'a [Process]) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>>;

    /// What each of these processes does.
    fn states<'a>(&'a self, processes: &'a [Process]) -> BoxFuture<'a, Result<Vec<ProcessState>, TestbedError>>;

    /// Does this to these processes and all their descendants, and returns them. One that is gone is no error.
    fn act<'a>(&'a self, roots: &'a [Process], deed: Deed) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>>;

    /// How many zones each region has.
    fn zones(&self) -> u8 {
        1
    }

    /// The sites of a region, zone by zone: what its processes and links are named by.
    fn sites(&self, region: &Region) -> Vec<String> {
        Zone::all(self.zones()).map(|zone| zone.site(region)).collect()
    }

    /// Where the stores of an environment are in a zone, by its site's inventory as it was seen last: the zone's own Postgres,
    /// primary or not, and its node of the region's one file store.
    fn stores_in(&self, region: &Region, zone: Zone, environment: &EnvironmentId) -> StorePorts;

    /// As [`Testbed::stores_in`], of the first zone where each runs: of the region's file store any node that lives, and where
    /// there are several zones any Postgres.
    fn stores(&self, region: &Region, environment: &EnvironmentId) -> StorePorts {
        let zones: Vec<StorePorts> =
            Zone::all(self.zones()).map(|zone| self.stores_in(region, zone, environment)).collect();
        StorePorts {
            sql: zones.iter().find_map(|stores| stores.sql),
            files: zones.iter().find_map(|stores| stores.files),
        }
    }

    /// Where the compute of a zone takes traffic itself, whether or not it runs. `None`: there is no such zone.
    fn computes_in(&self, region: &Region, zone: Zone) -> Option<ComputePorts>;

    /// As [`Testbed::computes_in`], of the first zone.
    fn computes(&self, region: &Region) -> Option<ComputePorts> {
        self.computes_in(region, Zone::FIRST)
    }

    /// Folder of the control plane's journal. `None` where files cannot be reached.
    fn journal(&self) -> BoxFuture<'_, Option<std::path::PathBuf>> {
        Box::pin(async { None })
    }

    /// Data folder of an environment's Postgres in a zone, for evidence. `None` where files cannot be reached, or none ran.
    fn sql_data_in(&self, region: &Region, zone: Zone, environment: &EnvironmentId) -> Option<std::path::PathBuf>;

    /// As [`Testbed::sql_data_in`], of the first zone where one ran.
    fn sql_data(&self, region: &Region, environment: &EnvironmentId) -> Option<std::path::PathBuf> {
        Zone::all(self.zones()).find_map(|zone| self.sql_data_in(region, zone, environment))
    }

    /// Impedes every proxy of every link given, as nearly in one instant as can be, and reads back what was set.
    fn impede<'a>(&'a self, links: &'a [Link], how: Impediment) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Takes off whatever impedes these links; what is still impeded by a region's outage stays so.
    fn clear<'a>(&'a self, links: &'a [Link]) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// What befell the packets of a link that [`Impediment::Packets`] impedes, so far.
    fn packets<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<PacketCounts, TestbedError>>;

    /// Takes a process's host off the network, or puts it back: its connections are not closed, and whoever is at their other
    /// end hears nothing.
    fn plug<'a>(&'a self, name: &'a ProcessName, _is_in: bool) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { Err(no_host_of_its_own(name)) })
    }

    /// Whether the host of a process answers at its own ports, past all links.
    fn answers<'a>(&'a self, name: &'a ProcessName, _within: Duration) -> BoxFuture<'a, Result<bool, TestbedError>> {
        Box::pin(async move { Err(no_host_of_its_own(name)) })
    }

    /// Does this to the small disk of a process's host ([`super::spec::Spec::small_disks`]), and looks at it.
    fn disk<'a>(&'a self, name: &'a ProcessName, _deed: DiskDeed) -> BoxFuture<'a, Result<Space, TestbedError>> {
        Box::pin(async move { Err(no_host_of_its_own(name)) })
    }

    /// How a region is held to the quota that it was given ([`super::spec::Spec::quotas`]); that it cannot be is an error which
    /// says what is missing.
    fn quota<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<QuotaSeen, TestbedError>>;

    /// Opens a new connection through *each* proxy of the link and asks the service behind it for a sign of life.
    fn try_link<'a>(
        &'a self,
        link: &'a Link,
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<(String, LinkTrial)>, TestbedError>>;

    /// As [`Testbed::try_link`], with requests of about `bytes`, or as long as the service takes them: what a narrow link is
    /// proven by.
    fn weigh_link<'a>(
        &'a self,
        link: &'a Link,
        bytes: usize,
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<Weighing>, TestbedError>>;

    /// Kills every process of the region and cuts all its links, at once. Proof is the caller's.
    fn lose_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Brings a lost region's links, store and roles back, on the data that it had, and waits until they are ready.
    fn return_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Kills every process of a zone and cuts all its links, at once. What it shares with other zones is closed right after the
    /// signals: what was in flight there may still arrive. Proof is the caller's.
    fn lose_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { Err(no_zone(region, zone)) })
    }

    /// Cuts a zone's links, in both directions; its processes run on.
    fn isolate_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { Err(no_zone(region, zone)) })
    }

    /// As [`Testbed::return_region`], of a zone.
    fn return_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { Err(no_zone(region, zone)) })
    }

    /// Starts a killed process again, if the testbed is the one who starts it (`files`, and the roles); a `postgres` is its
    /// node's to start, and this waits until the node has done so.
    fn restart<'a>(&'a self, name: &'a ProcessName) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Starts an environment's Postgres in a region on the data that it left, past its node and as a primary, whatever the folder
    /// says that it is.
    fn revive<'a>(
        &'a self,
        region: &'a Region,
        environment: &'a EnvironmentId,
    ) -> BoxFuture<'a, Result<Process, TestbedError>>;

    /// Cuts a region's links for the final readings, in both directions; its processes run on.
    fn isolate<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Makes the link `witness -> client / notices` lead to a receiver on this port of 127.0.0.1; returns where the platform
    /// finds the link.
    fn notices<'a>(&'a self, receiver: u16) -> BoxFuture<'a, Result<Address, TestbedError>>;

    /// Ends everything, in order, in bounded time. What could not be ended is told.
    fn down<'a>(&'a self) -> BoxFuture<'a, Result<(), Vec<String>>>;
}

/// Where regions are not divided.
fn no_zone(region: &Region, zone: Zone) -> TestbedError {
    TestbedError::Unusable(format!("there is no zone {zone} of {region} that could be lost alone here"))
}

/// Where all processes share this machine.
fn no_host_of_its_own(name: &ProcessName) -> TestbedError {
    TestbedError::Unusable(format!("{name} has no host of its own here"))
}
