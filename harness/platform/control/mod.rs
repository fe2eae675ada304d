//! The role `control`: drives the pure core with real time, a durable journal and HTTP.
//!
//! - `run`: puts the parts together, from the configuration to SIGTERM.
//! - `inbox`: what reaches the core's task; `driver`: the one task that owns the core.
//! - `scribe`: persists what the core decided, then performs it; `calls`: to nodes, computes and the edge; `outbox`: notices.
//! - `http`, `public`, `internal`: the API; `table`: its public calls, from which both the router and the document in
//!   `openapi` are made; `gate`: tokens; `credentials`: what a new environment is given.
//!
//! ```text
//!  HTTP ──▶ inbox ──▶ driver (core) ──▶ scribe ──▶ journal, then calls, outbox, answers
//!             ▲                                        │
//!             └────────── ends of calls ───────────────┘
//! ```

mod calls;
mod credentials;
mod driver;
mod error;
mod first;
mod gate;
mod http;
mod inbox;
mod internal;
mod openapi;
mod outbox;
mod public;
mod run;
mod scribe;
mod table;

#[cfg(test)]
mod tests;

pub use error::ControlError;
pub use run::{run, run_until};
