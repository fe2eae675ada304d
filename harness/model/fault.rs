//! Faults as values: what is to be broken, in standard terms. What breaks it lives in `fault/`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{RunTime, link::Link, process::ProcessName};
use crate::api::{EnvironmentId, Region, Zone};

/// A fault to be injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Every process of the region killed and every link of it cut, in the same instant.
    RegionOutage {
        /// The region.
        region: Region,
    },
    /// Every link of the region with the outside cut; its processes run on and reach one another.
    RegionIsolate {
        /// The region.
        region: Region,
    },
    /// Every process of a zone killed and every link of it cut, in the same instant; or all of them frozen, and no link cut.
    ZoneOutage {
        /// The region.
        region: Region,
        /// The zone.
        zone: Zone,
        /// How it goes.
        #[serde(default)]
        how: OutageHow,
    },
    /// Every link of a zone with the outside cut; its processes run on and reach one another.
    ZoneIsolate {
        /// The region.
        region: Region,
        /// The zone.
        zone: Zone,
    },
    /// A link that carries nothing, or nothing in one direction.
    LinkPartition {
        /// The link.
        link: Link,
        /// How it fails.
        mode: PartitionMode,
        /// Which way.
        #[serde(default)]
        direction: Direction,
    },
    /// A link that comes and goes.
    LinkFlap {
        /// The link.
        link: Link,
        /// How it fails while it is gone.
        mode: PartitionMode,
        /// Length of one coming and going.
        period: Duration,
        /// Share of each period in which it carries, percent.
        duty_percent: u8,
        /// Decides when in each period it is gone.
        seed: u64,
    },
    /// A link that is slow to answer.
    LinkLatency {
        /// The link.
        link: Link,
        /// Delay of each direction.
        latency: Duration,
        /// Added at random, up to this, either way.
        jitter: Duration,
    },
    /// A link that is narrow.
    LinkBandwidth {
        /// The link.
        link: Link,
        /// KiB a second, in each direction.
        rate_kib: u64,
    },
    /// Packets of a link that meet a mishap, each way; the connections that they belong to live on.
    Packets {
        /// The link.
        link: Link,
        /// What befalls them.
        mishap: Mishap,
        /// Decides which of them.
        seed: u64,
    },
    /// The host of a process is off the network; its processes run on, and their connections are not closed.
    NetworkDisconnect {
        /// The process, which must have a host of its own.
        process: ProcessName,
    },
    /// The disk that a process writes to has no space left.
    DiskFull {
        /// The process.
        process: ProcessName,
    },
    /// SIGKILL to a process and all its children.
    ProcessKill {
        /// The process.
        process: ProcessName,
    },
    /// SIGSTOP to a process and all its children, until healed.
    ProcessPause {
        /// The process.
        process: ProcessName,
    },
    /// A standby that receives its log and does not replay it.
    PostgresReplayPause {
        /// The standby's region.
        region: Region,
        /// The environment.
        environment: EnvironmentId,
    },
    /// A primary that was given up comes back on its old data and believes itself the primary, whatever its platform thinks.
    PostgresPrimaryRevive {
        /// The region that was given up.
        region: Region,
        /// The environment.
        environment: EnvironmentId,
    },
    /// Objects of a region that do not reach the other: the link between the stores holds everything back.
    FilesReplicationPause {
        /// The region whose objects are held back.
        from: Region,
    },
    /// SIGKILL to the control plane, which is started again after a while.
    ControlCrash {
        /// The moment: its journal enters this step. `None`: at once. Whoever injects the fault waits for it.
        at: Option<String>,
        /// How long it stays away.
        down_for: Duration,
    },
    /// The examiner's own receiver of notices, as a subscriber's that fails.
    WebhookFail {
        /// How.
        mode: WebhookMode,
    },
}

/// How a zone goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutageHow {
    /// As if its power were cut: what calls it is refused.
    #[default]
    Kill,
    /// As if its machines hung: what calls it hears nothing.
    Freeze,
}

impl OutageHow {
    /// Every way.
    pub const ALL: [OutageHow; 2] = [Self::Kill, Self::Freeze];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
        }
    }
}

