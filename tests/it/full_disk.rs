//! A disk with too little room, then without a byte: a planned switch is refused with its reason, what was acknowledged
//! stays, and with room again everything goes on.
//!
//! The run lives on a small ext4, which only root may mount; the test unmounts it itself. A fifth of it is root's alone, so
//! the examiner goes on writing its ledger where the servers, which are not root's, find no room.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use crate::{support::geodrill, turn::beside};

/// A mounted file system; unmounted when dropped.
struct Small {
    image: PathBuf,
    folder: PathBuf,
}

impl Small {
    fn mount(megabytes: u64) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/geodrill-small-{}", std::process::id()));
        let image = folder.with_extension("image");
        fs::create_dir_all(&folder).expect("a folder under /var/tmp");
        fs::File::create(&image).and_then(|image| image.set_len(megabytes << 20)).expect("a file under /var/tmp");
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        // A journal of its own would take a good part of it.
        let made = done(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "20", "-O", "^has_journal"]).arg(&image));
        let mounted = made && done(Command::new("mount").args(["-o", "loop"]).args([&image, &folder]));
        assert!(mounted, "this test makes and mounts a small ext4, which needs root and a loop device");
        Self { image, folder }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that has just been killed may hold it for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if unmounted.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir(&self.folder);
        }
        let _ = fs::remove_file(&self.image);
    }
}

const FULL: &str = r#"
geodrill: 1
name: full-disk
about: Too little room for a planned switch, then none at all, then room again.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { dwell: 1ms } }
workload: { rate: 40/s, writers: 3, warm_up: 2s, settle: 3s, min_acked: 40 }
timeline:
  - { id: nearly-full, exec: { command: [sh, -c, 'fallocate -l $(( $(df --output=avail -B1 "$GEODRILL_RUN_DIR" | tail -1) - 30000000 )) "$GEODRILL_RUN_DIR/fill"'] } }
  - { id: no-room, within: 120s, outcome: aborted, operate: { planned_failover: { scope: region, region: east } } }
  - { id: full, within: 30s, exec: { command: [setpriv, --reuid, nobody, --regid, nogroup, --clear-groups, sh, -c, 'for again in $(seq 40); do cat /dev/zero >> ALL/fill 2>/dev/null; sleep 0.1; done; test "$(df --output=avail ALL | tail -1)" -lt 100'] } }
  - { id: room, exec: { command: [sh, -c, 'rm "$GEODRILL_RUN_DIR/fill" ALL/fill'] } }
  - { id: recovered, pause: 5s }
  - { id: there, within: 120s, operate: { planned_failover: { scope: region, region: east } } }
expect:
  - { measure: loss.operations, environment: sales, at_most: 0 }
  - { guarantee: dataverse.planned.loss, environment: sales, step: there }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_switched_and_nothing_is_lost() {
    let _turn = beside().await;
    let small = Small::mount(900);
    let scenario = std::env::temp_dir().join(format!("full-disk-{}.yaml", std::process::id()));
    let all = small.folder.join("all");
    fs::create_dir(&all).expect("a folder on it");
    fs::set_permissions(&all, fs::Permissions::from_mode(0o1777)).expect("a folder for all");
    fs::write(&scenario, FULL.replace("ALL", &all.to_string_lossy())).expect("a scenario file");
    let runs = small.folder.join("runs");
    let output = geodrill().arg("run").arg(&scenario).env("GEODRILL_RUNS", runs).output().expect("it runs");
    let _ = fs::remove_file(&scenario);
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
}
