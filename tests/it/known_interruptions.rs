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
//! The last answer before came at most one probe period before the stop, and the first after it is of a probe that was waiting:
//! measured is never less than the truth, and never more by a period and the time of that answer.

use std::{
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

use crate::{
    share::share,
    support::{alone, drill},
};

/// Pauses, milliseconds.
const PAUSES_MS: [u64; 4] = [500, 1_000, 3_000, 10_000];
/// An answer takes a while, longest where all that waited is answered at once and some of it had yet to log in.
const ANSWER_S: f64 = 0.2;
/// Tried at most so often: a machine that is busy with something else answers late, which lengthens an interruption in truth.
const TRIES: usize = 3;

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
    let finished = drill.run().await?;
    Ok((finished, stopping.await??))
}

/// One pause, measured.
struct Measured {
    truth: Truth,
    resolution_s: f64,
    /// Of rows and files, reads and writes.
    each: Vec<f64>,
    is_clean: bool,
    told: String,
}

impl Measured {
    fn of(finished: &Finished, truth: Truth) -> Self {
        let end = finished.measures.events.last().expect("every run has an end");
        let gaps: Vec<_> = end.interruption.each().into_iter().map(|(_, gap)| gap).collect();
        let is_whole = gaps.iter().all(|gap| gap.is_some_and(|gap| !gap.censored && !gap.examiner_stalled));
        Self {
            truth,
            resolution_s: end.interruption.resolution_s,
            each: gaps.into_iter().flatten().map(|gap| gap.seconds).collect(),
            is_clean: is_whole && finished.verdict() == Verdict::Held,
            told: finished.human(),
        }
    }

    fn longest(&self) -> f64 {
        self.each.iter().copied().fold(0.0, f64::max)
    }

    fn shortest(&self) -> f64 {
        self.each.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Told as shorter than it was: that must not be, however busy the machine.
    fn is_under_told(&self) -> bool {
        self.shortest() < self.truth.seconds - self.truth.unsure_s
    }

    /// Within one probe period, for whom the answer costs next to nothing; with that, for everybody.
    fn is_right(&self) -> bool {
        let longer = |gap: f64| gap - self.truth.seconds - self.truth.unsure_s - self.resolution_s;
        self.is_clean && longer(self.shortest()) <= 0.0 && longer(self.longest()) <= ANSWER_S
    }

    fn row(&self) -> String {
        let (actual, longest) = (self.truth.seconds, self.longest());
        format!(
            "{actual:>7.4} s   {longest:>7.4} s   {:>+8.4} s   {:>8.3} s   {:.3?}\n",
            longest - actual,
            self.resolution_s,
            self.each
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interruptions_of_known_length_are_measured_within_a_probe_period() -> anyhow::Result<()> {
    let _turn = alone().await;
    let mut table = "actual      measured    difference   resolution   each access\n".to_owned();
    let mut wrong = Vec::new();
    for pause_ms in share("known interruptions, ms", &PAUSES_MS, 2) {
        let mut last = None;
        for _ in 0..TRIES {
            let (finished, truth) = run(pause_ms).await?;
            let measured = Measured::of(&finished, truth);
            table.push_str(&measured.row());
            assert!(!measured.is_under_told(), "{table}\n{}", measured.told);
            let is_right = measured.is_right();
            last = Some(measured);
            if is_right {
                break;
            }
        }
        wrong.extend(last.filter(|measured| !measured.is_right()).map(|measured| measured.told));
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
    Ok(())
}
