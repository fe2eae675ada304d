//! The durable record of intents and outcomes, and its reader; also the observations' files.
//!
//! An intent is handed to the kernel before its request is sent, so it survives a SIGKILL of the runner; the disk gets
//! groups of records about every second and everything at the close, so a power cut costs the last group.
//!
//! On disk: `<run>/ledger/operations.ledger`, mode 0600: the text `geodrill ledger 1` and a line feed, then frames in
//! the order of writing. A frame is three little-endian words of 32 bits (length of the payload; CRC-32 of those four
//! bytes; CRC-32 of the payload) and the payload, an intent or an outcome in postcard. The length has a checksum of its
//! own so that a damaged length in the middle is not taken for the torn end that a crash leaves.
//! Observations: `<run>/reads/*.read`, one a file, of the same frames behind [`reads::MAGIC`]: a [`Head`], which says how
//! many follow, and so many [`Part`]s of some hundred rows each. A [`Shelf`] goes through them a part at a time.
//!
//! It knows `model` alone.

mod error;
mod frame;
mod history;
mod part;
pub mod reads;
mod shelf;
mod writer;

pub use error::LedgerError;
pub use history::{History, read};
pub use part::{Head, Part};
pub use shelf::{Found, Readings, Shelf};
pub use writer::Writer;

/// File name of the ledger in its folder.
pub const LEDGER_FILE: &str = "operations.ledger";

#[cfg(test)]
mod tests;
