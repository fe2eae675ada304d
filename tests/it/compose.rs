//! What only the Compose testbed has: containers, networks and volumes that must go, an engine that may be missing, and a stack
//! that people bring up by hand. Drills on it are the shipped ones, with `GEODRILL_TESTBED=compose`.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use geodrill::{
    conduct::Drill,
    model::{measure::EventKind, testbed::TestbedName},
};

use crate::{
    stage::{GONE_WITHIN, Stage},
    support::{drill, program},
    turn::alone,
};

const SCENARIO: &str = r#"
geodrill: 1
name: short
platform: { reference: { outage_grace: 1s } }
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 20/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 10 }
timeline:
  - { id: outage, when: { at: 1s }, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 1s }
expect: [ { guarantee: dataverse.unplanned.switched, environment: sales } ]
"#;

/// How long such a run takes, about.
const COURSE_MS: u64 = 40_000;

fn start(stage: &Stage) -> Child {
    let file = stage.runs().with_file_name("short.yaml");
    std::fs::write(&file, SCENARIO).expect("written");
    let mut run = stage.command();
    run.args(["run", "--testbed", "compose"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.spawn().expect("the program starts")
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("docker is there");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Containers, networks and volumes of this stage's runs.
fn things(stage: &Stage) -> Vec<String> {
    let runs = stage.folders();
    let names: Vec<String> =
        runs.iter().filter_map(|run| Some(run.file_name()?.to_string_lossy().into_owned())).collect();
    let lists = [
        docker(&["ps", "--all", "--format", "{{.Names}}"]),
        docker(&["network", "ls", "--format", "{{.Name}}"]),
        docker(&["volume", "ls", "--format", "{{.Name}}"]),
    ];
    let all = lists.iter().flat_map(|list| list.lines()).filter(|thing| names.iter().any(|name| thing.contains(name)));
    all.map(str::to_owned).collect()
}

#[track_caller]
fn wait_until_gone(stage: &Stage, what: &str) -> Duration {
    let began = Instant::now();
    loop {
        let left = (things(stage), stage.processes());
        if left.0.is_empty() && left.1.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < GONE_WITHIN, "{what}: left after {GONE_WITHIN:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_containers_is_entered_broken_switched_and_ended() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let said = stage.expect(0, &["up", "--testbed", "compose", "--name", "boxes", "--load", "10/s"]);
    let enter = said.lines().find_map(|line| line.trim().strip_prefix("sales rows")).expect("how to enter");
    let ask = |what: &str| {
        let line = format!("{} -Atc '{what}'", enter.trim());
        let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    };
    assert_eq!(ask("SELECT count(*) > 0 FROM geodrill_data"), "t");
    let seen = stage.expect(0, &["status"]);
    for wanted in ["boxes", "sales", "region east", "region west", "load: 10/s"] {
        assert!(seen.contains(wanted), "no {wanted} in:\n{seen}");
    }
    // What a container can do and a process cannot is allowed here.
    let injected = stage.expect(0, &["inject", "network.disconnect: {process: \"west / compute\"}", "--for", "1s"]);
    assert!(injected.contains("fault-1"), "{injected}");
    let lost = stage.expect(0, &["inject", "region.outage: {region: east}"]);
    assert!(lost.contains("region.outage east"), "{lost}");
    let since = Instant::now();
    while ask("SELECT 1") != "1" {
        assert!(since.elapsed() < Duration::from_secs(60), "nobody answers after the failover");
        std::thread::sleep(Duration::from_millis(200));
    }
    let down = stage.expect(0, &["down"]);
    assert!(down.contains("lab boxes is ended"), "{down}");
    assert_eq!(things(&stage), Vec::<String>::new());
    assert!(stage.standing().is_empty() && stage.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sigkill_no_container_network_or_volume_is_left() {
    let _turn = alone().await;
    let kills = number("GEODRILL_KILLS").unwrap_or(2);
    for round in 0..kills {
        let stage = Stage::set().await;
        let moment = Duration::from_millis(rand::random::<u64>() % COURSE_MS);
        let mut run = start(&stage);
        std::thread::sleep(moment);
        let there = things(&stage).len();
        run.kill().expect("it may be killed");
        run.wait().expect("it is collected");
        let gone = wait_until_gone(&stage, &format!("kill {round} after {moment:?}"));
        println!("kill {round} after {moment:?}: {there} containers, networks and volumes, gone after {gone:.1?}");
        assert!(stage.standing().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_everything_in_order() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let mut run = start(&stage);
    let began = Instant::now();
    while things(&stage).len() < 20 {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come up: {:?}", things(&stage));
        std::thread::sleep(Duration::from_millis(100));
    }
    let pid = nix::unistd::Pid::from_raw(run.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("sent");
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
    assert_eq!(things(&stage), Vec::<String>::new());
}

/// Both guardian and runner are killed: nobody is left to end the rest but the next call.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_without_a_guardian_clean_ends() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let mut run = start(&stage);
    let began = Instant::now();
    while things(&stage).len() < 24 {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come up: {:?}", things(&stage));
        std::thread::sleep(Duration::from_millis(100));
    }
    let guardian = stage.guardian().expect("it watches");
    guardian.signal(nix::sys::signal::Signal::SIGKILL).expect("it may be killed");
    run.kill().expect("it may be killed");
    run.wait().expect("it is collected");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!things(&stage).is_empty());
    let told = stage.expect(0, &["clean"]);
    assert!(told.contains("had lost its runner: ended"), "{told}");
    assert_eq!(things(&stage), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_start_is_told_with_its_last_words_and_nothing_is_left() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let file = stage.runs().with_file_name("short.yaml");
    std::fs::write(&file, SCENARIO).expect("written");
    // The roles' program knows nothing of MinIO's arguments, and says so.
    let wrong = role_image();
    let ran =
        stage.command().env("GEODRILL_MINIO_IMAGE", wrong).args(["run", "--testbed", "compose"]).arg(file).output();
    let (code, told) = said(&ran.expect("the program starts"));
    assert_eq!(code, Some(70), "{told}");
    assert!(told.contains("-files is not ready: it ended with exit code"), "{told}");
    assert_eq!(things(&stage), Vec::<String>::new());
}

/// The exit code and both outputs of a program.
pub fn said(output: &Output) -> (Option<i32>, String) {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

/// What is missing or too old is told in one message, with what to do; nothing is started.
#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_missing_is_told_with_what_to_do() {
    let stage = Stage::set().await;
    let tools = stage.runs().with_file_name("tools");
    let old = tools.join("old");
    let none = tools.join("none");
    let no_plugin = tools.join("no-plugin");
    for (folder, script) in [
        (&old, Some("echo 2.10.2")),
        (&no_plugin, Some("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")),
        (&none, None),
    ] {
        std::fs::create_dir_all(folder).expect("made");
        if let Some(script) = script {
            executable(&folder.join("docker"), &format!("#!/bin/sh\n{script}\n"));
        }
    }
    let run = |name: &str, value: &std::ffi::OsStr| {
        let mut command = stage.command();
        command.args(["run", "baseline", "--testbed", "compose", "--setup", "never"]).env(name, value);
        said(&command.output().expect("the program starts"))
    };
    let check = |(code, told): (Option<i32>, String), wanted: &[&str]| {
        assert_eq!(code, Some(64), "{told}");
        for text in wanted {
            assert!(told.contains(text), "`{text}` is missing in: {told}");
        }
    };
    check(run("PATH", none.as_os_str()), &["`docker` is not on PATH", "install Docker"]);
    check(run("PATH", old.as_os_str()), &["Docker Compose 2.10.2 is too old", "2.24 or newer"]);
    check(run("PATH", no_plugin.as_os_str()), &["has no Compose plugin", "2.24 or newer"]);
    check(
        run("DOCKER_HOST", "unix:///nowhere/docker.sock".as_ref()),
        &["no Docker engine answers at unix:///nowhere/docker.sock", "systemctl start docker"],
    );
    check(
        run("GEODRILL_MINIO_IMAGE", "nobody/has-this:1".as_ref()),
        &["the image nobody/has-this:1 is not here", "GEODRILL_MINIO_IMAGE names another one", "from-packages"],
    );
    assert!(stage.standing().is_empty());
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
}

/// A stack that is brought up by hand, as the README shows it, of these files.
struct ByHand(&'static [&'static str]);

impl ByHand {
    fn compose(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(["compose", "--project-name", "geodrill-by-hand-test"]);
        command.args(self.0.iter().flat_map(|file| ["--file", file])).args(arguments);
        // The roles run what was just compiled.
        command.env("GEODRILL_IMAGE", role_image()).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        command.output().expect("docker is there")
    }

    fn up(files: &'static [&'static str]) -> Self {
        let stack = Self(files);
        let up = stack.compose(&["up", "--detach", "--wait", "--wait-timeout", "240"]);
        assert!(up.status.success(), "{}", said(&up).1);
        stack
    }

    /// Whether something in a container can connect to an address.
    fn connects(&self, from: &str, to: &str) -> bool {
        let open = format!("exec 3<>/dev/tcp/{}", to.replace(':', "/"));
        self.compose(&["exec", "-T", from, "timeout", "2", "bash", "-c", &open]).status.success()
    }
}

/// What a statement answers in the environment of a stack by hand.
fn psql(port: u16, statement: &str) -> Result<String, String> {
    let url = format!("postgresql://auditor:for-trying-out-only@127.0.0.1:{port}/demo");
    let ran = Command::new("psql").args([&url, "-XAtc", statement]).output().expect("psql is there");
    let (code, told) = said(&ran);
    if code == Some(0) { Ok(told.trim().to_owned()) } else { Err(told) }
}

#[track_caller]
fn until(what: &str, look: &dyn Fn() -> Result<String, String>, wanted: &str) {
    let began = Instant::now();
    loop {
        let seen = look();
        if seen.as_deref() == Ok(wanted) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {seen:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "5"]);
    }
}

/// An image with the program under test.
fn role_image() -> String {
    let images = from_packages(&["--binary".as_ref(), program().as_os_str()]);
    images.into_iter().find(|(name, _)| name == "GEODRILL_IMAGE").expect("it names the image").1
}

/// The variables that choose the images made of packages, which are made if need be.
pub fn from_packages(arguments: &[&OsStr]) -> Vec<(String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images/from-packages");
    let built = Command::new(script).args(arguments).output().expect("it starts");
    assert!(built.status.success(), "{}", said(&built).1);
    let lines = String::from_utf8_lossy(&built.stdout).into_owned();
    let named = lines.lines().filter_map(|line| line.split_once('='));
    named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_by_hand_carries_a_row_and_a_file_from_east_to_west_and_nothing_else_crosses() {
    let _turn = alone().await;
    let stack = ByHand::up(&["docker-compose.yml"]);
    until("demo", &|| psql(21_071, "select pg_is_in_recovery()"), "t");
    psql(21_010, "create table hello (word text); insert into hello values ('from east')")
        .expect("east is the primary");
    until("the row", &|| psql(21_071, "select word from hello"), "from east");
    let mc = |arguments: &[&str]| {
        let mut command = Command::new(geodrill::testbed::setup::cache().join("bin/mc"));
        for (name, port) in [("east", 21_007), ("west", 21_068)] {
            command.env(format!("MC_HOST_{name}"), format!("http://auditor:for-trying-out-only@127.0.0.1:{port}"));
        }
        let (code, told) = said(&command.args(arguments).output().expect("mc is there"));
        if code == Some(0) { Ok(told.trim().to_owned()) } else { Err(told) }
    };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "from east").expect("written");
    mc(&["cp", "--quiet", &file.path().display().to_string(), "east/demo-files/hello.txt"]).expect("put");
    until("the file", &|| mc(&["cat", "west/demo-files/hello.txt"]), "from east");
    // Nothing but Toxiproxy is in two networks.
    assert!(!stack.connects("east-node", "10.213.200.206:21071"), "east reaches west's Postgres past every link");
    assert!(stack.connects("west-node", "links-between:21022"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_stack_by_hand_with_zones_another_zone_serves_for_one_that_is_killed() {
    let _turn = alone().await;
    let stack = ByHand::up(&["docker-compose.yml", "docker-compose.zones.yml"]);
    // Zone 1 of east, its zones 2 and 3, zone 1 of west.
    let (one, two, three, west) = (21_010, 21_079, 21_087, 21_071);
    let is_in_recovery = "select pg_is_in_recovery()";
    for port in [two, three, west] {
        until("demo", &|| psql(port, is_in_recovery), "t");
    }
    psql(one, "create table hello (word text); insert into hello values ('from zone 1')").expect("it is the primary");
    // Nothing but Toxiproxy is in two zones' networks, and there the same name is everybody's own link.
    assert!(!stack.connects("east-node", "10.213.201.13:21079"), "a zone reaches another's Postgres past every link");
    assert!(stack.connects("east-node", "east-2-files:21076") && stack.connects("east-3-node", "east-2-files:21076"));
    let names = "select application_name from pg_stat_replication where sync_state = 'sync'";
    let synchronous = || psql(one, names).map(|name| name.starts_with("east.zone-").to_string());
    until("a synchronous standby", &synchronous, "true");
    let next = if psql(one, names).is_ok_and(|name| name == "east.zone-2") { two } else { three };
    let killed = stack.compose(&["kill", "links-east", "east-node", "east-compute", "east-files"]);
    assert!(killed.status.success(), "{}", said(&killed).1);
    until("another zone", &|| psql(next, is_in_recovery), "f");
    assert_eq!(psql(next, "select word from hello").as_deref(), Ok("from zone 1"));
}

/// Several stacks share no port, address or name.
#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_stand_side_by_side() {
    let _turn = alone().await;
    let stages = [Stage::set().await, Stage::set().await];
    let mut runs = stages.iter().map(start).collect::<Vec<_>>();
    let began = Instant::now();
    while stages.iter().any(|stage| things(stage).len() < 24) {
        let there = stages.each_ref().map(things);
        assert!(began.elapsed() < Duration::from_secs(120), "they do not come up: {there:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    for run in &mut runs {
        let pid = nix::unistd::Pid::from_raw(run.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("sent");
    }
    for run in &mut runs {
        assert_eq!(run.wait().expect("it ends").code(), Some(130));
    }
    for stage in &stages {
        assert_eq!(things(stage), Vec::<String>::new());
    }
}

/// Faults that need containers: packets, the network of a host, a disk of its own.
const FAULTS: &str = r#"
geodrill: 1
name: container-faults
about: Every fault that only containers can have, one after another, each proven and healed; nothing may be lost.
platform: { reference: { outage_grace: 60s } }
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 20/s, writers: 3, warm_up: 2s, settle: 5s, min_acked: 50 }
timeline:
  - { id: lossy, for: 1s, inject: { packet.loss: { link: "east -> west / sql", share: 20%, seed: 7 } } }
  - { id: late, when: { step: lossy, is: healed }, for: 1s, inject: { packet.delay: { link: "west -> east / node", delay: 60ms, jitter: 10ms } } }
  - { id: overtaken, when: { step: late, is: healed }, for: 1s, inject: { packet.reorder: { link: "east -> west / files", share: 30%, by: 5ms } } }
  - { id: garbled, when: { step: overtaken, is: healed }, for: 1s, inject: { packet.corrupt: { link: "edge -> east / sql", share: 10% } } }
  - { id: blackhole, when: { step: garbled, is: healed }, for: 2s, inject: { packet.loss: { link: "east -> west / files", share: 100% } } }
  - { id: unplugged, when: { step: blackhole, is: healed }, for: 2s, inject: { network.disconnect: { process: west / files } } }
  - { id: files-full, when: { step: unplugged, is: healed }, for: 3s, inject: { disk.full: { process: west / files } } }
  - { id: sql-full, when: { step: files-full, is: healed }, for: 3s, inject: { disk.full: { process: west / postgres / sales } } }
  - { id: calm, when: { step: sql-full, is: healed }, within: 60s, pause: 5s }
expect:
  - { measure: loss.operations, at_most: 0 }
  - { measure: switches, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn packets_networks_and_disks_of_containers_fail_provably_and_are_healed() -> anyhow::Result<()> {
    let _turn = alone().await;
    let given = Drill::from_text_on(TestbedName::Compose, "container-faults.yaml", FAULTS, &std::env::temp_dir())?;
    let finished = drill(given).run().await?;
    let told = finished.human();
    for fault in &finished.report.faults {
        println!("{}: {}\n  {}\n  {:?}", fault.step, fault.target, fault.proof, fault.healing);
    }
    assert_eq!(finished.report.faults.len(), 8, "{told}");
    for fault in &finished.report.faults {
        assert!(!fault.unproven && fault.effective_s.is_some() && fault.healed_s.is_some(), "{fault:?}\n{told}");
    }
    finished.assert_held();
    Ok(())
}

/// Every fault of a zone. What serves the environment is moved by the first; the others take zones that serve nothing.
const ZONES: &str = r#"
geodrill: 1
name: container-zones
about: The zone that serves dies and is back, one of the other region is cut off, another hangs.
regions: { primary: east, secondary: west, zones: 3 }
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 5/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 5 }
timeline:
  - { id: killed, when: { at: 1s }, inject: { zone.outage: { region: east, zone: 1, how: kill } } }
  - { id: moved, when: { event: zone.completed, environment: sales }, within: 60s, pause: 1s }
  - { id: return, heal: killed, within: 90s }
  - { id: cut, for: 2s, inject: { zone.isolate: { region: west, zone: 3 } } }
  - { id: frozen, when: { step: cut, is: healed }, for: 2s, inject: { zone.outage: { region: west, zone: 2, how: freeze } } }
  - { id: calm, when: { step: frozen, is: healed }, within: 60s, pause: 1s }
expect: [ { guarantee: dataverse.zone.availability, environment: sales, step: killed } ]
"#;

/// Whether the drill is held is left open: on few processors the examiner is held up, and what it then measured proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_of_containers_is_killed_cut_off_and_frozen_provably_and_another_serves_for_it() -> anyhow::Result<()> {
    let _turn = alone().await;
    let given = Drill::from_text_on(TestbedName::Compose, "container-zones.yaml", ZONES, &std::env::temp_dir())?;
    let finished = drill(given).run().await?;
    let told = finished.human();
    assert_eq!(finished.report.faults.len(), 3, "{told}");
    for fault in &finished.report.faults {
        println!("{}: {}\n  {}\n  {:?}", fault.step, fault.target, fault.proof, fault.healing);
        assert!(!fault.unproven && fault.effective_s.is_some() && fault.healed_s.is_some(), "{fault:?}\n{told}");
    }
    let moved = finished.measures.events.iter().find(|event| event.kind == Some(EventKind::Zone));
    assert!(moved.is_some_and(|event| !event.phases.is_empty()), "no other zone has served\n{told}");
    Ok(())
}

#[test]
fn what_containers_alone_can_have_is_refused_elsewhere_with_its_reason() -> anyhow::Result<()> {
    let error = Drill::from_text_on(TestbedName::Native, "faults.yaml", FAULTS, &std::env::temp_dir()).err();
    let told = error.expect("refused").to_string();
    for fault in ["packet.loss", "packet.delay", "packet.reorder", "packet.corrupt", "network.disconnect", "disk.full"]
    {
        assert!(told.contains(&format!("the testbed `native` cannot do `{fault}`")), "{fault}\n{told}");
    }
    let skew = FAULTS.replace("packet.loss: { link: \"east -> west / sql\", share: 20%, seed: 7 }", "clock.skew: {}");
    let told = Drill::from_text_on(TestbedName::Compose, "skew.yaml", &skew, &std::env::temp_dir()).err();
    let told = told.expect("refused").to_string();
    assert!(told.contains("`compose` cannot do `clock.skew`") && told.contains("one clock"), "{told}");
    Ok(())
}
