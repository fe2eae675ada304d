//! What the platform's acting roles (edge, compute, node) share: the internal HTTP server, the end on SIGTERM, permits as
//! their holder counts them, and connections that are told who they are for and can be cut.

pub mod beat;
pub mod connection;
pub mod internal;
pub mod lease;
pub mod preamble;
pub mod renewal;
pub mod shutdown;
#[cfg(test)]
pub(crate) mod trial;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic of another holder is no reason to stop serving, since every change under these locks is whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
