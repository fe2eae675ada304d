//! The platform's roles: one binary, started once for each, told everything by a private file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{
    launch::Start,
    layout::{Layout, Secrets},
    probe,
};
use crate::{
    api::{
        Region,
        role::{HANDSHAKE, Policy, Timers},
    },
    clients::poll,
    model::process::ProcessName,
    os::{files, spawn},
    testbed::{
        contract::{LinkTrial, TestbedError},
        setup::{self, Programs},
    },
};

/// How long a role may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// How long the binary may take to say which version it is.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// One role in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The control plane, at the witness.
    Control,
    /// The edge.
    Edge,
    /// A region's node.
    Node(Region),
    /// A region's compute.
    Compute(Region),
}

/// What is the same for every role of a run.
pub(super) struct Told<'a> {
    pub layout: &'a Layout,
    pub secrets: &'a Secrets,
    pub timers: &'a Timers,
    pub policy: &'a Policy,
    pub programs: &'a Programs,
}

impl Role {
    /// Every role of a run.
    pub fn all(regions: &[Region; 2]) -> Vec<Role> {
        let of_region = |region: &Region| [Self::Node(region.clone()), Self::Compute(region.clone())];
        [Self::Control, Self::Edge].into_iter().chain(regions.iter().flat_map(of_region)).collect()
    }

    /// The role of a process, if it is one.
    pub fn of(name: &ProcessName, regions: &[Region; 2]) -> Option<Role> {
        Self::all(regions).into_iter().find(|role| role.site() == name.site && role.name() == name.service)
    }

    /// Its name, as the binary and the inventories know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Edge => "edge",
            Self::Node(_) => "node",
            Self::Compute(_) => "compute",
        }
    }

    /// Its site.
    pub fn site(&self) -> &str {
        match self {
            Self::Control => "witness",
            Self::Edge => "edge",
            Self::Node(region) | Self::Compute(region) => region.as_str(),
        }
    }

    /// Writes its configuration, makes its folder, and says how it is started and on which port it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn prepare(&self, told: &Told<'_>, binary: &Path) -> io::Result<(Start, u16)> {
        let Told { layout, secrets, timers, policy, programs } = told;
        let site = layout.site(self.site());
        let config = site.join(format!("{}.json", self.name()));
        let no_region = || io::Error::other("no such region");
        let (data, listen) = match self {
            Self::Control => {
                let value = layout.control_config(secrets, timers, policy);
                files::write_json(&config, &value)?;
                (value.data, value.listen)
            }
            Self::Edge => {
                let value = layout.edge_config(secrets, timers);
                files::write_json(&config, &value)?;
                (value.data, value.listen)
            }
            Self::Node(region) => {
                let value = layout.node_config(region, secrets, timers, programs).ok_or_else(no_region)?;
                files::write_json(&config, &value)?;
                (value.data, value.listen)
            }
            Self::Compute(region) => {
                let value = layout.compute_config(region, secrets, timers).ok_or_else(no_region)?;
                files::write_json(&config, &value)?;
                (value.data, value.listen)
            }
        };
        files::private_folder(&data)?;
        let start = Start {
            program: binary.to_owned(),
            arguments: vec!["role".into(), self.name().into(), "--config".into(), config.into()],
            variables: Vec::new(),
            folder: site,
            log: self.log(layout),
        };
        Ok((start, listen))
    }

    /// Where its output goes.
    pub fn log(&self, layout: &Layout) -> PathBuf {
        layout.site("logs").join(format!("{}-{}.log", self.site(), self.name()))
    }
}

/// Waits until a role says that it is ready.
///
/// # Errors
/// What it last said, or how it ended.
pub(super) async fn ready(listen: u16, token: &str, ended: impl Fn() -> Option<String>) -> Result<(), String> {
    let answers = || async {
        if let Some(how) = ended() {
            return Ok(Err(format!("it ended with {how}")));
        }
        match probe::status(listen, "/internal/ready", token, Duration::from_secs(1)).await {
            Ok(200) => Ok(Ok(())),
            Ok(status) => Err(format!("/internal/ready answers {status}")),
            Err(LinkTrial::Refused) => Err("nothing listens yet".to_owned()),
            Err(other) => Err(format!("/internal/ready: {other:?}")),
        }
    };
    poll::until("readiness", READY, Duration::from_millis(10), answers).await.map_err(|error| error.to_string())?
}

/// The role binary where the service user can execute it (a link or a copy in the run's folder, if need be), once it has
/// said that it is of our version.
///
/// # Errors
/// [`TestbedError::Unusable`].
pub(super) async fn binary(given: &Path, folder: &Path) -> Result<PathBuf, TestbedError> {
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
