//! `lab.json`: what the commands must know of a lab.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    api::{EnvironmentId, Region, Zone, environment::Endpoints},
    model::testbed::TestbedName,
    os::process::Identity,
};

/// File name in the lab's folder. Mode 0600, since it holds secrets.
pub const LAB_FILE: &str = "lab.json";

/// File name of the socket in the lab's folder.
pub const SOCKET: &str = "lab.sock";

/// A lab that stands. It has no `Debug`, since it holds secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabFile {
    /// Its name.
    pub name: String,
    /// Its folder; the last part is its run's id.
    pub folder: PathBuf,
    /// Wall-clock time of its start, for people.
    pub started: String,
    /// Process id of its host.
    pub pid: i32,
    /// Start time of its host, as in [`Identity`].
    pub start_ticks: u64,
    /// What it stands on.
    #[serde(default)]
    pub testbed: TestbedName,
    /// The regions; the first is every environment's home.
    pub regions: [Region; 2],
    /// Zones of each.
    #[serde(default = "undivided")]
    pub zones: u8,
    /// The environments, and where their customers reach them.
    pub environments: Vec<LabEnvironment>,
    /// Port on 127.0.0.1 of the control API, by its link.
    pub control_port: u16,
    /// Token of the control API.
    pub control_token: String,
    /// Folder of the Postgres programs, `psql` among them. Empty: wherever the shell finds them, since a testbed in containers
    /// needs none of this machine's.
    pub postgres_bin: PathBuf,
    /// MinIO's client, or its name.
    pub mc: PathBuf,
}

/// One environment of a lab.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabEnvironment {
    /// Its name.
    pub id: EnvironmentId,
    /// Where its customers reach it. `None`: the platform did not tell.
    pub endpoints: Option<Endpoints>,
}

/// Zones of a region that is one.
fn undivided() -> u8 {
    1
}

impl LabFile {
    /// The sites of its regions, zone by zone.
    pub fn sites(&self) -> Vec<String> {
        let of = |region: &Region| Zone::all(self.zones).map(|zone| zone.site(region)).collect::<Vec<_>>();
        self.regions.iter().flat_map(of).collect()
    }

    /// Its host.
    pub fn host(&self) -> Identity {
        Identity { pid: self.pid, start_ticks: self.start_ticks }
    }

    /// Its run's id.
    pub fn run(&self) -> String {
        run_id(&self.folder)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }
}

/// A run's id: the last part of its folder's path.
pub fn run_id(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
