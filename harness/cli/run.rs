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
    args::{Format, Run, Setup},
    entry::{colour, complain, print},
    exit::Exit,
    log::RunLog,
    progress::Progress,
    sweep::sweep,
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

/// Runs what was selected.
pub(super) async fn run(arguments: Run, logs: RunLog) -> Exit {
    let drills = match select(&arguments.scenarios, arguments.on.testbed) {
        Ok(drills) if drills.is_empty() => {
            let names: Vec<_> = scenario::shipped().into_iter().map(|scenario| scenario.name).collect();
            complain(&format!("nothing selected; name a file, a folder or a shipped scenario: {}", names.join(", ")));
            return Exit::NothingSelected;
        }
        Ok(drills) => drills,
        Err(mistakes) => {
            // Every file's mistakes at once, before anything is started.
            mistakes.iter().for_each(|mistake| complain(mistake));
            return Exit::Invalid;
        }
    };
    let several = drills.len() > 1;
    let mut exit = sweep().await;
    let mut reports: Vec<Report> = Vec::new();
    for drill in drills {
        let out = arguments.out.as_ref().map(|out| if several { out.join(&drill.plan().name) } else { out.clone() });
        match one(drill, out, &arguments, &logs).await {
            Ok(finished) => {
                exit = exit.and(finished.verdict().into());
                if !finished.left.is_empty() {
                    exit = exit.and(Exit::CleanUpIncomplete);
                }
                if arguments.format == Format::Human {
                    let style = Style { colour: colour(&io::stdout()), ..Style::PLAIN };
                    exit = exit.and(print(&report::human(&finished.report, style)));
                    super::progress::line(&format!("results: {}", finished.folder.display()));
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
    if several && arguments.format == Format::Human {
        let style = Style { colour: colour(&io::stdout()), ..Style::PLAIN };
        exit = exit.and(print(&report::overview(&reports, style)));
    }
    if let Some(file) = &arguments.junit {
        exit = exit.and(write_junit(file, &reports));
    }
    if arguments.format == Format::Json {
        let text = match &reports[..] {
            [one] if !several => serde_json::to_string_pretty(one),
            all => serde_json::to_string_pretty(all),
        };
        exit = exit.and(text.map_or(Exit::Internal, |text| print(&format!("{text}\n"))));
    }
    exit
}

fn write_junit(file: &Path, reports: &[Report]) -> Exit {
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

async fn one(drill: Drill, out: Option<PathBuf>, arguments: &Run, logs: &RunLog) -> Result<Finished, DrillError> {
    let mode = match arguments.setup {
        Setup::Auto => SetupMode::Auto,
        Setup::Never => SetupMode::Never,
    };
    let (listener, mut events) = mpsc::unbounded_channel();
    let mut progress = Progress::start(&drill.plan().name);
    let mut drill = drill.setup(mode).show(progress.printer()).listen(listener);
    if let Some(seed) = arguments.seed {
        drill = drill.seed(seed);
    }
    if let Some(out) = out {
        drill = drill.out(out);
    }
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
async fn interrupt(cancel: Cancel) {
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

fn select(names: &[String], testbed: TestbedName) -> Result<Vec<Drill>, Vec<String>> {
    let mut drills = Vec::new();
    let mut mistakes = Vec::new();
    for name in names {
        let is_path = name.contains('/') || name.contains('.') || Path::new(name).exists();
        let found: Vec<Result<Drill, DrillError>> = if is_path {
            match scenario_files(Path::new(name)) {
                Ok(files) => files.iter().map(|file| Drill::from_file_on(testbed, file)).collect(),
                Err(error) => vec![Err(DrillError::Invalid(format!("{name}: {error}")))],
            }
        } else {
            vec![Drill::shipped_on(testbed, name)]
        };
        for drill in found {
            match drill {
                Ok(drill) => drills.push(drill),
                Err(error) => mistakes.push(error.to_string()),
            }
        }
    }
    if mistakes.is_empty() { Ok(drills) } else { Err(mistakes) }
}
