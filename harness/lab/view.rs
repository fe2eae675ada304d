//! What `status` shows: what the platform says, what runs, and what is broken.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    file::LabFile,
    talk::{Answer, FaultInForce, LoadFigures, Request, ask},
};
use crate::{
    api::control::Status,
    clients::http::Http,
    os::{inventory, process::Identity},
};

/// Longest wait for each of the two who are asked.
const PROMPT: Duration = Duration::from_secs(3);

/// A lab at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Its name.
    pub lab: String,
    /// Its run's id.
    pub run: String,
    /// Its folder.
    pub folder: String,
    /// Wall-clock time of its start.
    pub started: String,
    /// Zones of each of its regions.
    pub zones: u8,
    /// The names of its environments.
    pub environments: Vec<String>,
    /// What the platform says: claims.
    pub platform: Option<Status>,
    /// Why the platform said nothing.
    pub platform_silent: Option<String>,
    /// What runs, by the inventories and `/proc`.
    pub processes: Vec<ProcessView>,
    /// Faults in force.
    pub faults: Vec<FaultInForce>,
    /// The load, if there is one.
    pub load: Option<LoadFigures>,
    /// Why the host said nothing.
    pub host_silent: Option<String>,
}

/// A process of a lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct ProcessView {
    /// Where it runs.
    pub site: String,
    /// What it is.
    pub service: String,
    /// Whom it serves, if one environment alone.
    pub environment: Option<String>,
    /// Process id.
    pub pid: i32,
    /// `running`, or `stopped` by a signal.
    pub state: &'static str,
    /// Port past every link and fence, of a store.
    pub port: Option<u16>,
}

/// Looks.
pub async fn look(lab: &LabFile) -> View {
    let http = Http::local(lab.control_port, &lab.control_token);
    let socket = lab.socket();
    let (platform, host) =
        tokio::join!(http.get::<Status>("/v1/status", PROMPT), ask(&socket, &Request::State, PROMPT));
    let (platform, platform_silent) = match platform {
        Ok(status) => (Some(status), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (faults, load, host_silent) = match host {
        Ok(Answer::State { faults, load }) => (faults, load, None),
        Ok(other) => (Vec::new(), None, Some(format!("it answered something else: {other:?}"))),
        Err(error) => (Vec::new(), None, Some(error.to_string())),
    };
    View {
        lab: lab.name.clone(),
        run: lab.run(),
        folder: lab.folder.display().to_string(),
        started: lab.started.clone(),
        zones: lab.zones,
        environments: lab.environments.iter().map(|environment| environment.id.to_string()).collect(),
        platform,
        platform_silent,
        processes: processes(lab),
        faults,
        load,
        host_silent,
    }
}

fn processes(lab: &LabFile) -> Vec<ProcessView> {
    let mut found = Vec::new();
    for site in lab.sites().into_iter().chain(["witness", "edge", "links"].map(str::to_owned)) {
        for entry in inventory::read(&lab.folder.join(&site)).unwrap_or_default().processes {
            let identity = Identity { pid: entry.pid, start_ticks: entry.start_ticks };
            let state = match identity.state() {
                Some('Z') | None => continue,
                Some('T' | 't') => "stopped",
                Some(_) => "running",
            };
            found.push(ProcessView {
                site: site.clone(),
                service: entry.service,
                environment: entry.environment.map(|environment| environment.to_string()),
                pid: entry.pid,
                state,
                port: entry.port,
            });
        }
    }
    found.sort();
    found
}