/// How a receiver of notices fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookMode {
    /// It answers, far too late.
    Slow,
    /// It hangs up without an answer.
    Down,
    /// It answers 500.
    Error,
}

impl WebhookMode {
    /// Every mode.
    pub const ALL: [WebhookMode; 3] = [Self::Slow, Self::Down, Self::Error];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Down => "down",
            Self::Error => "error",
        }
    }
}

/// What befalls packets. Shares are percent of a link's packets, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mishap {
    /// Some never arrive; all of them: a true blackhole, after which connections go on where they were.
    Loss {
        /// How many.
        share: u8,
    },
    /// Each arrives late.
    Delay {
        /// By so much.
        delay: Duration,
        /// Added at random, up to this, either way.
        jitter: Duration,
    },
    /// Some are overtaken by those sent after them.
    Reorder {
        /// How many.
        share: u8,
        /// How long these are held.
        by: Duration,
    },
    /// Some arrive with a bit changed; whoever receives one finds its checksum wrong and waits for it to be sent again.
    Corrupt {
        /// How many.
        share: u8,
    },
}

impl Mishap {
    /// The fault's name, as files write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loss { .. } => "packet.loss",
            Self::Delay { .. } => "packet.delay",
            Self::Reorder { .. } => "packet.reorder",
            Self::Corrupt { .. } => "packet.corrupt",
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss { share } | Self::Corrupt { share } => write!(f, "{share} %"),
            Self::Delay { delay, jitter } => write!(f, "{delay:?} ± {jitter:?}"),
            Self::Reorder { share, by } => write!(f, "{share} % by {by:?}"),
        }
    }
}

/// Which way a partitioned link carries nothing. `forward` is from the first site of its name to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the first site to the second.
    Forward,
    /// From the second site to the first.
    Backward,
    /// Neither way.
    #[default]
    Both,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Direction; 3] = [Self::Forward, Self::Backward, Self::Both];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Both => "both",
        }
    }
}

/// How a partitioned link fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionMode {
    /// Nothing is lost and nothing arrives until healed; connections stay (as a full queue behaves).
    Stall,
    /// Bytes vanish, connections look alive; they are broken when it is healed.
    Blackhole,
    /// Connections are closed, new ones refused.
    Refuse,
    /// Connections are reset as soon as they carry anything.
    Reset,
}

impl PartitionMode {
    /// Every mode.
    pub const ALL: [PartitionMode; 4] = [Self::Stall, Self::Blackhole, Self::Refuse, Self::Reset];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Blackhole => "blackhole",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
        }
    }
}

impl Fault {
    /// The names of all faults, as files write them.
    pub const NAMES: [&str; 21] = [
        "region.outage",
        "region.isolate",
        "zone.outage",
        "zone.isolate",
        "link.partition",
        "link.flap",
        "link.latency",
        "link.bandwidth",
        "packet.loss",
        "packet.delay",
        "packet.reorder",
        "packet.corrupt",
        "network.disconnect",
        "disk.full",
        "process.kill",
        "process.pause",
        "postgres.replay_pause",
        "postgres.primary_revive",
        "files.replication_pause",
        "control.crash",
        "webhook.fail",
    ];

