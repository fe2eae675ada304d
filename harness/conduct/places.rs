//! Where runs are kept, and where the program is that the roles run.

use std::path::{Path, PathBuf};

use rand::RngExt;

use super::DrillError;
use crate::model::testbed::TestbedName;

/// Folder of all runs: `/var/tmp/geodrill/runs` for root, else `$XDG_STATE_HOME/geodrill/runs` or
/// `~/.local/state/geodrill/runs`. `GEODRILL_RUNS` overrides; sockets live below it, so it must be short.
pub fn runs_root() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = given("GEODRILL_RUNS") {
        return folder;
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/tmp/geodrill/runs");
    }
    given("XDG_STATE_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| PathBuf::from(format!("/var/tmp/geodrill-{}", nix::unistd::geteuid())))
        .join("geodrill/runs")
}

/// A folder below [`runs_root`] for a run that is about to be made.
pub fn fresh_folder() -> PathBuf {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    runs_root().join(format!("{stamp}-{:04x}", rand::rng().random::<u16>()))
}

/// The testbed that `GEODRILL_TESTBED` names, or else `native`.
pub(super) fn testbed() -> Result<TestbedName, DrillError> {
    match std::env::var("GEODRILL_TESTBED") {
        Ok(name) if !name.is_empty() => {
            name.parse().map_err(|why| DrillError::Invalid(format!("GEODRILL_TESTBED: {why}")))
        }
        _ => Ok(TestbedName::default()),
    }
}

/// The program that the roles run: the one given, `GEODRILL_BIN`, this very program if it is geodrill, `geodrill` in `PATH`.
/// Under `cargo test` this very program is the test's own, hence the others.
pub(super) fn role_binary(given: Option<&Path>) -> Result<PathBuf, DrillError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(named) = std::env::var_os("GEODRILL_BIN").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let own = std::env::current_exe().ok().filter(|path| path.file_stem().is_some_and(|stem| stem == "geodrill"));
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("geodrill")).find(|program| program.is_file())
    };
    own.or_else(on_path).ok_or_else(|| {
        DrillError::Unusable(
            "the geodrill program, which the platform's roles run, was not found: put it on PATH, name it in GEODRILL_BIN, \
             or call `.role_binary(path)`"
                .to_owned(),
        )
    })
}
