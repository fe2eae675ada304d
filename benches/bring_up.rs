//! Bring-up: from nothing until everything is ready, and a whole small drill, on each testbed.
//!
//! Ready means what it means in any drill: two regions, witness and edge stand and have found one another, an environment
//! is deployed, and its first row and first object have been seen in the other region. The drill then loses a region
//! under load, is served from the other one, reads every store twice, and ends everything. The servers themselves are
//! there by then: finding or making them is not measured.
//!
//! Compose is measured beside native if this is built with `--features compose` and an engine answers.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use geodrill::{
    conduct::{Drill, DrillError},
    model::{
        event::{Event, RunPhase, What},
        testbed::TestbedName,
        verdict::Verdict,
    },
    testbed::{Equipped, setup::SetupMode},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

#[path = "support/args.rs"]
mod args;
#[path = "support/mod.rs"]
mod support;

use support::{median, table};

const ROUNDS: usize = 5;

const SCENARIO: &str = "\
geodrill: 1
name: bring-up
platform: { reference: { outage_grace: 1s } }
environments: [{ id: sales, kind: dataverse-production }]
workload: { rate: 25/s, writers: 4, warm_up: 2s, settle: 1s, min_acked: 20 }
timeline:
  - { id: outage, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 60s, pause: 0s }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales }
";

/// Seconds of one drill.
#[derive(Default)]
struct Took {
    /// Until the sites stand.
    stand: Vec<f64>,
    /// Until everything is ready.
    ready: Vec<f64>,
    /// Ending everything.
    end: Vec<f64>,
    /// The whole drill.
    whole: Vec<f64>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rounds = if args::is_test() { 1 } else { ROUNDS };
    runtime.block_on(async {
        let mut testbeds = Vec::new();
        for testbed in [TestbedName::Native, TestbedName::Compose] {
            if !args::is_wanted(&format!("bring_up/{testbed}")) {
                continue;
            }
            match Equipped::find(testbed, &|line: &str| println!("{line}"), SetupMode::Auto).await {
                Ok(_) => testbeds.push((testbed, Took::default())),
                Err(why) => println!("{testbed} is left out: {}", why.to_string().replace('\n', " ")),
            }
        }
        // Side by side, so that whatever else the machine does meets both.
        for round in 0..rounds {
            for (testbed, took) in &mut testbeds {
                if let Err(error) = one(*testbed, round as u64, took).await {
                    eprintln!("{testbed}: {error}");
                    std::process::exit(1);
                }
            }
        }
        let native = testbeds.first().map(|(_, took)| (median(&took.ready), median(&took.whole)));
        let rows = testbeds.iter().zip(native.into_iter().cycle()).map(|((testbed, took), native)| {
            let seconds = |figures: &[f64]| format!("{:.2} s", median(figures));
            let beside =
                |figures: &[f64], native: f64| format!("{} (× {:.2})", seconds(figures), median(figures) / native);
            [
                testbed.to_string(),
                seconds(&took.stand),
                beside(&took.ready, native.0),
                seconds(&took.end),
                beside(&took.whole, native.1),
            ]
        });
        let title = format!("Bring-up, and a whole small drill, medians of {rounds}");
        table(&title, ["testbed", "sites stand", "all is ready", "all is ended", "whole drill"], rows);
    });
}

async fn one(testbed: TestbedName, seed: u64, took: &mut Took) -> Result<(), DrillError> {
    let (listener, mut heard) = mpsc::unbounded_channel();
    let drill = Drill::from_text_on(testbed, "bring-up.yaml", SCENARIO, std::path::Path::new("."))?;
    let drill = drill.seed(seed).role_binary(env!("CARGO_BIN_EXE_geodrill")).listen(listener);
    let (folder, cancel) = (drill.folder().to_owned(), drill.cancel());
    let began = Instant::now();
    let mut run = pin!(drill.run());
    let finished = tokio::select! {
        finished = &mut run => finished,
        // Ctrl-C ends the drill in order; a SIGKILL leaves that to the run's guardian.
        () = interrupted() => {
            cancel.cancel();
            run.await
        }
    };
    let whole = began.elapsed();
    let removed = std::fs::remove_dir_all(&folder);
    let finished = finished?;
    removed.map_err(|error| DrillError::Failed(format!("{}: {error}", folder.display())))?;
    assert!(finished.left.is_empty(), "left behind: {:?}", finished.left);
    let mut events = Vec::new();
    while let Ok(event) = heard.try_recv() {
        events.push(event);
    }
    let between = |from, to| phase(&events, to).saturating_sub(phase(&events, from)).as_secs_f64();
    took.stand.push(between(RunPhase::Start, RunPhase::Deploy));
    took.ready.push(between(RunPhase::Start, RunPhase::WarmUp));
    took.end.push(between(RunPhase::CleanUp, RunPhase::Judge));
    took.whole.push(whole.as_secs_f64());
    let said = if finished.verdict() == Verdict::Held { String::new() } else { format!(", {}", finished.verdict()) };
    println!(
        "bring_up/{testbed}: ready in {:.2} s, whole {:.2} s{said}",
        took.ready[took.ready.len() - 1],
        whole.as_secs_f64()
    );
    Ok(())
}

/// When a phase began.
fn phase(events: &[Event], wanted: RunPhase) -> Duration {
    let began = |event: &&Event| matches!(event.what, What::Phase(phase) if phase == wanted);
    events.iter().find(began).map_or(Duration::ZERO, |event| Duration::from_nanos(event.at.0))
}

async fn interrupted() {
    let told = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = told else { return std::future::pending().await };
    tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
}
