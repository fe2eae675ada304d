//! The core in a small world: what it must never do, and what it must get done, whatever happens around it.

mod cases;
mod chaos;
mod converting;
mod crashes;
mod deleting;
mod exhaustive;
mod features;
mod guarded;
mod guarding;
mod keeping;
mod orders;
mod planned;
mod questions;
mod races;
mod random;
mod regions;
mod stores;
mod world;
mod zoned;
