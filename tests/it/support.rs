//! What the tests share.

use std::{fmt::Write, path::PathBuf};

use assert_cmd::Command;
use geodrill::{conduct::Drill, model::measure::EventMeasures};

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_geodrill"))
}

/// A call of the program.
pub fn geodrill() -> Command {
    let mut command = Command::new(program());
    command.env("NO_COLOR", "1");
    command
}

/// A drill whose roles are the program under test.
pub fn drill(drill: Drill) -> Drill {
    drill.role_binary(program())
}

/// A program of `examples/`. `cargo test` builds them before any test runs; a narrower call does not, and it is built here.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test runs from a file");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("cargo keeps tests in target/PROFILE/deps");
    let path = profile.join("examples").join(name);
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").expect("cargo runs the tests");
        let built = std::process::Command::new(cargo).args(["build", "--locked", "--example", name]).status();
        assert!(built.is_ok_and(|status| status.success()), "the example {name} could not be built");
    }
    path
}

/// Steps that move `sales` there and back so many times, each time once both stores follow again. `within`: of a switch, and
/// of the wait after it.
pub fn there_and_back(times: usize, within: [&str; 2]) -> String {
    let mut steps = String::new();
    let [switch, wait] = within;
    for number in 1..=times {
        for (id, order) in [("there", "planned_failover"), ("back", "failback")] {
            let _ = write!(
                steps,
                "  - {{ id: {id}-{number}, within: {switch}, operate: {{ {order}: {{ scope: environment, environments: [sales] }} }} }}\n  \
                 - {{ id: {id}-{number}-in-step, when: {{ event: environment.protected, environment: sales }}, within: {wait}, pause: 1s }}\n"
            );
        }
    }
    steps
}

/// The longest interruption of an event, seconds.
pub fn longest(event: &EventMeasures) -> f64 {
    event.interruption.each().into_iter().filter_map(|(_, gap)| gap).map(|gap| gap.seconds).fold(0.0, f64::max)
}
