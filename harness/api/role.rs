//! How a role is started: `geodrill role <name> --config <file>`, the file being JSON of mode 0600 made by the testbed.
//!
//! A role says that it is up by answering `GET /internal/ready` on its `listen` address (200 once ready; no token is needed). A role ends on SIGTERM; a node then stops its clusters (fast).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, Region, Zone, control::Deploy, environment::Login, guard::Guard, sabotage::Sabotage};

/// Printed by `geodrill role --handshake`; a runner refuses a role binary that answers with another one.
pub const HANDSHAKE: &str = concat!("geodrill-role/1 ", env!("CARGO_PKG_VERSION"));

/// The platform's timers, the same in every role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timers {
    /// Lifetime of a permit, milliseconds.
    pub permit_ms: u64,
    /// How often a holder renews, and the edge checks and reports, milliseconds.
    pub poll_ms: u64,
    /// Silence after which a vantage point suspects a region, milliseconds.
    pub suspect_ms: u64,
    /// How long a region stays suspected before it is declared lost, milliseconds.
    pub outage_grace_ms: u64,
    /// How long after a permit's end a compute may take to have cut every connection, milliseconds.
    pub cut_ms: u64,
    /// Longest wait for the first attempt at a webhook, milliseconds.
    pub notice_ms: u64,
    /// Planned switches: longest drain of what is under way, milliseconds.
    pub drain_ms: u64,
    /// Planned switches: longest wait for the log and for the files to have arrived, milliseconds.
    pub gate_ms: u64,
    /// Planned switches: longest time from an environment's writes being stopped to its epoch being switched; the switch is
    /// undone past it, milliseconds.
    pub stopped_ms: u64,
    /// Shortest time between two ordered switches of one environment, milliseconds.
    pub dwell_ms: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            permit_ms: 1_000,
            poll_ms: 250,
            suspect_ms: 750,
            outage_grace_ms: 5_000,
            cut_ms: 100,
            notice_ms: 200,
            drain_ms: 10_000,
            gate_ms: 10_000,
            stopped_ms: 45_000,
            dwell_ms: 2_000,
        }
    }
}

/// How the platform decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// A region declared lost is failed over without an operator.
    pub automatic: bool,
    /// What a switch left without a replica gets one again as soon as the other region is fit, without an operator. A
    /// failback brings one about in any case.
    pub automatic_return: bool,
    /// Environments of one region-level planned switch or failback whose writes are stopped at once, at most.
    pub at_once: u16,
    /// The data-loss guard.
    #[serde(default)]
    pub guard: Guard,
}

impl Default for Policy {
    fn default() -> Self {
        Self { automatic: true, automatic_return: true, at_once: 2, guard: Guard::default() }
    }
}

/// Ports of one environment's four doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorPorts {
    /// SQL, reading and writing.
    pub sql_rw: u16,
    /// SQL, reading.
    pub sql_ro: u16,
    /// Files, reading and writing.
    pub files_rw: u16,
    /// Files, reading.
    pub files_ro: u16,
}

/// The control plane, at the witness.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Folder of its journal.
    pub data: PathBuf,
    /// Token of the public API.
    pub api_token: String,
    /// Token among roles.
    pub internal_token: String,
    /// Where (by the link `witness -> SITE / node`) the node of each region's zones is reached.
    pub nodes: BTreeMap<Region, Vec<Address>>,
    /// Where (by the link `witness -> SITE / compute`) the compute of each region's zones is reached.
    pub computes: BTreeMap<Region, Vec<Address>>,
    /// Where (by the link `witness -> edge / routes`) the edge takes routes.
    pub edge: Address,
    /// Customers' ports of each slot (of the links `client -> edge / …`), as published in `Endpoints`.
    pub doors: Vec<DoorPorts>,
    /// Hosts that a subscriber's address may name; no webhook goes anywhere else.
    pub webhook_hosts: BTreeSet<String>,
    /// Deployed when it starts with an empty journal.
    pub deploy_first: Vec<Deploy>,
    /// Timers.
    pub timers: Timers,
    /// How it decides.
    pub policy: Policy,
    /// The way in which the platform is broken on purpose; left out: it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
}

