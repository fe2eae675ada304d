//! `run`: selects scenarios, runs them one after another, prints what came out.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    args::{Run, RunFormat, Setup},
    entry::{colour, complain, print, print_json, print_line},
    exit::Exit,
    log::RunLog,
    progress::Progress,
    sweep::sweep,
    trials,
    validate::scenario_files,
};
use crate::{
    conduct::{Cancel, Drill, DrillError, Finished},
    model::testbed::TestbedName,
    os::{files, hold::hold},
    report::{self, Report, Style},
    scenario,
    testbed::setup::SetupMode,
};

/// A drill, as what it was named.
pub(super) struct Selected {
    pub(super) drill: Drill,
    pub(super) named: String,
}

/// Runs what was selected.
pub(super) async fn run(arguments: Run, logs: RunLog) -> Exit {
    let selected = match select(&arguments.scenarios, arguments.on.testbed) {
        Ok(selected) if selected.is_empty() => {
            let names: Vec<_> = scenario::shipped().into_iter().map(|scenario| scenario.name).collect();
            complain(&format!("nothing selected; name a file, a folder or a shipped scenario: {}", names.join(", ")));
            return Exit::NothingSelected;
        }
        Ok(selected) => selected,
        Err(mistakes) => {
            // Every file's mistakes at once, before anything is started.
            mistakes.iter().for_each(|mistake| complain(mistake));
            return Exit::Invalid;
        }
    };
    let several = selected.len() > 1;
    let mut exit = sweep().await;
    let prepared = selected.into_iter().map(|Selected { drill, named }| {
        let out = arguments.out.as_ref().map(|out| if several { out.join(&drill.plan().name) } else { out.clone() });
        Selected { drill: prepare(drill, out, &arguments), named }
    });
    if let Some(count) = arguments.trials {
        return exit.and(trials::run(prepared.collect(), count, &arguments, &logs).await);
    }
    let mut reports: Vec<Report> = Vec::new();
    for Selected { drill, .. } in prepared {
        match one(drill, &logs).await {
            Ok(finished) => {
                exit = exit.and(finished.verdict().into());
                if !finished.left.is_empty() {
                    exit = exit.and(Exit::CleanUpIncomplete);
                }
                match arguments.format {
                    RunFormat::Human => {
                        let style = Style { colour: colour(&io::stdout()), ..Style::PLAIN };
                        exit = exit.and(print(&report::human(&finished.report, style)));
                        super::progress::line(&format!("results: {}", finished.folder.display()));
                    }
                    RunFormat::Ndjson => exit = exit.and(print_line(&finished.report)),
                    RunFormat::Json => {}
                }
                reports.push(finished.report);
            }
            Err(error) => {
                complain(&error.to_string());
                exit = exit.and(Exit::from(&error));
                if matches!(error, DrillError::Interrupted) {
                    break;
                }
            }
        }
    }
    if several && arguments.format == RunFormat::Human {
        let style = Style { colour: colour(&io::stdout()), ..Style::PLAIN };
        exit = exit.and(print(&report::together(&reports, style)));
        exit = exit.and(print(&report::overview(&reports, style)));
    }
    if let Some(file) = &arguments.junit {
        exit = exit.and(write_junit(file, &reports));
    }
    if arguments.format == RunFormat::Json {
        exit = exit.and(match &reports[..] {
            [one] if !several => print_json(one),
            all => print_json(&all),
        });
    }
    exit
}

pub(super) fn write_junit(file: &Path, reports: &[Report]) -> Exit {
    let written = report::junit(reports).and_then(|text| {
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.and_then(|()| std::fs::write(file, text)).map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => Exit::Held,
        Err(why) => {
            complain(&format!("{}: {why}", file.display()));
            Exit::Internal
        }
    }
}

/// The drill as the command line wants it.
fn prepare(drill: Drill, out: Option<PathBuf>, arguments: &Run) -> Drill {
    let mode = match arguments.setup {
        Setup::Auto => SetupMode::Auto,
        Setup::Never => SetupMode::Never,
    };
    let mut drill = drill.setup(mode);
    if let Some(seed) = arguments.seed {
        drill = drill.seed(seed);
    }
    if let Some(seed) = arguments.phase_seed {
        drill = drill.phases(seed);
    }
    match out {
        Some(out) => drill.out(out),
        None => drill,
    }
}

async fn one(drill: Drill, logs: &RunLog) -> Result<Finished, DrillError> {
    let (listener, mut events) = mpsc::unbounded_channel();
    let mut progress = Progress::start(&drill.plan().name);
    let drill = drill.show(progress.printer()).listen(listener);
    let folder = drill.folder().join("logs");
    let log = files::private_folder(&folder).and_then(|()| logs.open(&folder.join("geodrill.ndjson")));
    let failed = |error: io::Error| DrillError::Failed(format!("{}: {error}", folder.display()));
    log.map_err(failed)?;
    // From now on: making the servers may take minutes, in which somebody else may clean.
    let _held = hold(drill.folder()).map_err(failed)?;
    let interrupts = tokio::spawn(interrupt(drill.cancel()));
    let shown = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            progress.show(&event);
        }
        progress.end();
    });
    let finished = drill.run().await;
    interrupts.abort();
    // The drill has dropped its end of the channel by now; an error would be a defect in showing, not in the result.
    shown.await.unwrap_or_default();
    finished
}

/// The first Ctrl-C (or SIGTERM) undoes everything and ends; undoing is bounded in time, so further ones change nothing.
pub(super) async fn interrupt(cancel: Cancel) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        super::progress::line("interrupted: ending everything that was started");
        cancel.cancel();
    }
}

fn select(names: &[String], testbed: TestbedName) -> Result<Vec<Selected>, Vec<String>> {
    let mut selected = Vec::new();
    let mut mistakes = Vec::new();
    for name in names {
        let is_path = name.contains('/') || name.contains('.') || Path::new(name).exists();
        let found: Vec<(String, Result<Drill, DrillError>)> = if is_path {
            let of = |file: &PathBuf| (file.display().to_string(), Drill::from_file_on(testbed, file));
            match scenario_files(Path::new(name)) {
                Ok(files) => files.iter().map(of).collect(),
                Err(error) => vec![(name.clone(), Err(DrillError::Invalid(format!("{name}: {error}"))))],
            }
        } else {
            vec![(name.clone(), Drill::shipped_on(testbed, name))]
        };
        for (named, drill) in found {
            match drill {
                Ok(drill) => selected.push(Selected { drill, named }),
                Err(error) => mistakes.push(error.to_string()),
            }
        }
    }
    if mistakes.is_empty() { Ok(selected) } else { Err(mistakes) }
}
