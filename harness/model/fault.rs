//! Faults as values: what is to be broken, in standard terms. What breaks it lives in `fault/`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{RunTime, link::Link, process::ProcessName};
use crate::api::Region;

/// A fault to be injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Every process of the region killed and every link of it cut, in the same instant.
    RegionOutage {
        /// The region.
        region: Region,
    },
    /// A link that carries nothing.
    LinkPartition {
        /// The link.
        link: Link,
        /// How it fails.
        mode: PartitionMode,
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
    pub const NAMES: [&str; 6] =
        ["region.outage", "link.partition", "link.latency", "link.bandwidth", "process.kill", "process.pause"];

    /// Its name, as files write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegionOutage { .. } => "region.outage",
            Self::LinkPartition { .. } => "link.partition",
            Self::LinkLatency { .. } => "link.latency",
            Self::LinkBandwidth { .. } => "link.bandwidth",
            Self::ProcessKill { .. } => "process.kill",
            Self::ProcessPause { .. } => "process.pause",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::RegionOutage { region } => write!(f, " {region}"),
            Self::LinkPartition { link, mode } => write!(f, " {link} ({})", mode.as_str()),
            Self::LinkLatency { link, latency, jitter } => write!(f, " {link} ({latency:?} ± {jitter:?})"),
            Self::LinkBandwidth { link, rate_kib } => write!(f, " {link} ({rate_kib} KiB/s)"),
            Self::ProcessKill { process } | Self::ProcessPause { process } => write!(f, " {process}"),
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
