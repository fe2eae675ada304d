//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;

use crate::model::testbed::TestbedName;

/// Measures what disaster recovery really delivers: two real regions, real load, real faults.
#[derive(Debug, Parser)]
#[command(
    name = "geodrill",
    version,
    after_help = "Examples:\n  \
        geodrill run unplanned-failover          run a shipped scenario\n  \
        geodrill run my-drill.yaml --out result  run your own, and keep its results in ./result\n  \
        geodrill validate scenarios/             check files without starting anything\n  \
        geodrill up                              two regions to play with; `geodrill down` ends them\n  \
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
        geodrill run drill.yaml --seed 7 --out result\n  \
        geodrill run unplanned-failover --testbed compose\n  \
        geodrill run unplanned-failover --keep     look around afterwards; `geodrill down` ends it\n  \
        geodrill run unplanned-failover --trials 20 --at-once 2 --seed 7 --out trials\n\n\
        Each trial is a drill of its own, its faults and orders at drawn moments. What repeats one alone is printed:\n  \
        geodrill run unplanned-failover --seed 7191089600892374487 --phase-seed 7191089600892374487")]
    Run(Run),
    /// Checks scenario files and tells every mistake at once; starts nothing.
    #[command(after_help = "Example:\n  geodrill validate my-drill.yaml scenarios/")]
    Validate {
        /// Files or folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        on: On,
    },
    /// Draws what a scenario will do: its timeline, what each step touches, what is expected; starts nothing.
    #[command(after_help = "Examples:\n  \
        geodrill plan unplanned-failover\n  \
        geodrill plan drill.yaml --format json")]
    Plan(Planned),
    /// Judges finished runs again, from their folders alone.
    #[command(after_help = "Examples:\n  \
        geodrill rejudge 20260131-120000-1f2e\n  \
        geodrill rejudge ./result --format json\n\n\
        It exits as `run` does, and says when the verdict differs from the kept one.")]
    Rejudge(Rejudge),
    /// Lays the verdicts of two sets of runs side by side; exits with 1 if any differs.
    #[command(after_help = "Examples:\n  \
        geodrill compare results-native results-compose\n  \
        geodrill compare before/report.json after/report.json")]
    Compare(Compare),
    /// Stands a lab up: two regions with environments, to look at, break and switch by hand.
    #[command(after_help = "Examples:\n  \
        geodrill up\n  \
        geodrill up --regions paris,rome --environment sales:dataverse-production --environment books:finops-production\n  \
        geodrill up --name training --load 20/s")]
    Up(Up),
    /// Shows a lab: regions, environments, roles, epochs, permits, lag, processes, faults in force.
    #[command(after_help = "Examples:\n  \
        geodrill status\n  \
        geodrill status training --watch\n  \
        geodrill status --format json")]
    Status(Status),
    /// Breaks something in a lab, and proves that it is broken.
    #[command(after_help = "Examples:\n  \
        geodrill inject 'region.outage: {region: east}'\n  \
        geodrill inject 'link.partition: {link: \"east -> west / sql\", mode: stall}' --for 10s\n\n\
        Faults are written as in scenarios; `geodrill list faults` has them all.")]
    Inject(Inject),
    /// Heals what was broken in a lab, and proves it.
    #[command(after_help = "Examples:\n  \
        geodrill heal fault-1\n  \
        geodrill heal --all")]
    Heal(Heal),
    /// Orders the platform of a lab to fail over.
    #[command(after_help = "Examples:\n  \
        geodrill failover --planned --environment sales --wait 2m\n  \
        geodrill failover --unplanned --region east --accept-data-loss")]
    Failover(Failover),
    /// Orders the platform of a lab to go back home.
    #[command(after_help = "Examples:\n  \
        geodrill failback --region west --wait 2m\n  \
        geodrill failback --environment sales")]
    Failback(Failback),
    /// Orders the platform of a lab to upgrade Dataverse for Teams to production.
    #[command(after_help = "Examples:\n  \
        geodrill convert --environment talk --wait")]
    Convert(ForOne),
    /// Opens a support ticket with the platform of a lab: what can be restored of an environment away from its home.
    #[command(after_help = "Examples:\n  \
        geodrill ticket --environment books --wait")]
    Ticket(ForOne),
    /// Orders the platform of a lab to back up an environment that has no replica.
    #[command(after_help = "Examples:\n  \
        geodrill back-up --environment test --wait")]
    BackUp(ForOne),
    /// Orders the platform of a lab to put an environment's last back-up in the place of what it holds.
    #[command(after_help = "Examples:\n  \
        geodrill restore --environment test --wait\n\n\
        What was written after the back-up is given up.")]
    Restore(ForOne),
    /// Orders the platform of a lab to put a copy of a production environment into a sandbox of its product.
    #[command(after_help = "Examples:\n  \
        geodrill copy books trial --wait\n\n\
        Production is served all the while; what the sandbox holds is given up.")]
    Copy(Copy),
    /// Orders the platform of a lab to delete an environment, with its replica, its back-ups and its copies.
    #[command(after_help = "Examples:\n  \
        geodrill delete trial\n  \
        geodrill delete sales --wait 5m\n\n\
        Nobody is asked whether that is meant, and it cannot be undone. Its customers are refused at once; what a lost region has \
        of it is removed when the region returns, and only then the operation is completed.")]
    Delete(Delete),
    /// Shows what the platform of a lab salvaged when a region came back last: what that region alone had, and is not served any more.
    #[command(after_help = "Examples:\n  \
        geodrill salvage --environment sales\n  \
        geodrill salvage --environment sales --into lost\n\n\
        Rows are JSON objects, a line each; each object's body is a file of its own. A customer puts in again what is wanted \
        back: see the README.")]
    Salvage(Salvage),
    /// Lets an environment of a lab be written to although the data-loss guard withholds writes, or ends that.
    #[command(after_help = "Examples:\n  \
        geodrill expose --environment sales --accept-data-loss\n  \
        geodrill expose --environment sales --end")]
    Expose(Expose),
    /// Ends a lab, or a run that was kept.
    #[command(after_help = "Examples:\n  \
        geodrill down\n  \
        geodrill down training\n  \
        geodrill down --all        every lab, and all that dead runs have left behind")]
    Down(Down),
    /// Removes finished runs from the disk, and the servers' data of abandoned ones.
    #[command(after_help = "Examples:\n  \
        geodrill clean --dry-run\n  \
        geodrill clean --older-than 7d\n  \
        geodrill clean --all       the evidence of abandoned runs as well\n\n\
        A run that is under way and a lab that stands are never touched.")]
    Clean(Clean),
    /// Lists scenarios, faults, triggers, guarantees, sabotages and testbeds.
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
    /// Is one of the platform's roles, a guardian, or a lab's host; none of these is started by hand.
    #[command(hide = true)]
    Role(Role),
}

