//! Commands, printing, exit codes; starts a role when asked to be one. Nothing else of the program prints or exits.
//!
//! stdout is the result, stderr the progress and the log.

mod args;
mod catalogue;
mod clean;
mod compare;
mod down;
mod entry;
mod exit;
mod front;
mod log;
mod operate;
mod plan;
mod progress;
mod rejudge;
mod role;
mod run;
mod salvage;
mod servers;
mod status;
mod sweep;
mod trials;
mod validate;

pub use entry::main;
pub use exit::Exit;
