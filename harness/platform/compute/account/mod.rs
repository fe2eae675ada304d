//! The running account: every file version that the store acknowledged to a client, on disk before the client is told.
//!
//! It is what a planned switch waits for: the other region has every entry up to the number sealed. Its cost grows with
//! what is in flight, never with the bucket.
//!
//! | part | what it does |
//! |---|---|
//! | [`entries`] | which requests write, and what their answers say was written: pure |
//! | [`file`] | the account of one environment on disk |
//! | [`ledger`] | appends, many with one sync, and keeps what the other region is not known to have |
//! | [`push`] | tells the own node, which verifies |

mod entries;
mod file;
mod ledger;
mod push;

pub use entries::{Kind, Written, asks_for_quiet, kind, written_by, written_by_many};
pub use ledger::{Account, Accounts};
pub use push::push_all;
