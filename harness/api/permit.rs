//! Permits: the lease under which a compute passes traffic and a node lets its Postgres be written.
//!
//! `POST /internal/permits` at *either* grantor: control, or the node of the other region. The holder counts the
//! lifetime from the moment it **sent** its request, the grantor from the moment it **answered**; clocks of two
//! machines are never compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentId, Epoch, Region, Zone, environment::Login, guard::Stamp};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// A compute: may pass clients' traffic.
    Compute,
    /// A node: may keep the environment's Postgres open to clients.
    Node,
}

/// One message renews everything that one holder holds; it is the holder's sign of life as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitRequest {
    /// Who asks.
    pub holder: Holder,
    /// The region of the holder.
    pub region: Region,
    /// Its zone.
    pub zone: Zone,
    /// Environments known to the holder with the highest epoch it has seen; may be empty (control answers with all
    /// that are the region's own; a node grants only what is named).
    pub known: Vec<(EnvironmentId, Epoch)>,
    /// What the holder sees of the other region: milliseconds since its compute and its node last asked *this* node
    /// for permits. `None` from a compute, and before the first time.
    pub peer_silent_ms: Option<u64>,
    /// What a node says of its environments (claims).
    pub states: Vec<NodeState>,
    /// From a node: its zone's file store has answered the last real call, made within the last poll or two. `None` from a
    /// compute.
    pub files_ok: Option<bool>,
    /// The last stamp that the holder had from this grantor when it began to make this message; `None` before the first reply.
    pub after: Option<Stamp>,
    /// From a compute: of each environment it has acknowledged files of, how far the other region is behind.
    pub files: Vec<FilesAge>,
    /// From a node that is held to a quota of the processors: how large it is, and how much of it is used. `None` from a compute,
    /// without a quota, and in a node's first second.
    #[serde(default)]
    pub processors: Option<Processors>,
}

/// The processors of a group of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Processors {
    /// It may use so many thousandths of a processor.
    pub allowed_milli: u32,
    /// It has used so many in the last seconds.
    pub used_milli: u32,
}

/// How far the other region is behind in the files that a compute acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesAge {
    /// The environment.
    pub environment: EnvironmentId,
    /// Milliseconds since the oldest version was acknowledged that the other region is not known to have; 0 if there is none,
    /// `None` if there are some of before the compute's start, whose age it does not know.
    pub oldest_ms: Option<u64>,
}

/// What a node claims of one environment's stores in its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// The environment.
    pub environment: EnvironmentId,
    /// The highest epoch the node has seen.
    pub epoch: Epoch,
    /// What its Postgres is doing.
    pub sql: SqlRole,
    /// Timeline, 0 when unknown.
    pub timeline: u32,
    /// Received (standby) or written (primary) log position, in bytes.
    pub lsn: u64,
    /// On a standby, replayed position; on a primary, the position its standby has flushed. In bytes, 0 if unknown.
    pub other_lsn: u64,
    /// On a primary: a standby streams. On a standby: a receiver streams.
    pub streaming: bool,
    /// On a primary's side: entries of the running account that the other region is not known to have.
    pub files_pending: u64,
    /// Milliseconds since the node was told of the oldest of them.
    pub files_oldest_ms: u64,
    /// The last stamp that the node had from this grantor when it began to read the positions of the log; `None` before the
    /// first reply, and before the first reading.
    pub after: Option<Stamp>,
}

/// What a cluster is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SqlRole {
    /// Not running.
    Down,
    /// Running and open to clients.
    Primary,
    /// Running as primary, clients locked out.
    Fenced,
    /// Running, following the other region.
    Standby,
    /// Not started, since it may have diverged.
    Quarantined,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitReply {
    /// What is granted; an environment not named here is not granted.
    pub grants: Vec<Grant>,
    /// Environments whose epoch is higher than the asker's, which it must now remember: it is not the owner.
    pub refused: Vec<(EnvironmentId, Epoch)>,
    /// The grantor's moment, to be given back.
    pub stamp: Stamp,
}

/// One permit.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The environment.
    pub environment: EnvironmentId,
    /// The epoch it is good for.
    pub epoch: Epoch,
    /// Milliseconds, counted by the holder from the sending of its request.
    pub lifetime_ms: u64,
    /// Writes may pass: whoever grants this knows that less would be lost than the data-loss guard allows, or does not guard.
    pub exposure_ok: bool,
    /// Each write is held back for so long, since the data-loss guard slows them; milliseconds.
    pub pace_ms: u64,
    /// The slot of ports the environment uses in every site.
    pub slot: u16,
    /// The bucket, the same in both regions.
    pub bucket: String,
    /// The S3 key pair of the bucket's customers: the compute re-signs nothing, it checks that a request uses it.
    pub s3_access_key: String,
    /// The Postgres role without write rights: the only one that the compute lets through the door for reading.
    pub sql_reader: String,
    /// Grows when the list of marked references changes; the compute then asks its node for `/internal/marks`.
    pub marks_revision: u64,
}

/// Credentials of one environment as the platform makes them at deployment; control passes them to both nodes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Role that owns the database.
    pub app: Login,
    /// Role that only reads.
    pub reader: Login,
    /// S3 key pair of the bucket.
    pub s3: Login,
    /// The Postgres role of the standby's receiver.
    pub sql_replication: Login,
    /// S3 key pair with which `east` writes to `west`'s bucket, held by the *target*; and the reverse. One for each
    /// direction, so that revoking the old side's leaves the new direction alone. Keyed by the source region.
    pub files_replication: std::collections::BTreeMap<Region, Login>,
}