    /// Its name, as files write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegionOutage { .. } => "region.outage",
            Self::RegionIsolate { .. } => "region.isolate",
            Self::ZoneOutage { .. } => "zone.outage",
            Self::ZoneIsolate { .. } => "zone.isolate",
            Self::LinkPartition { .. } => "link.partition",
            Self::LinkFlap { .. } => "link.flap",
            Self::LinkLatency { .. } => "link.latency",
            Self::LinkBandwidth { .. } => "link.bandwidth",
            Self::Packets { mishap, .. } => mishap.name(),
            Self::NetworkDisconnect { .. } => "network.disconnect",
            Self::DiskFull { .. } => "disk.full",
            Self::ProcessKill { .. } => "process.kill",
            Self::ProcessPause { .. } => "process.pause",
            Self::PostgresReplayPause { .. } => "postgres.replay_pause",
            Self::PostgresPrimaryRevive { .. } => "postgres.primary_revive",
            Self::FilesReplicationPause { .. } => "files.replication_pause",
            Self::ControlCrash { .. } => "control.crash",
            Self::WebhookFail { .. } => "webhook.fail",
        }
    }

    /// The region that it takes from its clients, if it takes one.
    pub fn lost_region(&self) -> Option<&Region> {
        match self {
            Self::RegionOutage { region } | Self::RegionIsolate { region } => Some(region),
            _ => None,
        }
    }

    /// Whether a region is less than fully operational while it lasts: lost, or without one of its zones, stores or roles. A database
    /// is not meant: its node starts it again.
    pub fn impairs(&self, region: &Region) -> bool {
        match self {
            Self::RegionOutage { region: of } | Self::RegionIsolate { region: of } => of == region,
            Self::ZoneOutage { region: of, .. } | Self::ZoneIsolate { region: of, .. } => of == region,
            Self::ProcessKill { process } | Self::ProcessPause { process } | Self::NetworkDisconnect { process } => {
                process.environment.is_none() && Zone::all(u8::MAX).any(|zone| zone.site(region) == process.site)
            }
            _ => false,
        }
    }

    /// The zone that it takes from its clients, if it takes one alone.
    pub fn lost_zone(&self) -> Option<(&Region, Zone)> {
        match self {
            Self::ZoneOutage { region, zone, .. } | Self::ZoneIsolate { region, zone } => Some((region, *zone)),
            _ => None,
        }
    }

    /// How long it lasts by its own nature, if it ends by itself.
    pub fn lasts(&self) -> Option<Duration> {
        match self {
            Self::ControlCrash { down_for, .. } => Some(*down_for),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::RegionOutage { region } | Self::RegionIsolate { region } => write!(f, " {region}"),
            Self::ZoneOutage { region, zone, how: OutageHow::Kill } | Self::ZoneIsolate { region, zone } => {
                write!(f, " zone {zone} of {region}")
            }
            Self::ZoneOutage { region, zone, how } => write!(f, " zone {zone} of {region} ({})", how.as_str()),
            Self::LinkPartition { link, mode, direction: Direction::Both } => write!(f, " {link} ({})", mode.as_str()),
            Self::LinkPartition { link, mode, direction } => {
                write!(f, " {link} ({}, {})", mode.as_str(), direction.as_str())
            }
            Self::LinkFlap { link, mode, period, duty_percent, .. } => {
                write!(f, " {link} ({}, up for {duty_percent} % of every {period:?})", mode.as_str())
            }
            Self::LinkLatency { link, latency, jitter } => write!(f, " {link} ({latency:?} ± {jitter:?})"),
            Self::LinkBandwidth { link, rate_kib } => write!(f, " {link} ({rate_kib} KiB/s)"),
            Self::Packets { link, mishap, .. } => write!(f, " {link} ({mishap})"),
            Self::NetworkDisconnect { process }
            | Self::DiskFull { process }
            | Self::ProcessKill { process }
            | Self::ProcessPause { process } => write!(f, " {process}"),
            Self::PostgresReplayPause { region, environment } | Self::PostgresPrimaryRevive { region, environment } => {
                write!(f, " {environment} in {region}")
            }
            Self::FilesReplicationPause { from } => write!(f, " from {from}"),
            Self::ControlCrash { at: Some(step), .. } => write!(f, " at {step}"),
            Self::ControlCrash { at: None, .. } => Ok(()),
            Self::WebhookFail { mode } => write!(f, " ({})", mode.as_str()),
        }
    }
}

/// What became of a fault, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// The step that asked for it.
    pub step: String,
    /// The fault.
    pub fault: Fault,
    /// When it was asked for.
    pub requested: RunTime,
    /// When its effect was proven; `None`: it was not, and the run is inconclusive.
    pub effective: Option<RunTime>,
    /// What was observed at injection (or why the proof failed).
    pub proof: String,
    /// When its healing was proven. `None` while it lasts, or if it could not be proven.
    pub healed: Option<RunTime>,
    /// What was observed at healing (or why that proof failed); `None` if it was never healed but ended with the run.
    pub healing: Option<String>,
    /// An effect or a healing that was due could not be proven.
    pub unproven: bool,
}
