//! The guardian: a process of the same binary, in a session of its own, that watches a runner and ends everything of its run
//! once the runner is gone, however it went. It is started before anything else of a run and ends with it.
//!
//! - [`post`]: the runner's side: it holds the guardian by a pipe, whose end the kernel closes with the runner.
//! - [`vigil`]: the guardian's side.

mod post;
mod vigil;

pub(super) use post::Guardian;
pub use vigil::{Charge, keep};
