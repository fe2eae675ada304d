//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Measures what disaster recovery really delivers: two real regions, real load, real faults.
#[derive(Debug, Parser)]
#[command(
    name = "geodrill",
    version,
    after_help = "Examples:\n  \
        geodrill run unplanned-failover          run a shipped scenario\n  \
        geodrill run my-drill.yaml --out result  run your own, and keep its results in ./result\n  \
        geodrill validate scenarios/             check files without starting anything\n  \
        geodrill list                            what there is to run, to break and to hold\n\n\
        Exit codes: 0 held, 1 violated, 2 inconclusive, 4 nothing selected, 5 clean-up incomplete,\n\
        64 invalid input, 70 internal error, 130 interrupted."
)]
pub(super) struct Cli {
    /// More on stderr: -v the log, -vv all of it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs scenarios: files, folders, or names of shipped ones.
    #[command(after_help = "Examples:\n  \
        geodrill run baseline unplanned-failover\n  \
        geodrill run scenarios/ --format json > reports.json\n  \
        geodrill run drill.yaml --seed 7 --out result")]
    Run(Run),
    /// Checks scenario files and tells every mistake at once; starts nothing.
    #[command(after_help = "Example:\n  geodrill validate my-drill.yaml scenarios/")]
    Validate {
        /// Files or folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Lists scenarios, faults, guarantees and testbeds.
    List {
        /// One of them alone.
        #[arg(value_enum)]
        what: Option<Listed>,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Finds or makes the pinned servers: Postgres, MinIO, mc, Toxiproxy.
    Setup,
    /// Tells what is there, what is missing, and the command that gets it; changes nothing.
    Doctor,
    /// Prints a JSON schema.
    Schema {
        /// Of what.
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Is one of the platform's roles; the testbed starts these.
    #[command(hide = true)]
    Role(Role),
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Files, folders, or names of shipped scenarios (`geodrill list scenarios`).
    pub(super) scenarios: Vec<String>,
    /// Where the regions run.
    #[arg(long, value_enum, default_value_t)]
    pub(super) testbed: TestbedName,
    /// Keeps the results in this folder (with several scenarios: in a folder each below it).
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Seed of the load; without it the file's own, or a random one, which is printed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Whether missing servers are made.
    #[arg(long, value_enum, default_value_t)]
    pub(super) setup: Setup,
}

#[derive(Debug, clap::Args)]
pub(super) struct Role {
    /// Prints what a runner checks before it starts a role with this program.
    #[arg(long)]
    pub(super) handshake: bool,
    /// The role.
    #[arg(value_enum, required_unless_present = "handshake")]
    pub(super) name: Option<RoleName>,
    /// Its configuration, JSON.
    #[arg(long, required_unless_present = "handshake")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// The control plane.
    Control,
    /// The traffic manager.
    Edge,
    /// A region's compute.
    Compute,
    /// A region's node.
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum TestbedName {
    /// Processes on loopback.
    #[default]
    Native,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Setup {
    /// They are.
    #[default]
    Auto,
    /// They are not: a missing one is an error.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Listed {
    /// Shipped scenarios.
    Scenarios,
    /// Faults.
    Faults,
    /// Guarantees.
    Guarantees,
    /// Testbeds.
    Testbeds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// Of scenario files.
    Scenario,
    /// Of `report.json`.
    Report,
}
