//! The platform's roles: one binary, started once for each, told everything by a private file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::launch::Start;
use crate::{
    clients::poll,
    model::process::ProcessName,
    os::files,
    testbed::{
        layout::{Layout, NodePrograms, Secrets, Settings, Site},
        ready,
    },
};

/// How long a role may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// One role in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The control plane, at the witness.
    Control,
    /// The edge.
    Edge,
    /// A site's node.
    Node(Site),
    /// A site's compute.
    Compute(Site),
}

/// What is the same for every role of a run.
pub(super) struct Told<'a> {
    pub layout: &'a Layout,
    pub secrets: &'a Secrets,
    pub settings: Settings<'a>,
    pub programs: &'a NodePrograms,
}

impl Role {
    /// Every role of a run.
    pub fn all(layout: &Layout) -> Vec<Role> {
        let of_site = |site: Site| [Self::Node(site.clone()), Self::Compute(site)];
        [Self::Control, Self::Edge].into_iter().chain(layout.sites().into_iter().flat_map(of_site)).collect()
    }

    /// The role of a process, if it is one.
    pub fn of(name: &ProcessName, layout: &Layout) -> Option<Role> {
        Self::all(layout).into_iter().find(|role| role.site() == name.site && role.name() == name.service)
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
    pub fn site(&self) -> String {
        match self {
            Self::Control => "witness".to_owned(),
            Self::Edge => "edge".to_owned(),
            Self::Node(site) | Self::Compute(site) => site.name(),
        }
    }

    /// Writes its configuration, makes its folder, and says how it is started and on which port it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn prepare(&self, told: &Told<'_>, binary: &Path) -> io::Result<(Start, u16)> {
        let Told { layout, secrets, settings, programs } = told;
        let site = layout.site(&self.site());
        let config = site.join(format!("{}.json", self.name()));
        let no_site = || io::Error::other("no such site");
        let (data, listen) = match self {
            Self::Control => {
                let value = layout.control_config(secrets, settings);
                files::write_json(&config, &value)?;
                (value.data, value.listen.port())
            }
            Self::Edge => {
                let value = layout.edge_config(secrets, settings);
                files::write_json(&config, &value)?;
                (value.data, value.listen.port())
            }
            Self::Node(site) => {
                let value = layout.node_config(site, secrets, settings, programs).ok_or_else(no_site)?;
                files::write_json(&config, &value)?;
                (value.data, value.listen.port())
            }
            Self::Compute(site) => {
                let value = layout.compute_config(site, secrets, settings).ok_or_else(no_site)?;
                files::write_json(&config, &value)?;
                (value.data, value.listen.port())
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
pub(super) async fn ready(listen: u16, ended: impl Fn() -> Option<String>) -> Result<(), String> {
    let answers = || async {
        if let Some(how) = ended() {
            return Ok(Err(format!("it ended with {how}")));
        }
        ready::role(listen).await.map(Ok)
    };
    poll::until("readiness", READY, Duration::from_millis(10), answers).await.map_err(|error| error.to_string())?
}
