//! How an observation lies in its file: what it begins with, then its rows, a few hundred at a time and table after table.

use serde::{Deserialize, Serialize};

use crate::model::{
    RunTime,
    observation::{
        Boundary, DataRow, FilesSnapshot, HistoryRow, Leg, ObjectReference, ObjectVersion, Observation, Reading,
        SqlSnapshot,
    },
    operation::{EnvironmentIndex, Side},
};

/// Rows of a part: what is read and decoded at once stays in the processor's cache, and in memory that is used again.
const PART_ROWS: usize = 512;

/// What an [`Observation`] is, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Region.
    pub side: Side,
    /// Which boundary it was made at.
    pub boundary: Boundary,
    /// Just before the snapshot was taken.
    pub began: RunTime,
    /// When the last byte was read.
    pub ended: RunTime,
    /// Whether the database was read, or why not.
    pub sql: Reading<()>,
    /// Whether the bucket was read, or why not.
    pub files: Reading<()>,
    /// Parts that follow.
    pub(super) parts: u64,
}

/// Rows of one table, or of the bucket: some of them. Those of the tables come before those of the bucket, each in the order
/// of this list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Part<S> {
    /// Of the history table.
    History(Vec<HistoryRow<S>>),
    /// Of the data table.
    Data(Vec<DataRow<S>>),
    /// Balances of accounts, by number.
    Accounts(Vec<(u32, i64)>),
    /// Legs of transfers.
    Legs(Vec<Leg<S>>),
    /// Versions and delete markers.
    Versions(Vec<ObjectVersion<S>>),
    /// Marked references.
    Marked(Vec<ObjectReference<S>>),
}

/// One part, as it is written: the same bytes as [`Part`], nothing cloned.
#[derive(Serialize)]
pub(super) enum PartRef<'a> {
    History(&'a [HistoryRow]),
    Data(&'a [DataRow]),
    Accounts(&'a [(u32, i64)]),
    Legs(&'a [Leg]),
    Versions(&'a [ObjectVersion]),
    Marked(&'a [ObjectReference]),
}

impl Head {
    pub(super) fn of(observation: &Observation, parts: u64) -> Self {
        let Observation { environment, side, boundary, began, ended, sql, files } = observation;
        Self {
            environment: *environment,
            side: *side,
            boundary: boundary.clone(),
            began: *began,
            ended: *ended,
            sql: sql.map(|_| ()),
            files: files.map(|_| ()),
            parts,
        }
    }
}

impl<'a> PartRef<'a> {
    /// Everything that an observation holds.
    pub(super) fn all(observation: &'a Observation) -> Vec<Self> {
        let mut parts = Vec::new();
        if let Some(SqlSnapshot { history, data, accounts, legs }) = observation.sql.whole() {
            parts.extend(history.chunks(PART_ROWS).map(Self::History));
            parts.extend(data.chunks(PART_ROWS).map(Self::Data));
            parts.extend(accounts.chunks(PART_ROWS).map(Self::Accounts));
            parts.extend(legs.chunks(PART_ROWS).map(Self::Legs));
        }
        if let Some(FilesSnapshot { versions, marked }) = observation.files.whole() {
            parts.extend(versions.chunks(PART_ROWS).map(Self::Versions));
            parts.extend(marked.chunks(PART_ROWS).map(Self::Marked));
        }
        parts
    }
}

impl<'a> Part<&'a str> {
    /// Everything that an observation in memory holds.
    pub(super) fn all(observation: &'a Observation) -> Vec<Self> {
        let Observation { sql, files, .. } = observation.borrowed();
        let mut parts = Vec::new();
        if let Reading::Whole(SqlSnapshot { history, data, accounts, legs }) = sql {
            parts.extend([Self::History(history), Self::Data(data), Self::Accounts(accounts), Self::Legs(legs)]);
        }
        if let Reading::Whole(FilesSnapshot { versions, marked }) = files {
            parts.extend([Self::Versions(versions), Self::Marked(marked)]);
        }
        parts
    }
}
