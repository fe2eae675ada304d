//! Appends to the ledger, as durable as it promises: a call returns once the record is with the kernel, the disk gets
//! groups of records about every second, and the close waits for the last. Creating the ledger is not measured, its close is.
//!
//! The ledger lies where those of runs do, so this also tells what that disk can do.

use std::time::{Duration, Instant};

use criterion::Criterion;
use geodrill::{
    ledger::Writer,
    model::{
        RunTime, Token,
        operation::{EnvironmentIndex, FileAck, FileIntent, Intent, Lane, OpKind, Outcome, Side, Told},
        token::Seen,
    },
};

#[path = "support/grouped.rs"]
mod grouped;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/mod.rs"]
mod support;

use grouped::grouped;
use scratch::Scratch;
use support::{median, table};

/// Intents handed over at once by the last measurement.
const BATCH: usize = 64;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let scratch = Scratch::new("ledger");
    let mut rows = Vec::new();
    let mut count = 0;
    let mut fresh = || {
        count += 1;
        Writer::create(&scratch.path().join(format!("{count}"))).expect("a new ledger")
    };

    let mut measure = |name: &str, what: &str, records: u64, append: &dyn Fn(&Writer, u64)| {
        let mut per_s = Vec::new();
        criterion.bench_function(&format!("ledger/{name}"), |bencher| {
            bencher.iter_custom(|times| {
                let writer = fresh();
                let began = Instant::now();
                append(&writer, times);
                writer.close().expect("everything is on the disk");
                let took = began.elapsed();
                per_s.push((times * records) as f64 / took.as_secs_f64());
                took
            });
        });
        let per_s = median(&per_s);
        rows.push([what.to_owned(), format!("{:.2} µs", 1e6 / per_s), grouped(per_s)]);
    };

    measure("operation", "intent and outcome, one thread", 2, &|writer, times| operations(writer, 1, times));
    measure("threads", "the same, 8 threads", 16, &|writer, times| {
        std::thread::scope(|scope| {
            for stream in 1..=8 {
                scope.spawn(move || operations(writer, stream, times));
            }
        });
    });
    measure("batch", "intents, 64 a call", BATCH as u64, &|writer, times| {
        let mut batch: Vec<Intent> = (0..BATCH as u32).map(|sequence| intent(1, sequence)).collect();
        for _ in 0..times {
            writer.intents(&batch).expect("appended");
            batch.iter_mut().for_each(|intent| intent.token.sequence += BATCH as u32);
        }
    });
    table(
        "Appends to the ledger until it is on the disk, medians",
        ["what", "a record takes", "records a second"],
        rows,
    );
    criterion.final_summary();
}

fn operations(writer: &Writer, stream: u32, times: u64) {
    for sequence in 0..times as u32 {
        writer.intent(&intent(stream, sequence)).expect("appended");
        writer.outcome(&outcome(stream, sequence)).expect("appended");
    }
}

fn token(stream: u32, sequence: u32) -> Token {
    Token { run: 7, stream, sequence, epoch: 0 }
}

/// Every tenth carries an object, as in the load of a scenario that says nothing of it.
fn has_file(sequence: u32) -> bool {
    sequence.is_multiple_of(10)
}

fn intent(stream: u32, sequence: u32) -> Intent {
    let sha256 = "0123456789abcdef".repeat(4);
    let object_key = format!("0f0e0d0c-0b0a-4908-8706-050403020100/{sha256}").into();
    let file = FileIntent { object_key, sha256: sha256.into(), bytes: 4096 };
    Intent {
        token: token(stream, sequence),
        environment: EnvironmentIndex(0),
        sent: RunTime(u64::from(sequence) * 10_000_000),
        kind: OpKind::Create,
        lane: Lane::Writer(1),
        key: format!("own-{stream:06x}-{sequence:x}").into(),
        contended: false,
        file: has_file(sequence).then(|| Box::new(file)),
        transfer: None,
    }
}

fn outcome(stream: u32, sequence: u32) -> Outcome {
    let at = RunTime(u64::from(sequence) * 10_000_000 + 3_000_000);
    let file_acked = FileAck { at, version_id: "8a7b6c5d-4e3f-4a1b-8c9d-0e1f2a3b4c5d".into() };
    Outcome {
        token: token(stream, sequence),
        at,
        file_acked: has_file(sequence).then(|| Box::new(file_acked)),
        told: Told::Ok { side: Some(Side(0)), local_only: false, found: Some(Seen::Token(token(stream, sequence))) },
    }
}
