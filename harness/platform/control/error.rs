//! Why a control plane ends.

use crate::platform::journal::JournalError;

/// What ends a control plane, other than being told to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The configuration does not make sense.
    #[error("configuration: {0}")]
    Config(String),
    /// It cannot listen where it should.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Without its journal it may decide nothing.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system refuses something else.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// One of its tasks has ended by itself: a bug.
    #[error("bug: {0} ended unexpectedly")]
    Task(&'static str),
}
