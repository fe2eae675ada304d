//! What a guardian does: waits for the end of its pipe, then looks whether its run has ended; if not, ends it.

use std::{
    io::{self, Read},
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::unistd::setsid;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::{os::shared_memory, testbed::undo};

/// What a guardian says once it watches.
pub(super) const WATCHING: &str = "watching";

/// How often it looks for what is left.
const LOOK: Duration = Duration::from_millis(60);

/// Nothing must have been found for so long: something that was being started when the runner went may turn up yet.
const QUIET: Duration = Duration::from_millis(900);

/// How long it tries at most. What it could not end by then, the next call of the program tries to.
const TRIES: Duration = Duration::from_secs(60);

/// How long one round of killing may take.
const ROUND: Duration = Duration::from_secs(5);

/// What a guardian watches over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// The run's folder.
    pub folder: PathBuf,
    /// The file that says that the run stands; once it is gone, the run has ended.
    pub standing: PathBuf,
}

/// Watches until the run has ended or has been ended. `say` hands [`WATCHING`] on to whoever started it.
///
/// # Errors
/// What could not be ended.
pub async fn keep(charge: Charge, say: impl FnOnce(&str)) -> Result<(), String> {
    // A signal to the runner's process group or terminal is not for us. It fails only for the leader of a group, who has
    // one of his own already.
    setsid().map(drop).unwrap_or_default();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!(?kind, "not ending: the guardian ends with its run");
            }
        });
    }
    say(&format!("{WATCHING}\n"));
    tokio::task::spawn_blocking(move || watch(&charge)).await.map_err(|error| error.to_string())?
}

fn watch(charge: &Charge) -> Result<(), String> {
    let mut byte = [0];
    loop {
        match io::stdin().read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if !charge.standing.exists() {
        return Ok(());
    }
    tracing::warn!(folder = %charge.folder.display(), "the runner is gone and its run is not: ending it");
    end(charge)
}

fn end(charge: &Charge) -> Result<(), String> {
    let began = Instant::now();
    let mut quiet_since = Instant::now();
    let mut ended = 0;
    while quiet_since.elapsed() < QUIET {
        let left = undo::count(&charge.folder);
        if left > 0 {
            let troubles = undo::end(&charge.folder, ROUND);
            if began.elapsed() > TRIES {
                return Err(format!("could not be ended: {}", troubles.join("; ")));
            }
            ended += left;
            quiet_since = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
    let freed = shared_memory::free_abandoned();
    undo::forget(&charge.standing).map_err(|error| format!("{}: {error}", charge.standing.display()))?;
    tracing::info!(ended, freed, after = ?began.elapsed(), "everything of the run is ended");
    Ok(())
}
