//! What can go wrong with a store.

use crate::clients::postgres::Failure;

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An S3 call failed.
    #[error("{what}: {why}")]
    Call {
        /// What it was for.
        what: &'static str,
        /// Status and code.
        why: Failure,
    },
    /// `mc` failed.
    #[error("mc {what}: {why}")]
    Mc {
        /// Its subcommand.
        what: String,
        /// What it said.
        why: String,
    },
    /// The order lacks something.
    #[error("{0}")]
    Order(String),
    /// Not in time.
    #[error("{0}")]
    TimedOut(#[from] crate::clients::poll::TimedOut),
    /// A file could not be written or read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The database could not be read.
    #[error("{0}")]
    Sql(#[from] crate::platform::node::postgres::PostgresError),
}
