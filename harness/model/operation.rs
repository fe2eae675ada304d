//! Operations of the workload: what was intended, and what the client was told.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{RunTime, Token, token::Seen};

/// Index of a region in the run: 0 the primary of the scenario, 1 its secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Side(pub u8);

/// Index of an environment in the scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentIndex(pub u16);

/// The two kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// Postgres.
    Sql,
    /// Object storage.
    Files,
}

/// Reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// A new connection for each operation.
    Fresh,
    /// One connection, kept until it breaks.
    LongLived,
}

/// Who sent the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// A writer of the offered load.
    Writer(u16),
    /// A probe, sent at a fixed period to measure interruption of one kind of access.
    Probe {
        /// The store whose interruption it measures. A write probe of files is a create with a file: its object's
        /// acknowledgement ([`Outcome::file_acked`]) is the sign of life.
        store: Store,
        /// Read or write.
        access: Access,
        /// Fresh or long-lived connection.
        connection: Connection,
    },
    /// The examiner's question to the side that served before a switch, at its compute's own doors, past the edge and its
    /// routes: nothing may be answered there any more.
    OldSide {
        /// The side that was asked.
        side: Side,
        /// The store. A write of files is a create with a file, of which each part may be answered.
        store: Store,
        /// Read or write.
        access: Access,
    },
}

/// What kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// Writes a key that did not exist.
    Create,
    /// Writes a key again (or for the first time, if it is not there: the row says what was there before).
    Overwrite,
    /// Deletes a key.
    Delete,
    /// Moves an amount from one account to another: two legs in one transaction.
    Transfer,
    /// Reads a key's row.
    ReadSql,
    /// Reads an object.
    ReadFile,
}

impl OpKind {
    /// Whether it writes.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::ReadSql | Self::ReadFile)
    }
}

/// The object of a write, or the one a read asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIntent {
    /// Object key, `<uuid>/<sha256>`: never written twice.
    pub object_key: Box<str>,
    /// SHA-256 of the body, lower-case hexadecimal.
    pub sha256: Box<str>,
    /// Length of the body.
    pub bytes: u32,
}

/// A transfer between two seeded accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transfer {
    /// Account that gives.
    pub from: u32,
    /// Account that takes.
    pub to: u32,
    /// Amount, positive.
    pub amount: i64,
}

/// Handed to the kernel before the request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The operation's name.
    pub token: Token,
    /// The environment.
    pub environment: EnvironmentIndex,
    /// When it was about to be sent.
    pub sent: RunTime,
    /// What.
    pub kind: OpKind,
    /// By whom.
    pub lane: Lane,
    /// The row's key; empty for a transfer and for a read of an object.
    pub key: CompactString,
    /// Whether other streams write the key too.
    pub contended: bool,
    /// The object that goes with the row. (Most operations have none, and verification holds a million of them.)
    pub file: Option<Box<FileIntent>>,
    /// The two legs.
    pub transfer: Option<Transfer>,
}

/// The object's own acknowledgement, inside an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAck {
    /// When the store acknowledged the object.
    pub at: RunTime,
    /// The version it was given.
    pub version_id: Box<str>,
}

/// What came back, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The operation.
    pub token: Token,
    /// When the answer, or the end of waiting, reached the client.
    pub at: RunTime,
    /// The object's own acknowledgement, if the operation wrote one and got that far, whatever became of the row.
    pub file_acked: Option<Box<FileAck>>,
    /// What the client was told.
    pub told: Told,
}

/// What the client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Acknowledged.
    Ok {
        /// Which side answered, by `cluster_name`; `None` where no SQL was involved.
        side: Option<Side>,
        /// Postgres warned that the commit is local only and might not have been replicated.
        local_only: bool,
        /// Writes: the token that the database says stood in the row before. Reads of a row: the token it holds.
        /// Reads of an object: the token its body starts with. `None`: there was none.
        found: Option<Seen>,
    },
    /// Proven without effect: connection refused before anything was sent, SQLSTATE class 22, 23, 25, 40 or 42, S3 4xx
    /// except 408 and 499.
    Fail {
        /// The code or the reason.
        code: Box<str>,
    },
    /// Everything else that was sent. The stream is retired; the operation stays concurrent with all that follows.
    InDoubt {
        /// The code or the reason.
        code: Box<str>,
    },
}

impl Told {
    /// Whether it was acknowledged.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }
}
