//! What both halves share: names, addresses, the control API's types, what the platform's roles say to one another,
//! the configuration a role is started with, and a site's inventory of processes.
//!
//! Plain values with serde; no I/O. Nothing here knows of faults, ledgers or verdicts, so the examined learns
//! nothing of the examiner by reading it.

pub mod address;
pub mod compute;
pub mod control;
pub mod environment;
pub mod guard;
pub mod ids;
pub mod node;
pub mod permit;
pub mod reports;
pub mod role;
pub mod route;
pub mod sabotage;
pub mod site;

pub use address::Address;
pub use ids::{EnvironmentId, Epoch, Region, Zone};
