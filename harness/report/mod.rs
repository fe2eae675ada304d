//! Reports: what a run's events and verdicts become for people and for programs.
//!
//! - [`contract`]: `report.json`, the contract `geodrill.report/1`; [`schema()`] describes it;
//! - [`Report::new`]: made from plan, measures, events and judgements;
//! - [`junit()`]: the same for whoever shows test results;
//! - [`human()`]: what a tired engineer reads in ten seconds.
//!
//! Keys are only ever added to the contract. A figure that is the platform's own word stands under `claims`, or its phase
//! under `claimed_phases`; everything else was measured.

pub mod contract;
mod human;
mod junit;
mod make;
mod schema;

#[cfg(test)]
mod tests;

pub use contract::Report;
pub use human::{Style, human, overview};
pub use junit::junit;
pub use make::RunInfo;
pub use schema::schema;
