//! Sends what is due, once, with a hard deadline, and journals every intent before and every outcome after.
//!
//! - [`load`]: the whole load of a run: started, watched, stopped.
//! - [`prepare`](mod@prepare), [`prefill`](mod@prefill): what must be there before it starts.
//! - `writer`, `probe`, [`old_side`]: the kinds of lane. A lane sends through `hand`s: one stream, one connection to each store.
//! - `sql`, `files`: one attempt at each store. `desk`: what all lanes of an environment share.
//! - [`sides`], [`rates`], [`pulse`]: what the load has seen so far.

mod desk;
mod files;
mod hand;
pub mod load;
pub mod old_side;
pub mod prefill;
pub mod prepare;
mod probe;
pub mod pulse;
pub mod rates;
pub mod sides;
mod sql;
mod stop;
mod writer;

pub use load::{Gauge, Load, LoadSpec, Stall, Stopped, Target};
pub use old_side::{OldDoors, OldSide};
pub use prefill::prefill;
pub use prepare::prepare;
pub use pulse::Pulse;
pub use rates::Rates;
pub use sql::statement_of;
