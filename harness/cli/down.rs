//! `down`: ends labs, and what dead runners have left.

use std::time::Duration;

use super::{
    args::Down,
    entry::{complain, print},
    exit::Exit,
    progress,
    sweep::sweep,
};
use crate::lab::{
    self, FindError, LabFile,
    file::run_id,
    find::{self, Found},
    talk::{Answer, Request, ask},
};

/// How long a host may take to end its lab: removing what twelve drives hold takes half a minute on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);

/// Ends one lab, or all of them.
pub(super) async fn down(arguments: Down) -> Exit {
    if !arguments.all {
        return match lab::find(arguments.lab.as_deref()) {
            Ok(lab) => end(&lab).await,
            // It is as good as ended: what is left of it goes with everything else that is left.
            Err(FindError::Gone(name)) => {
                sweep().await.and(print(&format!("lab {name} had lost its host; it is ended\n")))
            }
            Err(error) => {
                complain(&error.to_string());
                Exit::from(&error)
            }
        };
    }
    let mut exit = Exit::Held;
    let all = match find::all() {
        Ok(all) => all,
        Err(error) => {
            complain(&format!("what stands could not be read: {error}"));
            return Exit::Internal;
        }
    };
    for found in &all {
        match found {
            Found::Lab(lab) => exit = exit.and(end(lab).await),
            Found::Run(standing) => progress::line(&format!(
                "run {} is under way in process {}, which ends it by itself (Ctrl-C there); it is left alone",
                run_id(&standing.folder),
                standing.pid
            )),
            Found::Gone(_) | Found::Left(_) => {}
        }
    }
    exit = exit.and(sweep().await);
    if all.is_empty() {
        exit = exit.and(print("nothing stands\n"));
    }
    exit
}

async fn end(lab: &LabFile) -> Exit {
    match ask(&lab.socket(), &Request::Down, WITHIN).await {
        Ok(Answer::Ended { left }) if left.is_empty() => {
            print(&format!("lab {} is ended; its logs: {}\n", lab.name, lab.folder.join("logs").display()))
        }
        Ok(Answer::Ended { left }) => {
            complain(&format!("lab {} is not wholly ended: {}", lab.name, left.join("; ")));
            Exit::CleanUpIncomplete
        }
        Ok(Answer::Refused { why }) => {
            complain(&why);
            Exit::Invalid
        }
        Ok(other) => {
            complain(&format!("the lab's host answered something else: {other:?}"));
            Exit::Internal
        }
        Err(error) => {
            complain(&format!("{error}; if it hangs, end process {} (its guardian then ends the rest)", lab.pid));
            Exit::CleanUpIncomplete
        }
    }
}