/// The node of a region's zone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Its region.
    pub region: Region,
    /// Its zone.
    pub zone: Zone,
    /// The other region.
    pub peer: Region,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Folder for clusters, sockets, durable state and logs. Short: sockets live in `<data>/s`.
    pub data: PathBuf,
    /// The site's folder, where `processes.json` lives.
    pub site: PathBuf,
    /// Token among roles.
    pub internal_token: String,
    /// Folder of the Postgres programs.
    pub postgres_bin: PathBuf,
    /// A cleanly stopped cluster to copy instead of running `initdb`; superuser `geodrill`, no password, checksums on.
    pub template: Option<PathBuf>,
    /// The `mc` program.
    pub mc: PathBuf,
    /// Its own store (by the link `REGION -> REGION / files`).
    pub files: Address,
    /// Root key pair of its own store.
    pub files_root: Login,
    /// Where (by the link `REGION -> PEER / files`, all its proxies) its own store reaches the other's. More than one, since
    /// a target that failed is online again at once under a new port.
    pub files_targets: Vec<Address>,
    /// Each slot's Postgres ports.
    pub slots: Vec<NodeSlot>,
    /// The control plane (by the link `REGION -> witness / control`).
    pub control: Address,
    /// The nodes of the other region's zones (by the links `SITE -> PEER'S SITE / node`).
    pub peer_nodes: Vec<Address>,
    /// The auditor's Postgres role: superuser by password over TCP, let in by every HBA the node writes, fenced or not.
    pub auditor: Login,
    /// Timers.
    pub timers: Timers,
    /// The way in which the platform is broken on purpose; left out: it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
}

/// One slot of a node: where one environment's clusters are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSlot {
    /// Port Postgres listens on, at the node's own address.
    pub postgres: u16,
    /// The Postgres of every zone of both regions (by the link `ITS SITE -> SITE / sql`, named by the direction of the data);
    /// the node's own one directly.
    pub sources: BTreeMap<Region, Vec<Address>>,
}

/// The compute of a region's zone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComputeConfig {
    /// Its region.
    pub region: Region,
    /// Its zone.
    pub zone: Zone,
    /// Where it listens for `/internal/ready` and control's commands.
    pub listen: SocketAddr,
    /// Where it takes SQL from the edge.
    pub listen_sql: SocketAddr,
    /// Where it takes files from the edge.
    pub listen_files: SocketAddr,
    /// Folder of its durable epochs.
    pub data: PathBuf,
    /// Token among roles.
    pub internal_token: String,
    /// Each slot's Postgres (by the link `REGION -> REGION / sql`).
    pub sql: Vec<Address>,
    /// The store (by the link `REGION -> REGION / files`).
    pub files: Address,
    /// Its own node (by the link `REGION -> REGION / node`), for marked references.
    pub node: Address,
    /// The control plane (by the link `REGION -> witness / control`).
    pub control: Address,
    /// The nodes of the other region's zones (by the links `SITE -> PEER'S SITE / node`).
    pub peer_nodes: Vec<Address>,
    /// Timers.
    pub timers: Timers,
    /// The way in which the platform is broken on purpose; left out: it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
}

/// The edge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    /// Where it takes routes.
    pub listen: SocketAddr,
    /// Folder of its durable routes.
    pub data: PathBuf,
    /// Token among roles.
    pub internal_token: String,
    /// Ports it listens on for each slot's doors, at the address where it takes routes.
    pub doors: Vec<DoorPorts>,
    /// The compute of each region's zones (by the links `edge -> SITE / sql` and `… / files`).
    pub computes: BTreeMap<Region, Vec<ComputeDoors>>,
    /// The control plane (by the link `edge -> witness / control`).
    pub control: Address,
    /// Timers.
    pub timers: Timers,
    /// The way in which the platform is broken on purpose; left out: it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
}

/// Where the edge reaches a compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComputeDoors {
    /// SQL.
    pub sql: Address,
    /// Files.
    pub files: Address,
}
