//! The edge: the customers' endpoints, which survive any region. It listens on every slot's four doors and leads each
//! connection to the compute of the region its route names.
//!
//! A route carries the environment's epoch; connections of an older one are closed when a newer comes. On disk:
//! `<data>/routes.json`, written before a route is acted upon.

mod doors;
mod report;
mod routes;
mod serve;

#[cfg(test)]
pub(crate) use serve::run_until;
pub use serve::{EdgeError, run};
