//! The load: what is sent when, sending it, and reading back what it wrote.
//!
//! - [`schedule`] says, from the scenario and a seed alone, what is due when: pure, so that a run can be repeated.
//! - [`drive`] sends it with a hard deadline on every operation and hands every intent and outcome to a [`Journal`].
//! - [`lag`] watches heartbeats of the load arrive in the secondary.
//! - [`said`] asks servers what they say of replication themselves: claims.
//! - [`read`] reads whole stores for observations, past the platform.
//!
//! An operation is sent once: nothing here retries what it sends, and no pool hides a lost connection.

pub mod clock;
pub mod drive;
pub mod journal;
pub mod lag;
pub mod notices;
pub mod read;
pub mod said;
pub mod schedule;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use drive::{Gauge, Load, LoadSpec, OldDoors, OldSide, Rates, Stall, Stopped, Target, prefill, prepare};
pub use journal::Journal;
