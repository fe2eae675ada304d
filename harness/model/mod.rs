//! Plain values of the examiner: times, tokens, operations, links, faults, plans, observations, events, measures,
//! verdicts. No I/O, no clock, no async.
//!
//! It may use `api` for the names of regions and environments, and for nothing else.

mod borrowed;
pub mod claim;
pub mod event;
pub mod fault;
pub mod feature;
pub mod link;
pub mod measure;
pub mod observation;
pub mod operation;
pub mod plan;
pub mod process;
pub mod promise;
pub mod salvage;
pub mod testbed;
pub mod time;
pub mod token;
pub mod verdict;

pub use time::RunTime;
pub use token::Token;

/// Names of the platform's that verification speaks of too; it knows no other part of `api`.
pub use crate::api::{
    EnvironmentId, Zone,
    control::{PlatformEvent, SwitchKind},
};
