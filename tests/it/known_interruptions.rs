//! Interruptions of known length, measured.
//!
//! What is stopped is the edge, which every customer's connection passes and which holds nothing that can run out: while it is
//! stopped nobody is answered, and from the moment it goes on everybody is. A stopped compute would not do: its permits run out,
//! and after it wakes service is back only once it has renewed them, so the true interruption would be longer than the pause by
//! a time that only the compute knows. The platform's own processes do not talk through the edge, and the grace is long, so
//! nobody is failed over.
//!
//! Nobody gives up waiting, since the deadline is longer than every pause: clients who do come back with new connections, all at
//! once, and the time that these take is no part of the pause. For the same reason there is next to no load beside the probes:
//! what it could not send meanwhile it would send then.
//!
//! The truth is this test's own: its clock around the two signals, with the time that each took until the kernel showed its
//! effect. The figure is the drill's, of the run's `end`: the longest of all accesses, fresh and long-lived connections alike.
//! The last answer before came at most one probe period before the stop, and the first after it is of a probe that was waiting.

use std::{
    fmt::Write,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use geodrill::{
    conduct::{Drill, Finished},
    model::{
        event::{RunPhase, What},
        verdict::Verdict,
    },
    os::{inventory, process::Identity},
};
use nix::sys::signal::Signal;
use tokio::sync::mpsc;

use crate::support::{alone, drill, longest};

/// Pauses, milliseconds.
const PAUSES_MS: [u64; 4] = [500, 1_000, 3_000, 10_000];
/// An answer takes a while, longest where all that waited is answered at once and some of it had yet to log in.
const ANSWER_S: f64 = 0.2;

fn text(pause_ms: u64) -> String {
    format!(
        r#"
geodrill: 1
name: known-interruption
environments: [ {{ id: sales, kind: dataverse-production }} ]
platform: {{ reference: {{ outage_grace: 60s }} }}
workload: {{ rate: 1/s, writers: 1, probe_period: 50ms, deadline: 40s, warm_up: 2s, settle: 2s, min_acked: 5 }}
timeline:
  - {{ id: interrupted, pause: {}ms }}
expect:
  - {{ measure: switches, at_most: 0 }}
  - {{ measure: loss.operations, at_most: 0 }}
"#,
        pause_ms + 1_500
    )
}

/// How long the edge stood still, and how sure that is: between the two instants at which each signal took effect.
struct Truth {
    seconds: f64,
    unsure_s: f64,
}

/// Sends a signal and waits until the kernel shows its effect: the instants before and after.
fn signal(process: Identity, signal: Signal, is_done: impl Fn(Option<char>) -> bool) -> anyhow::Result<[Instant; 2]> {
    let before = Instant::now();
    process.signal(signal)?;
    while !is_done(process.state()) {
        anyhow::ensure!(before.elapsed() < Duration::from_secs(1), "{signal} had no effect on {process:?}");
    }
    Ok([before, Instant::now()])
}

/// Stops the edge for this long.
fn stop_edge(run: PathBuf, pause: Duration) -> anyhow::Result<Truth> {
    let processes = inventory::read(&run.join("edge"))?.processes;
    let edge = processes.iter().find(|entry| entry.service == "edge").and_then(|entry| Identity::of(entry.pid));
    let edge = edge.ok_or_else(|| anyhow::anyhow!("no edge runs in {}", run.display()))?;
    let stopped = signal(edge, Signal::SIGSTOP, |state| state == Some('T'))?;
    thread::sleep(pause.saturating_sub(stopped[0].elapsed()));
    let continued = signal(edge, Signal::SIGCONT, |state| state != Some('T'))?;
    let unsure = [stopped, continued].map(|[before, after]| after - before);
    Ok(Truth { seconds: (continued[0] - stopped[0]).as_secs_f64(), unsure_s: (unsure[0] + unsure[1]).as_secs_f64() })
}

async fn run(pause_ms: u64) -> anyhow::Result<(Finished, Truth)> {
    let (listener, mut events) = mpsc::unbounded_channel();
    let drill = drill(Drill::from_text("known.yaml", &text(pause_ms), &std::env::temp_dir())?).listen(listener);
    let folder = drill.folder().to_owned();
    let stopping = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if event.what == What::Phase(RunPhase::Timeline) {
                let stop = move || {
                    // Not in step with the probes.
                    thread::sleep(Duration::from_millis(517));
                    stop_edge(folder, Duration::from_millis(pause_ms))
                };
                return tokio::task::spawn_blocking(stop).await?;
            }
        }
        anyhow::bail!("the drill had no timeline")
    });
    let finished = drill.run().await?.assert(Verdict::Held);
    Ok((finished, stopping.await??))
}

#[tokio::test(flavor = "multi_thread")]
async fn interruptions_of_known_length_are_measured_within_a_probe_period() -> anyhow::Result<()> {
    let _turn = alone().await;
    let mut table = "actual      measured    difference   resolution   each access\n".to_owned();
    let mut wrong = Vec::new();
    for pause_ms in PAUSES_MS {
        let (finished, truth) = run(pause_ms).await?;
        let end = finished.measures.events.last().expect("every run has an end");
        let (measured, resolution) = (longest(end), end.interruption.resolution_s);
        let off = measured - truth.seconds;
        let each: Vec<f64> = end.interruption.each().into_iter().filter_map(|(_, gap)| Some(gap?.seconds)).collect();
        writeln!(
            table,
            "{:>7.4} s   {measured:>7.4} s   {off:>+8.4} s   {resolution:>8.3} s   {each:.3?}",
            truth.seconds
        )?;
        let is_right = off >= -truth.unsure_s && off <= resolution + truth.unsure_s + ANSWER_S;
        let is_clean = end.interruption.each().into_iter().all(|(_, gap)| {
            gap.is_some_and(|gap| {
                !gap.censored && !gap.examiner_stalled && gap.seconds >= truth.seconds - truth.unsure_s
            })
        });
        if !is_right || !is_clean {
            wrong.push(format!("{pause_ms} ms, unsure by {:.4} s:\n{}", truth.unsure_s, finished.human()));
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
    Ok(())
}
