//! What control asks of a node: `POST /internal/command` with the internal token, answered when it is done.
//!
//! Every command is idempotent (precheck, act, postcheck) and carries the environment's epoch; a node refuses an epoch
//! smaller than the highest it has durably seen for that environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentId, Epoch, Region, control::FileReference, environment::EnvironmentKind, permit::Credentials};

/// One command to one node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The operation that asks, for logs and for telling a repeat.
    pub operation: u64,
    /// The environment.
    pub environment: EnvironmentId,
    /// The environment's epoch as the sender knows it.
    pub epoch: Epoch,
    /// What to do.
    pub action: Action,
}

/// What a node can be told to do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Makes the environment's cluster (database, roles, HBA) and bucket (versioned), as the owner of `epoch`, and
    /// opens it to clients. Done when both answer.
    CreatePrimary(Spec),
    /// Makes the standby from the other region's primary and the bucket that takes its objects. Done when the
    /// receiver streams and has replayed the primary's position of the beginning.
    CreateReplica(Spec),
    /// On the primary's side: makes the rule that replicates the bucket (objects, existing ones, delete markers, version
    /// deletes) to the other region. Done when an object of its own has been read, unproxied, from the other side and
    /// removed again in both, all versions.
    ReplicateFiles(Spec),
    /// This node may grant permits for the environment to `primary` (the other region) under the epoch. Refused (409) under
    /// an epoch whose granting a *later* operation has stopped: a command delayed on its way must not open it again. The
    /// operation that stopped it may allow it again, which is how an undone failover ends.
    AllowGranting {
        /// The region that may be granted to.
        primary: Region,
    },
    /// Durably stops granting permits of the epoch or smaller. The answer says how long a permit already given may live.
    StopGranting,
    /// On the old side, if it can be reached: locks clients out by HBA and ends their sessions.
    Fence,
    /// On the secondary, `epoch` being the new one: cuts the receiver, waits until no further complete record exists
    /// past the replay position, promotes, checks the new timeline, opens to clients.
    Promote,
    /// On the secondary's store: disables the key pair with which the old side replicates into the bucket.
    RevokeFilesReplication {
        /// The old side.
        source: Region,
    },
    /// Finds rows whose object version is not in this region's bucket, remembers them durably as marked, and answers
    /// with them.
    ReconcileReferences,
}

/// All a node needs to make an environment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Kind.
    pub kind: EnvironmentKind,
    /// Slot of ports, the same in both regions.
    pub slot: u16,
    /// Database name.
    pub database: String,
    /// Bucket name.
    pub bucket: String,
    /// Who may do what.
    pub credentials: Credentials,
}

/// A node's answer to a command (HTTP 200). A refusal for an old epoch is HTTP 409, any failure 500, both with
/// [`super::control::Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Done; nothing to tell.
    Done,
    /// Answer to [`Action::StopGranting`].
    Stopped {
        /// Milliseconds, from this answer on, until no permit of this grantor can be alive (drift and the compute's
        /// cutting time included). 0 if it never granted.
        wait_ms: u64,
    },
    /// Answer to [`Action::Promote`].
    Promoted {
        /// The new timeline.
        timeline: u32,
        /// Where the new timeline forked from the old one, in bytes of log.
        fork_lsn: u64,
    },
    /// Answer to [`Action::ReconcileReferences`].
    Marked {
        /// Rows that lack their object.
        references: Vec<FileReference>,
        /// Objects without a row, kept.
        orphans: u64,
    },
}
