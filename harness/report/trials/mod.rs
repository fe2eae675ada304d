//! One scenario, again and again: what its trials say together.
//!
//! - [`contract`]: `trials.json`, the contract `geodrill.trials/1`; [`schema()`] describes it;
//! - [`Statistics::new`]: made from the trials, each a report or the reason why there is none;
//! - [`bound`]: what so few failures in so many trials say of the failure rate; `figures`: points and their summary;
//! - [`human()`]: what a person reads.
//!
//! A trial that brought no report counts as inconclusive everywhere, so every row's counts sum to the trials.

pub mod bound;
pub mod contract;
mod figures;
mod human;
mod make;
mod schema;

#[cfg(test)]
mod tests;

pub use contract::Statistics;
pub use human::human;
pub use make::{Info, Trial};
pub use schema::schema;
