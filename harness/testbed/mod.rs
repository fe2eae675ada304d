//! Testbeds: where the regions run. A testbed makes sites, links and process scopes, starts the file stores and the roles,
//! and ends all of it again; it knows nothing of what a platform does with them.
//!
//! [`contract`] is the trait every testbed keeps; the rest of the examiner uses nothing else of this room.

pub mod contract;

pub use contract::{Auditor, ControlAccess, Impediment, StorePorts, Testbed, TestbedError};