/// The testbed that is meant.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct On {
    /// Where the regions run.
    #[arg(long, env = "GEODRILL_TESTBED", default_value_t, value_parser = testbeds())]
    pub(super) testbed: TestbedName,
}

fn testbeds() -> impl TypedValueParser<Value = TestbedName> {
    PossibleValuesParser::new(TestbedName::ALL.map(TestbedName::as_str)).try_map(|name| name.parse::<TestbedName>())
}

/// More trials than anybody waits for.
const TRIALS_MAX: i64 = 10_000;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Files, folders, or names of shipped scenarios (`geodrill list scenarios`).
    pub(super) scenarios: Vec<String>,
    #[command(flatten)]
    pub(super) on: On,
    /// Keeps the results in this folder (with several scenarios: in a folder each below it).
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Writes the results as JUnit XML to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Seed of the load; without it the file's own, or a random one, which is printed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: RunFormat,
    /// Runs each scenario so many times, faults and orders at drawn moments, and tells statistics; seeds are derived from the seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=TRIALS_MAX))]
    pub(super) trials: Option<u32>,
    /// So many trials side by side, one for each processor at most; without it one for every two processors.
    #[arg(long, value_name = "M", requires = "trials", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) at_once: Option<u32>,
    /// Lets each fault and each order come after a wait that is drawn from this seed, as a trial does.
    #[arg(long, value_name = "SEED", conflicts_with = "trials")]
    pub(super) phase_seed: Option<u64>,
    /// Whether missing servers are made.
    #[arg(long, value_enum, default_value_t)]
    pub(super) setup: Setup,
    /// Leaves the run standing as a lab when it is over, and says how to enter and how to end it.
    #[arg(long, conflicts_with_all = ["trials", "phase_seed"])]
    pub(super) keep: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Planned {
    /// A file, or the name of a shipped scenario.
    pub(super) scenario: String,
    #[command(flatten)]
    pub(super) on: On,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rejudge {
    /// Folders of runs, or their ids.
    #[arg(required = true)]
    pub(super) runs: Vec<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// A `report.json`, a folder that has one, or a folder of such folders.
    pub(super) one: PathBuf,
    /// What it is compared with.
    pub(super) other: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    pub(super) on: On,
    /// The two regions; the first is home to every environment.
    #[arg(long, value_delimiter = ',', default_value = "east,west")]
    pub(super) regions: Vec<String>,
    /// Zones of each region: 1 or 3.
    #[arg(long, default_value_t = 1)]
    pub(super) zones: u8,
    /// An environment as `name:kind`; may be given several times. Without any: sales:dataverse-production.
    #[arg(long, value_name = "NAME:KIND")]
    pub(super) environment: Vec<String>,
    /// What the lab is called.
    #[arg(long, default_value = "lab")]
    pub(super) name: String,
    /// Sends writes to each environment for as long as the lab stands, such as `20/s`.
    #[arg(long, value_name = "RATE")]
    pub(super) load: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// The lab's name, or its run's id; needed if several stand.
    pub(super) lab: Option<String>,
    /// Shows it every second, until Ctrl-C.
    #[arg(long)]
    pub(super) watch: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct Inject {
    /// The fault, as a scenario has it below `inject`.
    pub(super) fault: String,
    /// Heals it after so long, such as `10s`.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) hold: Option<Duration>,
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(long)]
    pub(super) lab: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Heal {
    /// The fault's id, as `inject` and `status` tell it.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(super) id: Option<String>,
    /// Every fault in force.
    #[arg(long)]
    pub(super) all: bool,
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(long)]
    pub(super) lab: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Failover {
    /// Both sides are online: no loss.
    #[arg(long, required_unless_present = "unplanned", conflicts_with = "unplanned")]
    pub(super) planned: bool,
    /// The old side is given up: bounded loss.
    #[arg(long)]
    pub(super) unplanned: bool,
    /// "I accept the loss of data": needed past the enforced bound.
    #[arg(long, conflicts_with = "planned")]
    pub(super) accept_data_loss: bool,
    #[command(flatten)]
    pub(super) which: Which,
}

#[derive(Debug, clap::Args)]
pub(super) struct Failback {
    #[command(flatten)]
    pub(super) which: Which,
}

/// Arguments of an order for one environment.
#[derive(Debug, clap::Args)]
pub(super) struct ForOne {
    /// The environment.
    #[arg(long)]
    pub(super) environment: String,
    #[command(flatten)]
    pub(super) order: Ordered,
}

#[derive(Debug, clap::Args)]
pub(super) struct Salvage {
    /// The environment.
    #[arg(long)]
    pub(super) environment: String,
    /// Writes rows, objects and their bodies into this folder, which must not be there yet.
    #[arg(long, value_name = "FOLDER")]
    pub(super) into: Option<PathBuf>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(long)]
    pub(super) lab: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// The production environment.
    pub(super) from: String,
    /// The sandbox.
    pub(super) to: String,
    #[command(flatten)]
    pub(super) order: Ordered,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The environment, by its whole name.
    pub(super) environment: String,
    #[command(flatten)]
    pub(super) order: Ordered,
}

#[derive(Debug, clap::Args)]
pub(super) struct Expose {
    /// The environment.
    #[arg(long)]
    pub(super) environment: String,
    /// "I accept the loss of data": the bound is not guaranteed, and the environment is not failed over by itself.
    #[arg(long, required_unless_present = "end", conflicts_with = "end")]
    pub(super) accept_data_loss: bool,
    /// Ends it: both are so again once the other region has caught up.
    #[arg(long)]
    pub(super) end: bool,
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(long)]
    pub(super) lab: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Every environment that is active in this region.
    #[arg(long, required_unless_present = "environment", conflicts_with = "environment")]
    pub(super) region: Option<String>,
    /// This environment; may be given several times.
    #[arg(long)]
    pub(super) environment: Vec<String>,
    #[command(flatten)]
    pub(super) order: Ordered,
}

