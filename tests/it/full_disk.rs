//! A disk without room: a planned switch is refused with its reason, what was acknowledged stays, and with room again
//! everything goes on.
//!
//! The run lives on a small file system in memory, which only root may mount; the test unmounts it itself. The examiner's own
//! ledger is on it too, so that some megabytes are left: without them nothing could be measured.

use std::{fs, path::PathBuf, process::Command};

use crate::support::{alone, geodrill};

/// A mounted file system; unmounted when dropped.
struct Small {
    folder: PathBuf,
}

impl Small {
    fn mount(megabytes: u32) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/geodrill-small-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder under /var/tmp");
        let options = format!("size={megabytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "geodrill-small"]).arg(&folder).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test mounts a small file system, which needs root");
        Self { folder }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that has just been killed may hold it for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if unmounted.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

const FULL: &str = r#"
geodrill: 1
name: full-disk
about: Too little room for a planned switch, then room again.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { dwell: 1ms } }
workload: { rate: 40/s, writers: 3, warm_up: 2s, settle: 3s, min_acked: 40 }
timeline:
  - { id: nearly-full, exec: { command: [sh, -c, 'fallocate -l $(( $(df --output=avail -B1 "$GEODRILL_RUN_DIR" | tail -1) - 30000000 )) "$GEODRILL_RUN_DIR/fill"'] } }
  - { id: no-room, within: 120s, outcome: aborted, operate: { planned_failover: { scope: region, region: east } } }
  - { id: room, exec: { command: [sh, -c, 'rm "$GEODRILL_RUN_DIR/fill"'] } }
  - { id: recovered, pause: 1s }
  - { id: there, within: 120s, operate: { planned_failover: { scope: region, region: east } } }
expect:
  - { measure: loss.operations, environment: sales, at_most: 0 }
  - { guarantee: dataverse.planned.loss, environment: sales, step: there }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_switched_and_nothing_is_lost() {
    let _turn = alone().await;
    let small = Small::mount(900);
    let scenario = std::env::temp_dir().join(format!("full-disk-{}.yaml", std::process::id()));
    fs::write(&scenario, FULL).expect("a scenario file");
    let output = geodrill().arg("run").arg(&scenario).env("GEODRILL_RUNS", &small.folder).output().expect("it runs");
    let _ = fs::remove_file(&scenario);
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
}
