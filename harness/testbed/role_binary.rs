//! The program that the roles run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{contract::TestbedError, setup};
use crate::{
    api::role::HANDSHAKE,
    os::{files, spawn},
};

/// How long it may take to say which version it is.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The role binary where the service user can execute it (a link or a copy in the run's folder, if need be), once it has
/// said that it is of our version.
///
/// # Errors
/// [`TestbedError::Unusable`].
pub(super) async fn role_binary(given: &Path, folder: &Path) -> Result<PathBuf, TestbedError> {
    let unusable = |why: String| TestbedError::Unusable(format!("the role binary {}: {why}", given.display()));
    let mut binary = given.canonicalize().map_err(|error| unusable(error.to_string()))?;
    if !setup::reachable(&binary) {
        let ours = folder.join("geodrill");
        if fs::hard_link(&binary, &ours).is_err() {
            fs::copy(&binary, &ours).map_err(|error| unusable(error.to_string()))?;
            files::give(&ours).map_err(|error| unusable(error.to_string()))?;
        }
        binary = ours;
    }
    let mut command = spawn::command(&binary, &folder.to_owned());
    command.args(["role", "--handshake"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(HANDSHAKE_TIME, Command::from(command).kill_on_drop(true).output())
        .await
        .map_err(|_| unusable(format!("`role --handshake` did not answer within {HANDSHAKE_TIME:?}")))?
        .map_err(|error| unusable(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim() == HANDSHAKE {
        return Ok(binary);
    }
    Err(unusable(format!(
        "`role --handshake` must answer `{HANDSHAKE}`, and it said `{}` ({}): build it anew, or set GEODRILL_BIN",
        said.trim(),
        output.status
    )))
}
