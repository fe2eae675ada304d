//! Trials of one scenario on real servers, and steps that wait for what the examiner itself measures.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::Duration,
};

use geodrill::{
    conduct::{Drill, Finished, Trials, folder::RunFile},
    ledger,
    model::{
        RunTime,
        event::{Event, RunPhase, What},
        operation::Lane,
        plan::StepState,
        verdict::Verdict,
    },
    os::files,
    report::trials::Statistics,
    scenario,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{stage::Stage, support::drill, turn::alone};

/// Two faults, each at a moment of its own in every trial.
const SHORT: &str = r#"geodrill: 1
name: short
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 30/s, writers: 3, warm_up: 500ms, settle: 500ms, min_acked: 10 }
timeline:
  - { id: slow, for: 300ms, inject: { link.latency: { link: "edge -> east / sql", latency: 150ms } } }
  - { id: thin, for: 300ms, inject: { link.latency: { link: "edge -> east / files", latency: 150ms } } }
  - { id: over, pause: 500ms }
expect:
  - { measure: loss.operations, at_most: 0 }
"#;
const SEED: u64 = 7;

fn events(folder: &Path) -> Vec<Event> {
    let text = fs::read_to_string(folder.join("events.ndjson")).expect("a run keeps its events");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

fn run_file(folder: &Path) -> RunFile {
    files::read_json(&folder.join("run.json")).expect("a run keeps its plan")
}

/// The phase of each fault, in the order of the plan.
fn phases(run: &RunFile) -> Vec<Duration> {
    run.plan.steps().map(|step| step.phase).filter(|phase| !phase.is_zero()).collect()
}

fn phase_began(events: &[Event], wanted: RunPhase) -> RunTime {
    let at = events.iter().find(|event| matches!(event.what, What::Phase(phase) if phase == wanted));
    at.expect("every run has this phase").at
}

fn started(events: &[Event], step: &str) -> RunTime {
    let is_start =
        |event: &&Event| matches!(&event.what, What::Step { id, state: StepState::Started, .. } if id == step);
    events.iter().find(is_start).expect("it was taken").at
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_meet_the_platform_at_moments_of_their_own_and_one_is_repeated_alone() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let place = tempfile::tempdir().expect("a folder");
    let (file, out) = (place.path().join("short.yaml"), place.path().join("out"));
    fs::write(&file, SHORT).expect("written");
    let (file, out_text) = (file.display().to_string(), out.display().to_string());
    let run = ["run", &file, "--trials", "2", "--at-once", "2", "--seed", "7", "--out", &out_text, "--format", "json"];
    let (code, printed, told) = stage.call(&run);
    assert_eq!(code, 0, "{printed}{told}");
    let statistics: Statistics = files::read_json(&out.join("trials.json")).expect("statistics are kept");
    assert_eq!(serde_json::from_str::<Statistics>(&printed).expect("JSON alone"), statistics);
    assert_eq!((statistics.trials.len(), statistics.verdicts.held, statistics.interrupted), (2, 2, false), "{told}");
    assert!(statistics.guarantees.iter().all(|row| row.verdicts.sum() == 2), "{printed}");
    let loss = statistics.guarantees.iter().find(|row| row.id == "loss.operations").expect("it was asked for");
    let rate = loss.failure_rate.expect("zero is a matter of yes or no");
    assert_eq!((loss.verdicts.held, rate.trials, rate.failures), (2, 2, 0), "{printed}");
    assert!((rate.at_most - (1.0 - 0.05_f64.sqrt())).abs() < 1e-12, "{rate:?}");

    let mut drawn = Vec::new();
    for trial in &statistics.trials {
        let folder = out.join(format!("trial-{}", trial.number));
        assert_eq!(trial.folder.as_deref(), Some(&*folder.display().to_string()));
        let (run, events) = (run_file(&folder), events(&folder));
        assert_eq!(trial.seed, scenario::trial_seed(SEED, trial.number));
        assert_eq!((run.seed, run.phase_seed), (trial.seed, Some(trial.seed)));
        let phases = phases(&run);
        assert_eq!(phases.len(), trial.phases_s.len());
        // What was drawn is what was waited.
        let waited = started(&events, "slow").since(phase_began(&events, RunPhase::Timeline));
        assert!(waited >= phases[0] && waited < phases[0] + Duration::from_millis(500), "{waited:?} {phases:?}");
        println!("trial {}: phases {phases:.3?}, the first was begun after {waited:.3?}", trial.number);
        drawn.push(phases);
    }
    assert_ne!(drawn[0], drawn[1]);

    let first = &statistics.trials[0];
    let mut words: Vec<&str> = first.repeat.split(' ').skip(1).collect();
    let alone = place.path().join("alone").display().to_string();
    words.extend(["--out", &alone]);
    stage.expect(0, &words);
    let (again, run) = (run_file(Path::new(&alone)), run_file(&out.join("trial-1")));
    assert_eq!((again.plan, again.seed), (run.plan, run.seed), "{}", first.repeat);
    stage.wait_until_empty("trials and one of them again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_ends_the_trial_that_runs_and_tells_of_those_before() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("short.yaml");
    fs::write(&file, SHORT).expect("written");
    let mut command = stage.command();
    command.arg("run").arg(&file).args(["--trials", "3", "--at-once", "1", "--format", "ndjson"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let first = lines.by_ref().find(|line| line.contains("trial 1 of 3")).expect("a line for each trial");
    // Into the next one, while it deploys or loads.
    std::thread::sleep(Duration::from_secs(3));
    kill(Pid::from_raw(i32::try_from(run.id()).expect("a pid")), Signal::SIGINT).expect("it runs");
    let rest: Vec<String> = lines.collect();
    let output = run.wait_with_output().expect("it ends");
    let told = format!("{first}\n{}", rest.join("\n"));
    assert_eq!(output.status.code(), Some(130), "{told}");
    stage.wait_until_empty("interrupted trials");
    let printed = String::from_utf8_lossy(&output.stdout);
    let [report, last] = printed.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {printed}\n{told}") };
    assert!(report.contains(r#""schema":"geodrill.report/1""#), "{report}");
    let statistics: Statistics = serde_json::from_str(last).expect("statistics come last");
    assert_eq!((statistics.asked, statistics.trials.len(), statistics.interrupted), (3, 1, true), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_cannot_start_is_inconclusive_and_not_dropped() -> anyhow::Result<()> {
    let _turn = alone().await;
    let place = tempfile::tempdir()?;
    let text = Drill::from_text("short.yaml", SHORT, place.path())?;
    let trials = Trials::of(text.role_binary("/bin/true").out(place.path().join("out")), 2);
    let statistics = trials.run(|ended| assert!(ended.result.is_err())).await?;
    assert_eq!((statistics.verdict, statistics.verdicts.inconclusive), (Verdict::Inconclusive, 2));
    assert!(statistics.trials.iter().all(|trial| trial.reasons[0].contains("/bin/true")), "{statistics:#?}");
    Ok(())
}

/// A link that is let go once the lag behind it was measured, after so many writes.
const MEASURED: &str = r#"geodrill: 1
name: measured
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 30/s, writers: 3, warm_up: 1s, settle: 1s, min_acked: 10 }
timeline:
  - { id: counted, when: { count: { environment: sales, acked: 60 } }, within: 20s, pause: 0s }
  - { id: held-back, inject: { link.partition: { link: "east -> west / sql", mode: stall } } }
  - { id: let-go, when: { lag: { environment: sales, store: sql, at_least: 1s } }, within: 20s, heal: held-back }
expect:
  - { measure: loss.operations, at_most: 0 }
"#;

/// Writes of the writers that were acknowledged between two moments, by the ledger.
fn acked(finished: &Finished, from: RunTime, until: RunTime) -> usize {
    let history = ledger::read(&finished.folder.join("ledger")).expect("a run keeps its ledger");
    let acked = history.operations().filter(|(intent, outcome)| {
        let ok = outcome.filter(|outcome| outcome.told.is_ok()).map(|outcome| outcome.at);
        matches!(intent.lane, Lane::Writer(_)) && ok.is_some_and(|at| at >= from && at <= until)
    });
    acked.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_taken_once_what_they_wait_for_was_measured() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished =
        drill(Drill::from_text("measured.yaml", MEASURED, &std::env::temp_dir())?).run().await?.assert_held();
    let (told, events) = (finished.human(), events(&finished.folder));
    let steady = phase_began(&events, RunPhase::Timeline);
    let counted = acked(&finished, steady, started(&events, "counted"));
    // One more a writer may have come between the look and the event.
    assert!((60..=66).contains(&counted), "{counted} writes\n{told}");

    let fault = finished.report.faults.iter().find(|fault| fault.step == "held-back").expect("it was injected");
    let held_s = fault.healed_s.expect("it was healed") - fault.requested_s;
    let lags: Vec<(f64, f64)> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Lag { sql_s: Some(lag_s), .. } => Some((event.at.seconds(), lag_s)),
            _ => None,
        })
        .collect();
    let let_go_s = started(&events, "let-go").seconds();
    let (reached_s, _) = *lags.iter().find(|(_, lag_s)| *lag_s >= 1.0).expect("so much lag was measured");
    println!(
        "{counted} writes; lag of 1 s measured at {reached_s:.2} s, let go at {let_go_s:.2} s, held for {held_s:.2} s"
    );
    assert!(let_go_s >= reached_s && let_go_s < reached_s + 1.0, "{lags:?}\n{told}");
    assert!(held_s >= 0.8, "a lag of 1 s takes as long, but for a probe's period: {held_s}\n{told}");
    let lag = finished.report.lags.iter().find(|lag| lag.max_s >= 1.0).expect("the report has it too");
    assert!(lag.max_s < held_s + 1.0, "{lag:?}\n{told}");
    Ok(())
}
