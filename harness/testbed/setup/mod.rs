//! Where the real servers come from: found on the machine, or made once in the user's cache, pinned. Quick and without
//! effect when all is there.
//!
//! On disk, `<cache>` being `/var/cache/geodrill` for root (others cannot enter root's home) and `~/.cache/geodrill`
//! otherwise: `bin/` servers built here, `bin/versions.json` what was learnt of each program, `template/<version>/` a fresh
//! cleanly stopped Postgres cluster, `setup.lock`, `ports/` and `runs/` (see [`super::native`] and [`super::undo`]).

mod doctor;
mod ensure;
mod find;
mod go;
mod pins;
mod places;
mod postgres;
mod progress;
mod user;
mod version;

pub use doctor::{Check, Found, doctor};
pub use ensure::{Programs, SetupMode, ensure};
pub use places::cache;
pub(super) use places::reachable;
#[cfg(feature = "compose")]
pub(super) use progress::run;
pub use progress::{KEPT_PREFIX, Progress};
