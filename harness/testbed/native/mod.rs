//! Both regions as real processes on loopback.
//!
//! A run's folder, mode 0700, all of it the service user's:
//!
//! | path | what |
//! |---|---|
//! | `<region>/` | a region's site, or its first zone's (the others' are `<region>-2/`, `<region>-3/`): `processes.json`, `files/` (MinIO's data; of a zone, its drives `1/` and `2/`), `n/` (the node's, sockets in `n/s`), `c/` (the compute's), `*.json` (role configurations) |
//! | `witness/`, `edge/` | the other sites: `data/`, role configuration, `processes.json` |
//! | `links/` | `processes.json` of the Toxiproxies |
//! | `logs/` | `<site>-<service>.log` |
//! | `undo.ndjson` | what was started and broken, written before it was done ([`super::undo`]) |
//!
//! Parts ([`super::ports`] reserves ports, [`super::layout`] says which is whose): [`toxiproxies`] runs those, [`launch`] starts
//! processes that end with us, [`callers`] is where zones call what they share, [`quotas`] holds a region's to a part of the
//! processors, [`files`] runs MinIO and [`iam`] makes its
//! user, [`postgres`] reads a cluster's settings, [`roles`] runs the platform's roles, [`testbed`] puts it together.

mod callers;
mod files;
mod iam;
mod launch;
mod postgres;
mod quotas;
mod roles;
mod testbed;
mod toxiproxies;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use testbed::Native;
