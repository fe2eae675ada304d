//! The beginning: a cleaned environment, the command line, the command.

use std::{
    io::{self, IsTerminal, Write},
    os::unix::process::CommandExt,
    process::ExitCode,
};

use clap::{CommandFactory, Parser};

use super::{
    args::{Cli, Command, SchemaOf},
    catalogue, clean, compare, down,
    exit::Exit,
    front, log, operate, plan, rejudge, role, run, salvage, servers, status, validate,
};
use crate::{os::spawn::is_harmful, report, scenario};

/// The program.
pub fn main() -> ExitCode {
    if let Err(error) = clean_environment() {
        complain(&format!("the environment could not be cleaned: {error}"));
        return Exit::Internal.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for_help = !error.use_stderr();
            // Nothing can be done about a stdout or stderr that is closed.
            error.print().unwrap_or_default();
            return if asked_for_help { Exit::Held } else { Exit::Invalid }.into();
        }
    };
    perform(cli).into()
}

fn perform(cli: Cli) -> Exit {
    let logs = log::start(cli.verbose, matches!(cli.command, Command::Role(_)));
    match cli.command {
        Command::Run(arguments) if arguments.keep => on_runtime(front::run_and_keep(arguments)),
        Command::Run(arguments) => on_runtime(run::run(arguments, logs)),
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Rejudge(arguments) => rejudge::rejudge(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Up(arguments) => on_runtime(front::up(arguments)),
        Command::Status(arguments) => on_runtime(status::status(arguments)),
        Command::Inject(arguments) => on_runtime(operate::inject(arguments)),
        Command::Heal(arguments) => on_runtime(operate::heal(arguments)),
        Command::Failover(arguments) => on_runtime(operate::failover(arguments)),
        Command::Failback(arguments) => on_runtime(operate::failback(arguments)),
        Command::Convert(arguments) => on_runtime(operate::convert(arguments)),
        Command::BackUp(arguments) => on_runtime(operate::back_up(arguments)),
        Command::Restore(arguments) => on_runtime(operate::restore(arguments)),
        Command::Copy(arguments) => on_runtime(operate::copy(arguments)),
        Command::Delete(arguments) => on_runtime(operate::delete(arguments)),
        Command::Salvage(arguments) => on_runtime(salvage::salvage(arguments)),
        Command::Ticket(arguments) => on_runtime(operate::ticket(arguments)),
        Command::Expose(arguments) => on_runtime(operate::expose(arguments)),
        Command::Down(arguments) => on_runtime(down::down(arguments)),
        Command::Clean(arguments) => on_runtime(clean::clean(arguments)),
        Command::Validate { paths, on } => validate::validate(&paths, on.testbed),
        Command::List { what, format } => print(&catalogue::list(what, format)),
        Command::Setup => on_runtime(servers::setup()),
        Command::Doctor => servers::doctor(),
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Scenario => scenario::schema(),
                SchemaOf::Report => report::schema(),
                SchemaOf::Trials => report::trials::schema(),
            };
            print(&format!("{schema:#}\n"))
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "geodrill", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Role(arguments) => on_runtime(role::run(arguments)),
    }
}

fn on_runtime(command: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            complain(&format!("the async runtime could not be started: {error}"));
            Exit::Internal
        }
    }
}

/// Proxies, `PG*`, `AWS_*` and the like break clients of loopback, and libraries read them unasked: the program starts
/// itself again without them.
fn clean_environment() -> io::Result<()> {
    let harmful: Vec<_> =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_harmful)).collect();
    if harmful.is_empty() {
        return Ok(());
    }
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    for name in harmful {
        command.env_remove(name);
    }
    // It returns only if it failed.
    Err(command.exec())
}

/// Prints a result.
pub(super) fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Held,
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Held,
        Err(_) => Exit::Internal,
    }
}

/// Prints a result for programs, over several lines.
pub(super) fn print_json(value: &impl serde::Serialize) -> Exit {
    serde_json::to_string_pretty(value).map_or(Exit::Internal, |text| print(&format!("{text}\n")))
}

/// Prints one of several results for programs, in one line.
pub(super) fn print_line(value: &impl serde::Serialize) -> Exit {
    serde_json::to_string(value).map_or(Exit::Internal, |text| print(&format!("{text}\n")))
}

/// Prints an error.
pub(super) fn complain(text: &str) {
    let mark = if colour(&io::stderr()) { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    let mut err = io::stderr().lock();
    // Nothing can be done about a stderr that is closed.
    writeln!(err, "{mark}: {text}").unwrap_or_default();
}

/// Whether colour is welcome there.
pub(super) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
