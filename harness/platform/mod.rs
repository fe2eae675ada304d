//! The reference platform: what the vendor's document describes, made real on two regions and a witness.
//!
//! - [`core`]: the control plane's decisions, a pure state machine.
//! - [`journal`]: its durable memory, SQLite.
//! - [`control`]: the role that drives the core: HTTP API, calls to nodes and edge, webhooks.
//! - [`node`], [`compute`], [`edge`]: the roles that act; [`actor`] is what these three share.
//! - `tables`: tables that are known by their columns.
//!
//! Nothing here knows who examines it: see the arrows in `ARCHITECTURE.md`.

pub mod actor;
pub mod compute;
pub mod control;
pub mod core;
pub mod edge;
pub mod journal;
pub mod node;
mod tables;
