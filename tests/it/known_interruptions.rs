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
//! effect. Nobody is served again by the second signal: that takes an answer, and who has to log in first, beside everybody else who
//! has waited, gets it some hundredths of a second later. So an access was interrupted from the first signal until it had its first
//! answer after the second, as the ledger tells of it, fresh and long-lived connections each by itself. The figure is the drill's, of
//! the run's `end`, the longer of both. It begins at the last answer before the stop, which came at most one probe period before it:
//! so it is never less than the truth, and never more by a period.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use geodrill::{
    conduct::{Drill, Finished},
    ledger::{self, History},
    model::{
        RunTime,
        event::{Event, RunPhase, What},
        operation::{Access, Connection, Lane, Store},
        verdict::Verdict,
    },
    os::{inventory, process::Identity},
};
use nix::sys::signal::Signal;
use tokio::sync::mpsc;

use crate::{share::share, support::drill, turn::alone};

/// Pauses, milliseconds.
const PAUSES_MS: [u64; 4] = [500, 1_000, 3_000, 10_000];
/// The first answer takes no longer, though all that waited is answered at once and some of it has yet to log in.
const ANSWER_S: f64 = 0.2;
/// How far the run's clock and this test's may be apart, once they were compared, and how late a probe may be that nobody calls late.
const CLOCKS_S: f64 = 0.01;
/// Every kind of access, in the order in which they are measured.
const ACCESSES: [(Store, Access); 4] = [
    (Store::Sql, Access::Write),
    (Store::Sql, Access::Read),
    (Store::Files, Access::Write),
    (Store::Files, Access::Read),
];
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

/// When the edge stood still, and how sure that is: between the two instants at which each signal took effect.
struct Truth {
    stopped: Instant,
    continued: Instant,
    unsure_s: f64,
}

impl Truth {
    fn seconds(&self) -> f64 {
        (self.continued - self.stopped).as_secs_f64()
    }
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
    Ok(Truth { stopped: stopped[0], continued: continued[0], unsure_s: (unsure[0] + unsure[1]).as_secs_f64() })
}

/// When the run's clock showed zero: an event is heard of after it happened, so the earliest of what each says is the nearest.
#[derive(Default)]
struct Zero(Option<Instant>);

impl Zero {
    fn hear(&mut self, event: &Event) {
        let zero = Instant::now().checked_sub(event.at.since(RunTime::ZERO));
        self.0 = self.0.min(zero).or(zero);
    }

    fn run_time(&self, instant: Instant) -> RunTime {
        RunTime::from_duration(instant - self.0.expect("a run has events"))
    }
}

async fn run(pause_ms: u64) -> anyhow::Result<Measured> {
    let (listener, mut events) = mpsc::unbounded_channel();
    let drill = drill(Drill::from_text("known.yaml", &text(pause_ms), &std::env::temp_dir())?).listen(listener);
    let folder = drill.folder().to_owned();
    let stopping = tokio::spawn(async move {
        let mut zero = Zero::default();
        while let Some(event) = events.recv().await {
            zero.hear(&event);
            if event.what == What::Phase(RunPhase::Timeline) {
                let stop = move || {
                    // Not in step with the probes.
                    thread::sleep(Duration::from_millis(517));
                    stop_edge(folder, Duration::from_millis(pause_ms))
                };
                return Ok((tokio::task::spawn_blocking(stop).await??, zero));
            }
        }
        anyhow::bail!("the drill had no timeline")
    });
    let finished = drill.run().await?;
    let (truth, zero) = stopping.await??;
    Measured::of(&finished, &truth, &zero)
}

/// One kind of access.
struct Accessed {
    what: &'static str,
    /// From the stop until the first answer after it, of the connections that had theirs last.
    truth_s: f64,
    measured_s: f64,
}

/// One pause, measured.
struct Measured {
    pause_s: f64,
    unsure_s: f64,
    resolution_s: f64,
    /// Of rows and files, reads and writes.
    each: Vec<Accessed>,
    is_clean: bool,
    told: String,
}

impl Measured {
    fn of(finished: &Finished, truth: &Truth, zero: &Zero) -> anyhow::Result<Self> {
        let end = finished.measures.events.last().expect("every run has an end");
        let history = ledger::read(&finished.folder.join("ledger"))?;
        let (stopped, continued) = (zero.run_time(truth.stopped), zero.run_time(truth.continued));
        let mut is_clean = finished.verdict() == Verdict::Held;
        let mut each = Vec::new();
        for ((what, gap), (store, access)) in end.interruption.each().into_iter().zip(ACCESSES) {
            let Some(gap) = gap else { anyhow::bail!("nobody asked for {what}") };
            is_clean &= !gap.censored && !gap.examiner_stalled;
            let answers = [Connection::Fresh, Connection::LongLived]
                .map(|connection| first_answer(&history, Lane::Probe { store, access, connection }, continued));
            let last = answers.into_iter().flatten().max().expect("somebody was answered");
            each.push(Accessed { what, truth_s: last.since(stopped).as_secs_f64(), measured_s: gap.seconds });
        }
        Ok(Self {
            pause_s: truth.seconds(),
            unsure_s: truth.unsure_s + CLOCKS_S,
            resolution_s: end.interruption.resolution_s,
            each,
            is_clean,
            told: finished.human(),
        })
    }

    /// Told as shorter than it was: that must not be, however busy the machine.
    fn is_under_told(&self) -> bool {
        self.each.iter().any(|one| one.measured_s < one.truth_s.max(self.pause_s) - self.unsure_s)
    }

    /// Within one probe period, and soon after the pause.
    fn is_right(&self) -> bool {
        let is_near = |one: &Accessed| {
            one.measured_s - one.truth_s <= self.resolution_s + self.unsure_s && one.truth_s - self.pause_s <= ANSWER_S
        };
        self.is_clean && self.each.iter().all(is_near)
    }

    fn rows(&self) -> String {
        let row = |one: &Accessed| {
            format!(
                "{:>7.4} s   {:<12} {:>7.4} s   {:>7.4} s   {:>+8.4} s   {:>8.3} s\n",
                self.pause_s,
                one.what,
                one.truth_s,
                one.measured_s,
                one.measured_s - one.truth_s,
                self.resolution_s
            )
        };
        self.each.iter().map(row).collect()
    }
}

/// When probes of this lane were first answered after that.
fn first_answer(history: &History, lane: Lane, after: RunTime) -> Option<RunTime> {
    let answers = history.operations().filter(|(intent, _)| intent.lane == lane).filter_map(|(_, outcome)| {
        let outcome = outcome?;
        match &outcome.file_acked {
            Some(acked) => Some(acked.at),
            None => outcome.told.is_ok().then_some(outcome.at),
        }
    });
    answers.filter(|at| *at >= after).min()
}

#[tokio::test(flavor = "multi_thread")]
async fn interruptions_of_known_length_are_measured_within_a_probe_period() -> anyhow::Result<()> {
    let _turn = alone().await;
    let mut table = "pause       access       interrupted   measured   difference   resolution\n".to_owned();
    let mut wrong = Vec::new();
    for pause_ms in share("known interruptions, ms", &PAUSES_MS, 2) {
        let mut last = None;
        for _ in 0..TRIES {
            let measured = run(pause_ms).await?;
            table.push_str(&measured.rows());
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
