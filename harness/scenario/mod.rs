//! Scenario files: text → spanned tree → validated [`Plan`](crate::model::plan::Plan), or the list of all its errors.
//!
//! - [`catalogue`]: what a scenario can name, as a value, so that the same text is checked against any testbed;
//! - `tree`, `fields`, `scalars`: the collecting decoder; `file`, `platform`, `workload`, `timeline`, `fault`, `expect`:
//!   the grammar, a part each; `measured`: triggers by lag and by counts;
//! - `phases`: a plan whose faults and orders come at drawn moments, for trials;
//! - [`variables`]: the environment variables of `exec` commands, and which names would collide in them;
//! - [`shipped`]: the scenarios that come with the program; [`schema()`]: the grammar as JSON schema.
//!
//! Files are YAML (JSON is YAML too). Unknown fields are errors everywhere; of YAML syntax only the first error is known.

pub mod catalogue;
mod diagnostic;
mod expect;
mod fault;
mod fields;
mod file;
mod measured;
mod phases;
mod platform;
mod scalars;
mod schema;
mod shipped;
mod timeline;
mod tree;
pub mod variables;
mod workload;

#[cfg(test)]
mod tests;

pub use catalogue::{Availability, Catalogue, TRIGGERS};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use file::parse;
pub use phases::{longest_timer, phased, trial_seed};
pub use schema::schema;
pub use shipped::{Shipped, shipped, unpack};
