//! Reading whole stores for an observation: by the auditor, in one region, past the platform and every link.
//!
//! - [`sql`]: the workload's tables in one snapshot.
//! - [`files`]: every version of a bucket, each body read.
//! - [`marked`]: which missing objects the platform owns up to.

pub mod files;
pub mod marked;
pub mod sql;

pub use files::{
    Bodies, FilesRead, READERS, READERS_OF_NODES, has_bucket, has_quorum, list_files, read_files, replicates,
};
pub use marked::marked;
pub use sql::read_sql;
