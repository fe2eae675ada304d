//! The node's files side: what a client's store acknowledged is verified in the other region's store, brought there where
//! the store's own replication has not, and levelled in both when a region returns.
//!
//! | part | what it does |
//! |---|---|
//! | [`ledger`] | entries of the running account that are not verified yet: pure |
//! | [`checker`] | looks at each in the other region's store, and brings what is missing |
//! | [`look`] | one entry: is it there, is it here, bring it |
//! | [`copy`] | a version, a marker or a removal put into a store with its own id |
//! | [`peer`] | the other region's store, by whichever of its ports answers |
//! | [`spool`], [`compare`] | version listings of both stores, streamed in the order of keys, and what differs |
//! | [`preflight`], [`gate`] | before and in a planned switch |
//! | [`secure`], [`level`] | a region's return: salvage, then equal listings; repairs of the live side |
//! | [`mirror`] | one bucket made equal to another of the same store, as it is or as it was at a [`moment`] |
//! | [`pulse`] | whether the own store answers |

mod checker;
mod compare;
mod copy;
mod crew;
mod gate;
mod ledger;
mod level;
mod look;
mod mirror;
mod moment;
mod peer;
mod preflight;
mod pulse;
mod secure;
mod spool;
#[cfg(test)]
mod tests;

pub use checker::{Files, run, take};
pub use gate::await_files;
pub use level::{repair, return_files};
pub use mirror::mirror;
pub use moment::Moment;
pub use preflight::{preflight_primary, preflight_standby};
pub use secure::secure;
