//! Verification of 10⁵, 10⁶ and 10⁷ operations: time, peak memory, and growth from size to size.
//!
//! What is measured is all that judging a finished run takes: [`geodrill::conduct::judge::examine`] in a process of its
//! own, which reads plan, events, ledger and readings from the folder and says measures, verdicts and report. The folders
//! come from [`generator`]; what the outage took from each is known, and every judgement must find exactly that. They
//! are read from the page cache, as a run that has just ended is.
//!
//! Ten million are judged once: it takes about ten times as long as a million, and its folder some 10 GB of disk.
//! `GEODRILL_BENCH_OPERATIONS_MAX` leaves sizes above it out.

use std::{
    hint::black_box,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode};
use geodrill::{
    conduct::{folder::Layout, judge},
    ledger,
};
use serde::{Deserialize, Serialize};

mod generator;
#[path = "../support/grouped.rs"]
mod grouped;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;

use generator::{Truth, generate};
use grouped::grouped;
use scratch::Scratch;
use support::{median, table};

const SEED: u64 = 20_260_101;
const SIZES: [u64; 3] = [100_000, 1_000_000, 10_000_000];
/// Larger runs are judged once.
const SAMPLED_MAX: u64 = 1_000_000;

/// Set for the process that judges: the folder.
const FOLDER: &str = "GEODRILL_BENCH_JUDGE";
/// Larger sizes are left out.
const OPERATIONS_MAX: &str = "GEODRILL_BENCH_OPERATIONS_MAX";

/// What a judging process has to say.
#[derive(Serialize, Deserialize)]
struct Judged {
    seconds: f64,
    ledger_s: f64,
    peak_mib: f64,
    lost_rows: u64,
    lost_objects: u64,
    /// Findings against integrity, and books that do not balance: none.
    wrong: Vec<String>,
}

fn main() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let judged = judge(Path::new(&folder));
        println!("{}", serde_json::to_string(&judged).expect("figures are JSON"));
        return;
    }
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let max = std::env::var(OPERATIONS_MAX).map_or(u64::MAX, |max| max.parse().expect(OPERATIONS_MAX));
    let mut rows: Vec<[String; 6]> = Vec::new();
    let mut before: Option<f64> = None;
    for size in SIZES.into_iter().filter(|size| *size <= max) {
        let scratch = Scratch::new("verify");
        let truth = generate(scratch.path(), size, SEED);
        let mut judged = Vec::new();
        if size > SAMPLED_MAX {
            println!("verify/{size}: judged once");
            judged.push(in_a_process(scratch.path(), truth));
        } else {
            let mut group = criterion.benchmark_group("verify");
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
            group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
            group.bench_function(size.to_string(), |bencher| {
                bencher.iter_custom(|times| {
                    let one = |_| {
                        judged.push(in_a_process(scratch.path(), truth));
                        Duration::from_secs_f64(judged.last().map_or(0.0, |judged| judged.seconds))
                    };
                    (0..times).map(one).sum()
                });
            });
            group.finish();
        }
        if judged.is_empty() {
            continue;
        }
        let of = |figure: fn(&Judged) -> f64| median(&judged.iter().map(figure).collect::<Vec<_>>());
        let seconds = of(|judged| judged.seconds);
        rows.push([
            grouped(size as f64),
            format!("{seconds:.2} s"),
            before.map_or_else(String::new, |before| format!("× {:.1}", seconds / before)),
            format!("{:.2} s", of(|judged| judged.ledger_s)),
            format!("{:.0} MiB", of(|judged| judged.peak_mib)),
            format!("{:.0} B", of(|judged| judged.peak_mib) * 1_048_576.0 / size as f64),
        ]);
        before = Some(seconds);
    }
    table(
        "Judging a run's folder, medians",
        ["operations", "whole", "growth", "of it, the ledger's reading", "peak memory", "an operation"],
        rows,
    );
    criterion.final_summary();
}

fn in_a_process(folder: &Path, truth: Truth) -> Judged {
    let own = std::env::current_exe().expect("this program has a path");
    let output = Command::new(own).env(FOLDER, folder).output().expect("this program can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let judged: Judged = serde_json::from_str(&text).expect("figures");
    let found = Truth { rows: judged.lost_rows, objects: judged.lost_objects };
    assert_eq!((found, &judged.wrong[..]), (truth, &[][..]));
    judged
}

fn judge(folder: &Path) -> Judged {
    let began = Instant::now();
    let (report, measures) = judge::examine(folder).expect("a run's folder");
    let seconds = began.elapsed().as_secs_f64();
    black_box(report);
    let peak_mib = peak_mib();
    let began = Instant::now();
    black_box(ledger::read(&Layout::new(folder).ledger()).expect("a ledger"));
    let ledger_s = began.elapsed().as_secs_f64();
    let found = measures.findings.iter().map(|finding| format!("{finding:?}"));
    let books = measures.books.iter().filter(|books| !books.balanced).map(|books| format!("{books:?}"));
    Judged {
        seconds,
        ledger_s,
        peak_mib,
        lost_rows: measures.events.iter().map(|event| event.sql.lost()).sum(),
        lost_objects: measures.events.iter().map(|event| event.files.lost()).sum(),
        wrong: found.chain(books).collect(),
    }
}

/// The most memory that this process has had resident.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}
