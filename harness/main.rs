//! The `geodrill` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    geodrill::cli::main()
}
