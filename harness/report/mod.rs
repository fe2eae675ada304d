//! Reports: what a run's events and verdicts become for people and for programs.
//!
//! - [`contract`]: `report.json`, the contract `geodrill.report/1`; [`schema()`] describes it;
//! - [`Report::new`]: made from plan, measures, events and judgements;
//! - `features`: what customers were answered of features;
//! - [`junit()`]: the same for whoever shows test results;
//! - [`human()`]: what a tired engineer reads in ten seconds;
//! - [`together()`]: every guarantee once, of several drills;
//! - [`trials`]: the same of one scenario run again and again.
//!
//! Keys are only ever added to the contract. A figure that is the platform's own word stands under `claims` and
//! `claim_errors`, or its phase under `claimed_phases`; everything else was measured.

mod claims;
pub mod contract;
mod features;
mod human;
mod human_claims;
mod junit;
mod make;
mod schema;
mod together;
pub mod trials;

#[cfg(test)]
mod tests;

pub use contract::Report;
pub use human::{Style, human, overview};
pub use junit::junit;
pub use make::RunInfo;
pub use schema::schema;
pub use together::together;
