//! What is sent when: pure, from the scenario's workload and a seed alone.
//!
//! - [`writer`]: the endless sequence of what a writer has to send, and when.
//! - [`keys`]: the keys that a stream owns, and what a drawn operation means given those.
//! - [`object`]: the object that goes with a token.

pub mod keys;
pub mod object;
#[cfg(test)]
mod tests;
pub mod writer;

pub use keys::{OwnKeys, Wanted};
pub use writer::{Draw, Due, What, WriterSchedule};

/// Contended keys of each environment: every writer overwrites them.
pub const CONTENDED_KEYS: u32 = 8;

/// Seeded accounts of each environment, numbered from 0.
pub const ACCOUNTS: u32 = 16;

/// What each account holds at first.
pub const ACCOUNT_BALANCE: i64 = 1_000_000;

/// The contended key of this number.
pub fn contended_key(number: u32) -> Box<str> {
    format!("contended-{number}").into()
}
