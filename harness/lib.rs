//! geodrill measures what disaster recovery really delivers. See `ARCHITECTURE.md` for the rooms and the arrows between
//! them.

pub mod api;
pub mod cli;
pub mod clients;
pub mod conduct;
pub mod fault;
pub mod guarantee;
pub mod lab;
pub mod ledger;
pub mod model;
pub mod os;
pub mod plane;
pub mod platform;
pub mod report;
pub mod scenario;
pub mod testbed;
pub mod verify;
pub mod workload;
