//! However a run ends, nothing of it runs on; and a platform that does nothing is not held.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use geodrill::{
    conduct::{Drill, DrillError},
    model::verdict::Verdict,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    support::{drill, program},
    turn::alone,
};

/// Processes whose command line names this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = folder.display().to_string();
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let commands = commands.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    commands.filter(|command| command.contains(&wanted)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_everything_that_was_started() {
    let _turn = alone().await;
    let mut run = Command::new(program())
        .args(["run", "baseline"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let mut seen = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        seen = format!("{seen}{line}\n");
        if line.contains("warming up") {
            break;
        }
    }
    let pid = Pid::from_raw(i32::try_from(run.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it runs");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = run.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "{seen}{}", rest.join("\n"));
    let runs = geodrill::conduct::places::runs_root();
    let left: Vec<String> = processes_of(&runs).into_iter().filter(|command| command.contains("/runs/")).collect();
    assert!(left.is_empty(), "left running: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_command_makes_the_run_inconclusive_and_leaves_nothing() -> anyhow::Result<()> {
    let _turn = alone().await;
    let text = "geodrill: 1\nname: failing\nenvironments: [ { id: sales, kind: dataverse-production } ]\n\
        workload: { rate: 50/s, writers: 2, warm_up: 1s, settle: 1s }\n\
        timeline: [ { id: check, exec: { command: [sh, -c, \"echo no luck; exit 3\"] } } ]\n\
        expect: [ { guarantee: integrity.corrupt } ]\n";
    let finished = drill(Drill::from_text("failing.yaml", text, &std::env::temp_dir())?).run().await?;
    let told = finished.human();
    assert!(told.contains("no luck"), "{told}");
    let finished = finished.assert(Verdict::Inconclusive);
    assert_eq!(processes_of(&finished.folder), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_never_fails_over_is_not_held() -> anyhow::Result<()> {
    let _turn = alone().await;
    let text = "geodrill: 1\nname: never\nenvironments: [ { id: sales, kind: dataverse-production } ]\n\
        platform: { reference: { outage_grace: 1s, automatic: false } }\n\
        workload: { rate: 100/s, writers: 4, warm_up: 2s, settle: 1s }\n\
        timeline:\n  - { id: outage, inject: { region.outage: { region: east } } }\n  - { id: wait, pause: 6s }\n\
        expect:\n  - { guarantee: dataverse.unplanned.switched, environment: sales }\n  \
        - { guarantee: dataverse.unplanned.loss, environment: sales }\n";
    let finished = drill(Drill::from_text("never.yaml", text, &std::env::temp_dir())?).run().await?;
    let finished = finished.assert(Verdict::Violated);
    let of = |id: &str| finished.report.guarantees.iter().find(|judged| judged.id == id).map(|judged| judged.verdict);
    assert_eq!(of("dataverse.unplanned.switched"), Some(Verdict::Violated), "{}", finished.human());
    assert_eq!(of("dataverse.unplanned.loss"), Some(Verdict::Inconclusive), "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_program_of_another_version_is_refused_before_anything_starts() -> anyhow::Result<()> {
    let started = Instant::now();
    let refused = Drill::shipped("baseline")?.role_binary("/bin/true").run().await;
    assert!(matches!(refused, Err(DrillError::Unusable(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
    Ok(())
}
