//! Testbed `compose`: the regions as containers, a network for each, brought up by Docker Compose from the project's own
//! `docker-compose.yml`, which is embedded.
//!
//! | network | who is in it |
//! |---|---|
//! | `east`, `west` | the region's Postgres host (the node is its init), MinIO, compute; of a region with zones, the first one's |
//! | `east-2`, `west-3`, ... | the same of another zone |
//! | `witness` | control, edge |
//! | `client` | the relay of notices |
//!
//! The Toxiproxies alone are in several networks. Nothing of the machine is used but published ports, each under its
//! own number on 127.0.0.1, and Docker's API; so the engine may be elsewhere than the runner, as it is on macOS and Windows.
//!
//! In a run's folder: `compose/` has `docker-compose.yml` and what is laid over it, and what is mounted into the containers.
//!
//! Parts: [`engine`] finds the engine and the images, [`docker`] is one call each, [`plan`] says what is where and what is
//! mounted, [`links`] runs the Toxiproxies, [`relay`] is the examiner's foothold in the networks, [`processes`] acts on
//! containers and, by [`inside`], on what runs in them, [`packets`] lets mishaps befall packets, by [`mishap`] beside each
//! Toxiproxy, [`quotas`] parts the processors, [`disks`] has the small ones, [`stores`] looks which stores run, [`journal`] copies the
//! control plane's, [`testbed`] puts it together. [`leftovers`] ends what is left, and is there in every build.

pub(super) mod leftovers;
pub mod relay;

#[cfg(feature = "compose")]
mod disks;
#[cfg(feature = "compose")]
mod docker;
#[cfg(feature = "compose")]
mod engine;
pub mod inside;
#[cfg(feature = "compose")]
mod journal;
#[cfg(feature = "compose")]
mod links;
pub mod mishap;
#[cfg(feature = "compose")]
mod packets;
#[cfg(feature = "compose")]
mod plan;
#[cfg(feature = "compose")]
mod processes;
#[cfg(feature = "compose")]
mod quotas;
#[cfg(feature = "compose")]
mod stores;
#[cfg(feature = "compose")]
mod testbed;

#[cfg(feature = "compose")]
pub use engine::Engine;
#[cfg(feature = "compose")]
pub use testbed::Compose;
