//! The control plane's decisions as a pure state machine: no I/O, no clock, no tokio, no randomness, ordered maps only.
//!
//! [`Core::step`] takes the time and one [`Event`] and answers with [`Effect`]s. Durable state ([`State`]) changes only by
//! folding [`Record`]s; an effect that depends on a record stands behind the [`Effect::Journal`] that holds it, and
//! whoever drives the core persists that before performing the rest. [`Core::recover`] folds what was persisted, and
//! [`Event::Restarted`] asks again for whatever was under way: every command is idempotent.
//!
//! - `settings`: what the core is told once.
//! - `event`, `effect`, `record`: its language.
//! - `state`: what is durable. `machine`: the core itself.
//! - `permits`: grants, and when the last one has surely ended. `health`: who is silent, and since when.
//! - `orders`: what an operator may ask for, and the refusals.
//! - `progress`: a step is a set of calls (`parts`, `calls`), each repeated until it is done or the step's time is over;
//!   `repair` puts right what belongs to no step.
//! - `deploy`, `convert` (to production), `failover` (unplanned), `planned` (planned failover and failback), `return_`: the operations, step by step.
//! - `switch`: what all switches share: the register, the promotion, the end. `barrier`: when an environment of a planned
//!   switch may stop. `restore`: undone before the register is switched. `fitness`: what a region must be to take over.
//! - `back_up`: back-up and restore of what has no replica.
//! - `copy`: a copy of production put into a sandbox.
//! - `delete`: an environment removed from both regions.
//! - `features`: what an environment offers beside its stores, and support tickets.
//! - `samples`: what is known of how far the other region is behind. `exposure`: the estimate of what a switch loses, made
//!   from it. `guard`: what is done about it.
//! - `zones`: standbys within the active region, and the failover to one of them.
//! - `views`, `status`: the core as the API shows it.

mod back_up;
mod barrier;
mod calls;
mod convert;
mod copy;
mod delete;
mod deploy;
mod effect;
mod event;
mod exposure;
mod failover;
mod features;
mod fitness;
mod guard;
mod health;
mod machine;
mod orders;
mod parts;
mod permits;
mod planned;
mod progress;
mod record;
mod repair;
mod restore;
mod return_;
mod samples;
mod settings;
mod state;
mod status;
mod switch;
mod views;
mod zones;

#[cfg(test)]
mod tests;

pub use effect::{AskId, CallId, Effect, OrderAnswer, Refused};
pub use event::{CallFailure, Event};
pub use features::Features;
pub use machine::Core;
pub use record::{Exposed, NewEnvironment, NewNotice, OperationKind, Outcome, Record, RegionStatus, Step};
pub use samples::Samples;
pub use settings::{Settings, drifted};
pub use state::{Environment, Item, Operation, Salvaged, State, Task};
