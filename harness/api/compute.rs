//! What control asks of a compute, `POST /internal/command` on the port it listens on, and the running account of file
//! versions that a compute pushes to its own node. Both with the internal token.
//!
//! A compute's answers are [`super::node::Answer`]s; an old epoch is refused with 409.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentId, Epoch, environment::Login, reports::FeatureStatus};

/// One command to one compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The operation that asks. Stopping and resuming are ordered by it, and words on features among themselves.
    pub operation: u64,
    /// The environment.
    pub environment: EnvironmentId,
    /// The environment's epoch as the sender knows it.
    pub epoch: Epoch,
    /// What to do.
    pub action: Action,
}

/// What a compute can be told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Durably takes no new work for the environment under this epoch or a smaller one; what is under way may end within
    /// `drain_ms`, then every connection is cut, of both doors. Answered with `Sealed`. A repeat answers the same number.
    Stop {
        /// Longest drain, milliseconds.
        drain_ms: u64,
    },
    /// Undoes a stop of this operation or an earlier one. Done at once; traffic flows while a permit is held.
    Resume,
    /// Asks both grantors for permits now rather than at the next poll. Done when control has answered.
    Renew,
    /// Which features the environment offers here under this epoch, durably; under a greater one none, until it is said again.
    /// Done once what is offered has been made out of this region's SQL.
    Provide(Provision),
    /// Of an environment that is deleted: durably forgets the entries of its running account, what was said of its features, and its
    /// reporting copy. A stop of its last epoch stays.
    Forget,
}

/// A word on an environment's features, and what their services need.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provision {
    /// Every feature of the environment's kind.
    pub features: Vec<FeatureStatus>,
    /// The database's name.
    pub database: String,
    /// Who reads it, and who may ask for reports.
    pub reader: Login,
}

impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provision").field("features", &self.features).finish_non_exhaustive()
    }
}

/// `POST /internal/account` at the node: entries of the running account, in order, none left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPush {
    /// The environment.
    pub environment: EnvironmentId,
    /// The epoch under which the entries were written; the node refuses one that is over (409).
    pub epoch: Epoch,
    /// Number of the first entry that the compute still keeps: everything before it has been verified, or was written under
    /// an epoch that is over.
    pub kept_from: u64,
    /// Entries, numbers without a gap.
    pub entries: Vec<AccountEntry>,
}

/// What the store acknowledged to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountEntry {
    /// Grows by one, from 1, for each environment in the life of the compute's folder.
    pub number: u64,
    /// Object key.
    pub object_key: String,
    /// Version id that the store gave: of the object, of the marker, or of the version removed.
    pub version_id: String,
    /// What was done.
    pub operation: AccountOperation,
}

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountOperation {
    /// A version was put.
    Put,
    /// A delete marker was put.
    Mark,
    /// A version was removed.
    Purge,
}

/// The node's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountMark {
    /// The other region has every entry up to this number; the compute may forget them.
    pub verified: u64,
    /// Number of the first entry that the node does not have: the next push begins with it.
    pub next: u64,
}
