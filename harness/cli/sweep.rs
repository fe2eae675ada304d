//! What dead runners have left behind, ended before anything new is started.

use std::time::Duration;

use super::{entry::complain, exit::Exit, progress};
use crate::{lab::file::run_id, testbed::undo};

/// How long ending one run may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Ends it, and says so.
pub(super) async fn sweep() -> Exit {
    let swept = tokio::task::spawn_blocking(|| undo::sweep(WITHIN)).await;
    let swept = match swept {
        Ok(Ok(swept)) => swept,
        Ok(Err(error)) => {
            complain(&format!("what stands could not be read: {error}"));
            return Exit::Internal;
        }
        Err(error) => {
            complain(&error.to_string());
            return Exit::Internal;
        }
    };
    let mut exit = Exit::Held;
    for run in swept {
        let id = run_id(&run.folder);
        if run.left.is_empty() {
            progress::line(&format!(
                "run {id} had lost its runner: ended {} of it (processes, containers, networks, volumes)",
                run.things
            ));
        } else {
            complain(&format!("run {id} had lost its runner, and could not be ended: {}", run.left.join("; ")));
            exit = exit.and(Exit::CleanUpIncomplete);
        }
    }
    exit
}
