//! Routes: what control tells the edge, and what the edge tells a compute at the start of each connection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentId, Epoch, Region, Zone};

/// `PUT /internal/route` at the edge (internal token). An epoch smaller than the highest durably seen is refused with
/// 409. Connections of an older epoch are closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The environment.
    pub environment: EnvironmentId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The slot of doors it uses.
    pub slot: u16,
    /// Where its traffic goes.
    pub region: Region,
    /// To which of the region's computes.
    #[serde(default)]
    pub zone: Zone,
    /// The environment is deleted: from this epoch on nobody is led anywhere, and the slot is another environment's to use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Which store a door leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DoorStore {
    /// Postgres.
    Sql,
    /// Object storage.
    Files,
}

/// Which of the two doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Reading and writing.
    Rw,
    /// Reading.
    Ro,
}

/// The first line of every connection from the edge to a compute, as JSON with a line feed, at most 512 bytes. The
/// compute answers `ok\n` and passes bytes, or `refused <reason>\n` and closes. One port of a compute per store thus
/// serves any number of environments, and the route's epoch travels with the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preamble {
    /// The environment; `None` is a health check, answered `ok\n` and closed.
    pub environment: Option<EnvironmentId>,
    /// The route's epoch.
    pub epoch: Epoch,
    /// The store.
    pub store: DoorStore,
    /// The door.
    pub door: Door,
}

/// `POST /internal/edge` at control, every poll: the edge's sign of life and what it sees of each region's compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgeReport {
    /// Milliseconds since the compute of each zone of each region last answered a health check; `None` if never.
    pub silent_ms: Vec<(Region, Zone, Option<u64>)>,
    /// Routes the edge holds, so that a restarted control plane or edge is brought level.
    pub routes: Vec<Route>,
}
