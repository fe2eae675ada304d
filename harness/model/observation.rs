//! What the examiner read with its own eyes: a region's stores, past the platform and every link.
//!
//! Texts are owned where a reading is made, and borrowed from its file's bytes (`S = &str`) where millions of them are
//! judged.

use serde::{Deserialize, Serialize};

use super::{
    RunTime,
    operation::{EnvironmentIndex, Side},
    token::Seen,
};

/// One reading of one environment in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation<S = Box<str>> {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Region.
    pub side: Side,
    /// Which boundary it was made at.
    pub boundary: Boundary,
    /// Just before the snapshot was taken: whatever was acknowledged before this must be in it.
    pub began: RunTime,
    /// When the last byte was read.
    pub ended: RunTime,
    /// The database, or why it could not be read.
    pub sql: Reading<SqlSnapshot<S>>,
    /// The bucket, or why it could not be read.
    pub files: Reading<FilesSnapshot<S>>,
}

/// The boundary of an observation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Boundary {
    /// After the switch that the named event stands for (`failover-1`), load running, serving side.
    Event(String),
    /// At the end: writers stopped, region cut off; read twice, as pass 1 and 2, in each region.
    Final {
        /// 1 or 2.
        pass: u8,
        /// This region serves the environment at the end.
        serving: bool,
    },
}

/// A reading, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading<T> {
    /// Read whole.
    Whole(T),
    /// The store's own control server starts on this machine but these data do not: the platform destroyed them. What
    /// was acknowledged is lost, not unknown.
    Destroyed(String),
    /// Could not be read for another reason; verdicts that need it are inconclusive.
    Failed(String),
    /// Not attempted, since the region was lost and stays so.
    Down,
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(read) => Some(read),
            _ => None,
        }
    }

    /// The same reading of something that is made of what was read.
    pub fn map<'a, U>(&'a self, whole: impl FnOnce(&'a T) -> U) -> Reading<U> {
        match self {
            Self::Whole(read) => Reading::Whole(whole(read)),
            Self::Destroyed(why) => Reading::Destroyed(why.clone()),
            Self::Failed(why) => Reading::Failed(why.clone()),
            Self::Down => Reading::Down,
        }
    }
}

/// One REPEATABLE READ snapshot of the workload's tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlSnapshot<S = Box<str>> {
    /// Rows of the history table, in no order.
    pub history: Vec<HistoryRow<S>>,
    /// Rows of the data table.
    pub data: Vec<DataRow<S>>,
    /// Balances of the accounts, by number.
    pub accounts: Vec<(u32, i64)>,
    /// Legs of transfers.
    pub legs: Vec<Leg<S>>,
}

/// One row of the append-only history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow<S = Box<str>> {
    /// Who wrote it.
    pub token: Seen<S>,
    /// Of which key.
    pub key: S,
    /// What the database says stood there before.
    pub prev: Option<Seen<S>>,
}

/// One row of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRow<S = Box<str>> {
    /// Its key.
    pub key: S,
    /// The last write.
    pub token: Seen<S>,
    /// Its value: must be [`super::Token::value`].
    pub value: S,
    /// The object that goes with it.
    pub object: Option<ObjectReference<S>>,
}

/// A row's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectReference<S = Box<str>> {
    /// Object key.
    pub object_key: S,
    /// Version id.
    pub version_id: S,
    /// SHA-256 that the row says its body has.
    pub sha256: S,
}

/// One leg of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg<S = Box<str>> {
    /// The transfer.
    pub token: Seen<S>,
    /// The account.
    pub account: u32,
    /// Added to it.
    pub amount: i64,
}

/// Every version and delete marker of a bucket, each body read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilesSnapshot<S = Box<str>> {
    /// In no order.
    pub versions: Vec<ObjectVersion<S>>,
    /// References of data rows in the same region that the customer's door answered with 409 and that the platform lists
    /// as marked; asked only for references whose version is not in `versions`.
    pub marked: Vec<ObjectReference<S>>,
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion<S = Box<str>> {
    /// Object key.
    pub object_key: S,
    /// Version id.
    pub version_id: S,
    /// What it is.
    pub content: Content<S>,
}

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content<S = Box<str>> {
    /// A delete marker.
    DeleteMarker,
    /// A body.
    Body {
        /// The token at its beginning, if it has one.
        token: Option<Seen<S>>,
        /// SHA-256 of what was read, lower-case hexadecimal.
        sha256: S,
        /// Length.
        bytes: u64,
    },
    /// Listed, but the store cannot give it back whole.
    Unreadable(S),
    /// Listed by a store of several nodes, which says for as long as it is asked that too many of its parts are out of reach: it may
    /// be there, or have been left half written.
    Withheld(S),
}
