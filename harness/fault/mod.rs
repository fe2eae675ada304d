//! Faults: injected, their effect proven, healed, the healing proven. One fault a file, behind [`breakage::Breakage`].
//!
//! A proof is an observation of its own, made past whoever did the deed: processes that are gone or stopped by `/proc`,
//! links by new connections through each of their proxies. What cannot be observed (a link with nothing behind it, say) is
//! said to be unproven, and the run that needs it is inconclusive.

mod breakage;
mod control_crash;
mod disk_full;
mod files_replication_pause;
mod injected;
mod isolate;
mod link_bandwidth;
mod link_flap;
mod link_latency;
mod link_partition;
mod network_disconnect;
mod outage;
mod packets;
mod part;
mod postgres_primary_revive;
mod postgres_replay_pause;
mod process_kill;
mod process_pause;
mod trials;
mod webhook_fail;
mod zone_freeze;

#[cfg(test)]
mod tests;

pub use injected::{Clock, Injected, inject, inject_with};
pub use webhook_fail::Receiver;
