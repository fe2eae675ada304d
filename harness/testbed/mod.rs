//! Testbeds: where the regions run. A testbed makes sites, links and process scopes, starts the file stores and the roles,
//! and ends all of it again; it knows nothing of what a platform does with them.
//!
//! [`contract`] is the trait every testbed keeps; the rest of the examiner uses nothing else of this room but [`setup`],
//! which finds or makes the real servers, and [`native::Native`], which runs them as processes on loopback. [`undo`] ends
//! what a run has started, whoever calls it, and [`guardian`] calls it when the runner is gone.

pub mod compose;
pub mod contract;
pub mod guardian;
mod layout;
mod links;
mod log;
pub mod native;
mod ports;
mod probe;
pub mod ready;
mod role_binary;
mod scope;
pub mod setup;
mod spec;
pub mod undo;

pub use contract::{
    Auditor, ComputePorts, ControlAccess, Deed, DiskDeed, Impediment, KernelCounts, LinkTrial, PacketCounts, Process,
    ProcessState, QuotaSeen, Space, StorePorts, Testbed, TestbedError, Weighing,
};
pub use spec::{Equipped, Spec};
