//! Commands, printing, exit codes; starts a role when asked to be one. Nothing else of the program prints or exits.
//!
//! stdout is the result, stderr the progress and the log.

mod args;
mod catalogue;
mod entry;
mod exit;
mod log;
mod progress;
mod role;
mod run;
mod servers;
mod validate;

pub use entry::main;
pub use exit::Exit;
