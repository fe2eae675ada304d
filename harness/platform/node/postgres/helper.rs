//! Programs that change a cluster's folder for a while. They stand in the site's inventory, so that nothing leaks, and so
//! that one which a killed node has left behind is ended before anybody else changes that folder.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{Place, PostgresError};
use crate::{
    api::site::ProcessEntry,
    clients::poll,
    os::{inventory, process::Identity},
};

/// How helpers are called in the inventory.
const SERVICE: &str = "helper";

/// Runs a helper to its end.
///
/// # Errors
/// [`PostgresError::Program`] with what it said.
pub(super) async fn run(
    place: &Place,
    program: &'static str,
    command: Command,
    within: Duration,
) -> Result<(), PostgresError> {
    let failed = |why: String| PostgresError::Program { program, why };
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let identity = child.id().and_then(|pid| Identity::of(i32::try_from(pid).ok()?));
    if let Some(Identity { pid, start_ticks }) = identity {
        inventory::register(
            &place.site,
            ProcessEntry {
                service: SERVICE.to_owned(),
                environment: Some(place.environment.clone()),
                pid,
                start_ticks,
                port: None,
                data: Some(place.data.clone()),
            },
        )?;
    }
    let ended = timeout(within, child.wait_with_output()).await;
    if let Some(identity) = identity {
        inventory::unregister(&place.site, identity.pid)?;
    }
    let output = match ended {
        Ok(output) => output.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("not done within {within:?}"))),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(())
}

/// Ends the helpers that a killed node has left on this cluster.
///
/// # Errors
/// The system's, or that one would not end.
pub async fn end_left(place: &Place) -> Result<(), PostgresError> {
    for entry in inventory::read(&place.site)?.processes {
        let ours = entry.service == SERVICE && entry.environment.as_ref() == Some(&place.environment);
        if !ours || !inventory::is_alive(&entry) {
            continue;
        }
        tracing::warn!(environment = %place.environment, pid = entry.pid, "ending a program that a killed node has left");
        let identity = Identity { pid: entry.pid, start_ticks: entry.start_ticks };
        let tree = identity.tree();
        identity.signal_tree(Signal::SIGKILL)?;
        poll::until("a program's end", Duration::from_secs(5), Duration::from_millis(5), || async {
            if tree.iter().any(|process| process.is_alive()) { Err("still running") } else { Ok(()) }
        })
        .await?;
        inventory::unregister(&place.site, entry.pid)?;
    }
    Ok(())
}
