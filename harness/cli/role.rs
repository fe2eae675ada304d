//! Being a role: one of the reference platform, a guardian, or the host of a lab.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{
    args::{Role, RoleName},
    entry::{complain, print},
    exit::Exit,
};
use crate::{
    api::role::HANDSHAKE,
    lab::{self, talk::Said},
    os::files,
    platform::{compute, control, edge, node},
    testbed::{
        compose::{inside, relay},
        guardian, ready,
    },
};

/// Runs until the role is ended.
pub(super) async fn run(arguments: Role) -> Exit {
    let (Some(name), Some(path)) = (arguments.name, arguments.config) else {
        return print(&format!("{HANDSHAKE}\n"));
    };
    if arguments.check {
        return check(&path).await;
    }
    let ended = match name {
        RoleName::Control => with(&path, control::run).await,
        RoleName::Edge => with(&path, edge::run).await,
        RoleName::Compute => with(&path, compute::run).await,
        RoleName::Node => with(&path, node::run).await,
        RoleName::Guardian => with(&path, |charge| guardian::keep(charge, hand_on)).await,
        RoleName::Lab => with(&path, |config| lab::host::run(config, say)).await,
        RoleName::Relay => with(&path, relay::run).await,
        RoleName::Inside => look_inside(&path, arguments.ask.as_deref().unwrap_or_default()),
    };
    match ended {
        Ok(()) => Exit::Held,
        Err(why) => {
            complain(&why);
            Exit::Internal
        }
    }
}

/// Whether the role of this configuration, on this machine, is ready.
async fn check(path: &Path) -> Exit {
    #[derive(serde::Deserialize)]
    struct Listening {
        listen: std::net::SocketAddr,
    }
    let asked = match files::read_json::<Listening>(path) {
        Ok(role) => ready::role(role.listen.port()).await,
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    match asked {
        Ok(()) => Exit::Held,
        Err(why) => {
            complain(&why);
            Exit::Inconclusive
        }
    }
}

fn look_inside(site: &Path, ask: &str) -> Result<(), String> {
    let ask = serde_json::from_str(ask).map_err(|error| format!("`--ask`: {error}"))?;
    let answer = inside::answer(site, &ask)?;
    let text = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    hand_on(&format!("{text}\n"));
    Ok(())
}

async fn with<C, F, E>(path: &Path, run: impl FnOnce(C) -> F) -> Result<(), String>
where
    C: DeserializeOwned,
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let config = files::read_json(path).map_err(|error| format!("{}: {error}", path.display()))?;
    run(config).await.map_err(|error| error.to_string())
}

/// A line for whoever started the lab's host; it may have gone.
fn say(said: &Said) {
    if let Ok(line) = serde_json::to_string(said) {
        hand_on(&format!("{line}\n"));
    }
}

/// Text for whoever started us; that nobody is there to read it is no concern of ours.
fn hand_on(text: &str) {
    let _ = print(text);
}
