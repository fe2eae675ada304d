//! SIGKILL of the runner, at any moment: ten seconds later no process, port or folder of ours is left but the run's.
//!
//! `GEODRILL_KILLS` says how many moments are tried (3 if it does not), `GEODRILL_KILL_SEED` repeats a series.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use geodrill::os::process::Identity;
use nix::sys::signal::Signal;

use crate::{
    stage::{GONE_WITHIN, Stage, listening, port_blocks},
    turn::alone,
};

/// A run with everything in it that could be left: a command of the scenario's own, a lost region, a switch.
const SCENARIO: &str = r#"
geodrill: 1
name: killed
regions: { processors: 0.9 }
platform: { reference: { outage_grace: 1s } }
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 30/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 20 }
timeline:
  - { id: own, exec: { command: [sleep, "1"] } }
  - { id: outage, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 1s }
expect: [ { guarantee: dataverse.unplanned.switched, environment: sales } ]
"#;

/// How long such a run takes, about: the moments are drawn from it.
const COURSE_MS: u64 = 11_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// SplitMix64, so that a seed means the same moments everywhere.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn start(stage: &Stage) -> Child {
    let file = stage.runs().with_file_name("killed.yaml");
    fs::write(&file, SCENARIO).expect("written");
    let mut run = stage.command();
    run.arg("run").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    run.spawn().expect("the program starts")
}

fn kill(run: &mut Child) {
    run.kill().expect("SIGKILL is sent");
    run.wait().expect("it is collected");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sigkill_at_any_moment_nothing_is_left_but_the_runs_folder() {
    let _turn = alone().await;
    let kills = number("GEODRILL_KILLS").unwrap_or(3);
    let seed = number("GEODRILL_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{kills} kills, seed {seed}");
    let mut state = seed;
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let moment = Duration::from_millis(draw(&mut state) % COURSE_MS);
        let stage = Stage::set().await;
        let mut run = start(&stage);
        std::thread::sleep(moment);
        let blocks = port_blocks(run.id());
        let before = stage.processes().len();
        let what = format!("seed {seed}, kill {round} after {moment:?} ({before} processes)");
        kill(&mut run);
        let gone = stage.wait_until_empty(&what);
        slowest = slowest.max(gone);
        assert_eq!(stage.cgroups(), Vec::<std::path::PathBuf>::new(), "{what}");
        println!("{what}: gone after {gone:.1?}");
        assert!(stage.folders().len() <= 1, "{what}: {:?}", stage.folders());
        assert_eq!(stage.standing(), Vec::<std::path::PathBuf>::new(), "{what}");
        for (lock, ports) in blocks {
            let file = File::open(&lock).expect("locks stay");
            // Somebody else may have taken the block by now; then what listens there is theirs.
            if file.try_lock().is_ok() {
                assert_eq!(listening(&ports), Vec::<u16>::new(), "{what}: {}", lock.display());
            }
        }
    }
    println!("{kills} kills, all clean, slowest {slowest:.1?}");
    let stage = Stage::set().await;
    let status = start(&stage).wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "the next run does not work");
    stage.wait_until_empty("a run that ended by itself");
}

/// Both guardian and runner are killed: nobody is left to end the rest but the next call.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_without_a_guardian_the_next_call_ends() {
    let _turn = alone().await;
    for command in [&["down", "--all"][..], &["clean"]] {
        let stage = Stage::set().await;
        let mut run = start(&stage);
        let lines = BufReader::new(run.stderr.take().expect("piped")).lines();
        let seen: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.contains("own started")).collect();
        let guardian = stage.guardian().unwrap_or_else(|| panic!("no guardian; {seen:?}"));
        guardian.signal(Signal::SIGKILL).expect("it may be killed");
        kill(&mut run);
        // Postgres outlives its node, and the scenario's command its runner.
        std::thread::sleep(Duration::from_millis(300));
        assert!(stage.processes().iter().any(|(_, line)| line.contains("postgres")), "{:?}", stage.processes());
        assert_eq!(stage.standing().len(), 1);
        let told = stage.expect(0, command);
        assert!(told.contains("had lost its runner: ended"), "{command:?}: {told}");
        assert!(stage.processes().is_empty(), "{command:?}: {:?}", stage.processes());
        assert!(stage.standing().is_empty());
        assert_eq!(stage.cgroups(), Vec::<std::path::PathBuf>::new(), "{command:?}");
        assert_eq!(stage.folders().len(), 1, "its evidence stays");
        assert!(stage.folders()[0].join("events.ndjson").exists());
        stage.expect(0, &["clean", "--all"]);
        assert!(stage.folders().is_empty());
    }
}

/// A guardian is not moved by what ends its runner, and leaves by itself when its run has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_outlives_signals_and_leaves_with_its_run() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let mut run = start(&stage);
    let lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("warming up")));
    let guardian = stage.guardian().expect("it watches");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        guardian.signal(signal).expect("sent");
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(guardian.is_alive(), "it gave in to a signal");
    let session = |process: Identity| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).expect("it runs");
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3).map(str::to_owned))
    };
    assert_eq!(session(guardian), Some(guardian.pid.to_string()), "it has a session of its own");
    lines.for_each(drop);
    assert_eq!(run.wait().expect("it ends").code(), Some(0));
    let began = Instant::now();
    while guardian.is_alive() {
        assert!(began.elapsed() < GONE_WITHIN, "it stays when its run has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}
