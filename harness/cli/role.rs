//! Being a role: one of the reference platform, a guardian, or the host of a lab.

use std::{path::Path, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    args::{Role, RoleName},
    entry::{complain, print},
    exit::Exit,
};
use crate::{
    api::{control::Deploy, environment::EnvironmentView, role::HANDSHAKE},
    clients::http::Http,
    lab::{self, talk::Said},
    os::files,
    platform::{compute, control, edge, node},
    testbed::{
        PacketCounts,
        compose::{inside, mishap, relay},
        guardian, ready,
    },
};

/// How long a role may take to say whether it is ready.
const PROMPT: Duration = Duration::from_secs(3);

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
        RoleName::Packets => let_befall(arguments.ask.as_deref().unwrap_or_default()).await,
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

/// Whether the role of this configuration, on this machine, is ready; the control plane, once it has deployed what it is to
/// deploy by itself.
async fn check(path: &Path) -> Exit {
    #[derive(serde::Deserialize)]
    struct Checked {
        listen: std::net::SocketAddr,
        #[serde(default)]
        deploy_first: Vec<Deploy>,
        #[serde(default)]
        api_token: String,
    }
    let asked = async {
        let role: Checked = files::read_json(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let port = role.listen.port();
        ready::role(port).await?;
        if role.deploy_first.is_empty() {
            return Ok(());
        }
        let views = Http::local(port, role.api_token).get::<Vec<EnvironmentView>>("/v1/environments", PROMPT).await;
        let views = views.map_err(|error| error.to_string())?;
        let is_there = |first: &&Deploy| views.iter().any(|view| view.id == first.id && view.endpoints.is_some());
        match role.deploy_first.iter().find(|first| !is_there(first)) {
            Some(first) => Err(format!("{} is not deployed yet", first.id)),
            None => Ok(()),
        }
    };
    let asked: Result<(), String> = asked.await;
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

async fn let_befall(task: &str) -> Result<(), String> {
    let task = serde_json::from_str(task).map_err(|error| format!("`--ask`: {error}"))?;
    let tell = |counts: &PacketCounts| {
        if let Ok(line) = serde_json::to_string(counts) {
            hand_on(&format!("{line}\n"));
        }
    };
    mishap::run(task, tell).await
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
