//! One Postgres cluster of one environment.
//!
//! It boots demoted: `standby.signal` stands in its folder at all times but while the node starts the owner, so that
//! whoever else starts it gets a standby. Clients are let in and locked out by `pg_hba.conf` alone; the node itself comes
//! by the Unix socket as the superuser `geodrill`, by way of its operating system's user.

mod cluster;
mod control;
mod create;
mod dump;
mod helper;
mod log;
mod place;
mod process;
mod promote;
mod rejoin;
mod scratch;
mod session;
mod source;
mod synchronous;
mod text;
mod verifier;

pub use cluster::{Cluster, Start};
pub use control::ControlData;
pub use dump::Snapshot;
pub use helper::end_left;
pub use log::{log_end, lsn_text, newest_timeline, past, shutdown_end};
pub use place::Place;
pub use process::PostgresError;
pub use rejoin::copy;
pub use scratch::Scratch;
pub use session::Session;
pub use source::Source;
pub use text::Access;

/// Superuser of every cluster, reachable by the Unix socket alone.
pub const SUPERUSER: &str = "geodrill";
