//! A site's inventory: the processes that run in it, as they registered themselves.
//!
//! On disk: `<site>/processes.json`, written whole to a temporary file beside it and renamed, mode 0600. Faults, the
//! undo ledger and the auditor read it; a process is named by pid *and* start time, since pids come round again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EnvironmentId;

/// File name of the inventory in a site's folder.
pub const INVENTORY_FILE: &str = "processes.json";

/// The processes of a site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// In the order of their start.
    pub processes: Vec<ProcessEntry>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessEntry {
    /// What it is: `postgres`, `files`, `node`, `compute`, `edge`, `control`, `toxiproxy`.
    pub service: String,
    /// The environment it serves alone, if any.
    pub environment: Option<EnvironmentId>,
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks between the machine's start and the process's.
    pub start_ticks: u64,
    /// The port on which the auditor reaches it past every link and fence, if it is a store.
    pub port: Option<u16>,
    /// Its data folder, if it is a store.
    pub data: Option<std::path::PathBuf>,
}
