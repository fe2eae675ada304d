//! `run --trials`: each scenario again and again; a line of progress for each trial, and statistics at the end.

use std::{io, thread::available_parallelism, time::Instant};

use super::{
    args::{Run, RunFormat},
    entry::{colour, complain, print, print_json, print_line},
    exit::Exit,
    log::RunLog,
    progress,
    run::{Selected, interrupt, write_junit},
};
use crate::{
    conduct::{
        DrillError, Trials,
        trials::{Ended, carried},
    },
    os::files,
    report::{
        Report, Style,
        trials::{Statistics, human},
    },
};

/// Runs so many trials of each.
pub(super) async fn run(selected: Vec<Selected>, count: u32, arguments: &Run, logs: &RunLog) -> Exit {
    let several = selected.len() > 1;
    let at_once = side_by_side(arguments.at_once);
    let (mut exit, mut all, mut reports) = (Exit::Held, Vec::new(), Vec::new());
    for Selected { drill, named } in selected {
        let drill = drill.show(progress::line);
        let trials = Trials::of(drill, count).at_once(at_once).named(named);
        let mut seen = Seen { exit: Exit::Held, reports: Vec::new() };
        let ended = one(trials, count, arguments.format, logs, &mut seen).await;
        exit = exit.and(seen.exit);
        reports.append(&mut seen.reports);
        match ended {
            Ok(statistics) => {
                exit = exit.and(shown(&statistics, arguments.format));
                let interrupted = statistics.interrupted;
                all.push(statistics);
                if interrupted {
                    exit = exit.and(Exit::Interrupted);
                    break;
                }
            }
            Err(error) => {
                complain(&error.to_string());
                exit = exit.and(Exit::from(&error));
            }
        }
    }
    if let Some(file) = &arguments.junit {
        exit = exit.and(write_junit(file, &reports));
    }
    if arguments.format == RunFormat::Json {
        exit = exit.and(match &all[..] {
            [one] if !several => print_json(one),
            all => print_json(&all),
        });
    }
    exit
}

/// As many at once as was asked for, but no more than there are processors: more than that hold one another up, and a
/// trial whose examiner is held up is inconclusive.
fn side_by_side(asked: Option<u32>) -> u32 {
    let processors = available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()).unwrap_or(1);
    match asked {
        Some(asked) if asked > processors => {
            progress::line(&format!(
                "{asked} trials at once would hold one another up on {processors} processors (a drill of 100/s keeps 1.25 busy): \
                 {processors} at once"
            ));
            processors
        }
        Some(asked) => asked,
        None => carried(processors),
    }
}

/// What the trials of one scenario have brought so far.
struct Seen {
    exit: Exit,
    reports: Vec<Report>,
}

async fn one(
    trials: Trials,
    count: u32,
    format: RunFormat,
    logs: &RunLog,
    seen: &mut Seen,
) -> Result<Statistics, DrillError> {
    let folder = trials.folder().join("logs");
    let log = files::private_folder(&folder).and_then(|()| logs.open(&folder.join("geodrill.ndjson")));
    log.map_err(|error| DrillError::Failed(format!("{}: {error}", folder.display())))?;
    let (name, seed, results) = (trials.plan().name.clone(), trials.seed(), trials.folder().display().to_string());
    progress::line(&format!("{name}: {count} trials, seed {seed}"));
    let interrupts = tokio::spawn(interrupt(trials.cancel()));
    let began = Instant::now();
    let ended = trials
        .run(|ended| {
            let Ended { number, seed, result, left } = ended;
            let outcome = match result {
                Ok(report) => {
                    seen.exit = seen.exit.and(report.verdict.into());
                    if format == RunFormat::Ndjson {
                        seen.exit = seen.exit.and(print_line(report));
                    }
                    seen.reports.push(report.clone());
                    let why = report.reasons.first().map(|why| format!(": {why}")).unwrap_or_default();
                    format!("{}{why}", report.verdict)
                }
                Err(error) => {
                    seen.exit = seen.exit.and(Exit::from(error));
                    format!("no report: {error}")
                }
            };
            if !left.is_empty() {
                seen.exit = seen.exit.and(Exit::CleanUpIncomplete);
                complain(&format!("left behind by trial {number}: {}", left.join("; ")));
            }
            let elapsed_s = began.elapsed().as_secs_f64();
            progress::line(&format!("  {elapsed_s:>7.1} s  trial {number} of {count} (seed {seed}): {outcome}"));
        })
        .await;
    interrupts.abort();
    if ended.is_ok() {
        progress::line(&format!("results: {results}"));
    }
    ended
}

fn shown(statistics: &Statistics, format: RunFormat) -> Exit {
    match format {
        RunFormat::Human => print(&human(statistics, Style { colour: colour(&io::stdout()), ..Style::PLAIN })),
        RunFormat::Ndjson => print_line(statistics),
        RunFormat::Json => Exit::Held,
    }
}
