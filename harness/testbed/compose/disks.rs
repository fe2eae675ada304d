//! Small disks: for a host whose disk is to run full, a volume of its own size, in memory. A volume in memory lasts as long as
//! a container has it mounted, and its host's is killed in drills: so one that does nothing has all of them, and it is from there
//! that they are filled and emptied.

use std::collections::BTreeSet;

use super::{inside::Ask, testbed::Compose};
use crate::{
    model::process::ProcessName,
    testbed::contract::{DiskDeed, Space, TestbedError},
};

/// The service that holds the disks.
const HOLDER: &str = "disks";

/// The file that is laid over the project's own.
pub(super) const FILE: &str = "docker-compose.disks.yml";

/// What a disk has room for beside environments, MiB.
const OWN_MIB: u32 = 256;

/// Room for an environment's rows, log and files in a drill, MiB.
const ENVIRONMENT_MIB: u32 = 256;

/// The overlay: a small disk for each of these hosts, whose volumes have their names. `None`: nobody wants one.
pub(super) fn overlay(hosts: &BTreeSet<String>, environments_max: u16) -> Option<String> {
    if hosts.is_empty() {
        return None;
    }
    let mib = OWN_MIB + ENVIRONMENT_MIB * u32::from(environments_max);
    let mounted: Vec<String> = hosts.iter().map(|host| format!("\"{host}:{}\"", mount(host))).collect();
    let options = format!("size={mib}m,mode=0700,uid=10001,gid=10001");
    let volumes: String = hosts
        .iter()
        .map(|host| format!("  {host}: {{ driver_opts: {{ type: tmpfs, device: tmpfs, o: \"{options}\" }} }}\n"))
        .collect();
    Some(format!(
        "services:\n  {HOLDER}:\n    image: ${{GEODRILL_IMAGE}}\n    user: \"10001:10001\"\n    network_mode: none\n    \
         init: true\n    stop_grace_period: 1s\n    cap_drop: [ALL]\n    entrypoint: [sleep, infinity]\n    command: []\n    \
         volumes: [{}]\nvolumes:\n{volumes}",
        mounted.join(", ")
    ))
}

/// Where the holder has the disk of a host.
fn mount(host: &str) -> String {
    format!("/disks/{host}")
}

impl Compose {
    pub(super) async fn do_to_disk(&self, name: &ProcessName, deed: DiskDeed) -> Result<Space, TestbedError> {
        let host = self.host_of(name)?;
        if !self.small_disks.contains(&host) {
            return Err(TestbedError::Unusable(format!("{host} has no small disk: none was asked for")));
        }
        let holder = self.project.container(HOLDER);
        match self.engine.ask(&holder, &mount(&host), &Ask::Disk(deed)).await? {
            super::inside::Answer::Space(space) => Ok(space),
            other => Err(TestbedError::Failed(format!("the disk of {host}: {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_are_to_run_full_get_a_small_disk() {
        assert_eq!(overlay(&BTreeSet::new(), 2), None);
        let text = overlay(&["east-files".to_owned(), "west-node".to_owned()].into(), 2).unwrap();
        for part in ["east-files: {", "west-node: {", "size=768m", "\"west-node:/disks/west-node\""] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
