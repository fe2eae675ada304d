//! Both regions as real processes on loopback.
//!
//! A run's folder, mode 0700, all of it the service user's:
//!
//! | path | what |
//! |---|---|
//! | `<region>/` | a region's site: `processes.json`, `files/` (MinIO's data), `n/` (the node's, sockets in `n/s`), `c/` (the compute's), `*.json` (role configurations) |
//! | `witness/`, `edge/` | the other sites: `data/`, role configuration, `processes.json` |
//! | `links/` | `processes.json` of the Toxiproxies |
//! | `logs/` | `<site>-<service>.log` |
//! | `undo.ndjson` | what was started and broken, written before it was done ([`super::undo`]) |
//!
//! Parts: [`ports`] reserves them, [`layout`] says which port is whose, [`links`] runs the Toxiproxies, [`probe`] asks a
//! service for a sign of life, [`launch`] starts processes that end with us, [`files`] runs MinIO and [`iam`] makes its
//! user, [`roles`] runs the platform's roles, [`testbed`] puts it together.

mod files;
mod iam;
mod launch;
mod layout;
mod links;
mod ports;
mod probe;
mod roles;
mod testbed;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use testbed::{Native, NativeSpec};