/// What is asked of every order.
#[derive(Debug, clap::Args)]
pub(super) struct Ordered {
    /// Waits for its end, two minutes or as long as is said; it then exits with 1 if not all was done.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_value = "0s", default_missing_value = "2m",
        value_parser = humantime::parse_duration)]
    pub(super) wait: Duration,
    /// How the operation is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(long)]
    pub(super) lab: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Down {
    /// The lab's name, or its run's id; needed if several stand.
    #[arg(conflicts_with = "all")]
    pub(super) lab: Option<String>,
    /// Every lab, and what dead runs have left behind.
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Clean {
    /// Only runs that have not changed for so long, such as `7d`.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) older_than: Option<Duration>,
    /// The evidence of abandoned runs as well.
    #[arg(long)]
    pub(super) all: bool,
    /// Tells what would go, and does nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Role {
    /// Prints what a runner checks before it starts a role with this program.
    #[arg(long)]
    pub(super) handshake: bool,
    /// The role.
    #[arg(value_enum, required_unless_present = "handshake")]
    pub(super) name: Option<RoleName>,
    /// Its configuration, JSON; for `inside` the site's folder.
    #[arg(long, required_unless_present = "handshake")]
    pub(super) config: Option<PathBuf>,
    /// Asks the role that runs with this configuration whether it is ready, and is no role.
    #[arg(long)]
    pub(super) check: bool,
    /// What `inside` and `packets` are asked, JSON.
    #[arg(long)]
    pub(super) ask: Option<String>,
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
    /// Watches a runner, and ends what it leaves behind.
    Guardian,
    /// Stands a lab up and keeps it.
    Lab,
    /// Brings connections out of the containers' networks.
    Relay,
    /// Sees processes and disks of its own container, and acts upon them.
    Inside,
    /// Lets a mishap befall packets of its network namespace.
    Packets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// How `run` prints what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum RunFormat {
    /// For people.
    #[default]
    Human,
    /// For programs: everything at the end, as one value.
    Json,
    /// For programs: a line for each report as soon as it is there, and for statistics at their end.
    Ndjson,
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
    /// What a step can wait for.
    Triggers,
    /// Guarantees.
    Guarantees,
    /// Ways in which the platform can be broken on purpose, each with what catches it.
    Sabotages,
    /// Testbeds.
    Testbeds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// Of scenario files.
    Scenario,
    /// Of `report.json`.
    Report,
    /// Of `trials.json`.
    Trials,
}
