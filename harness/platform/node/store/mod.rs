//! The zone's file store: through its S3 API what that can do, through its own client `mc` what it cannot (users,
//! policies, replication targets); users are enabled and disabled through its admin API. No secret is ever on a command
//! line: `mc` reads its stores from the environment and new users' keys from its standard input.

mod admin;
mod buckets;
mod complete;
mod error;
mod handle;
mod listing;
mod locks;
mod mc;
mod references;
mod renew;
mod replication;

pub use error::StoreError;
pub use handle::Store;
pub use listing::{Key, Listing, Version};
pub use references::references;

use handle::CALL_WITHIN;
