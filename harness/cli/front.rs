//! `up`, and `run --keep`: what a host says until its lab stands, shown as it comes.

use std::{io, path::PathBuf};

use super::{
    args::{Run, RunFormat, Up},
    entry::{colour, complain, print, print_json, print_line},
    exit::Exit,
    progress::{self, Progress},
    sweep::sweep,
    validate::scenario_files,
};
use crate::{
    conduct::{Drill, places::fresh_folder},
    lab::{
        self, HostConfig, LabFile, Task, enter,
        find::{self, Found},
        front::Front,
        talk::{Blame, Said},
    },
    os::files,
    report::{self, Report, Style},
};

/// Stands a lab up.
pub(super) async fn up(arguments: Up) -> Exit {
    let environments = if arguments.environment.is_empty() {
        vec![("sales".to_owned(), "dataverse-production".to_owned())]
    } else {
        let split = |text: &String| {
            let (id, kind) = text.split_once(':').unwrap_or((text, "dataverse-production"));
            (id.to_owned(), kind.to_owned())
        };
        arguments.environment.iter().map(split).collect()
    };
    if arguments.regions.len() != 2 {
        complain("two regions are needed, such as `--regions east,west`");
        return Exit::Invalid;
    }
    let (folder, testbed) = (fresh_folder(), arguments.on.testbed);
    let plan = match lab::plan_for(
        testbed,
        &arguments.regions,
        arguments.zones,
        &environments,
        arguments.load.as_deref(),
        &folder,
    ) {
        Ok(plan) => plan,
        Err(mistakes) => {
            progress::raw(&mistakes.render(colour(&io::stderr())));
            return Exit::Invalid;
        }
    };
    let task = Task::Up { plan: Box::new(plan), load: arguments.load.is_some() };
    let (exit, lab) = stand(HostConfig { name: arguments.name, folder, testbed, task }, "lab").await;
    match lab {
        Some(lab) => exit.and(print(&how_to_enter(&lab))),
        None => exit,
    }
}

/// Runs one scenario and leaves it standing.
pub(super) async fn run_and_keep(arguments: Run) -> Exit {
    let [name] = &arguments.scenarios[..] else {
        complain("`--keep` leaves one run standing: name one scenario");
        return Exit::Invalid;
    };
    let task = match task(name, &arguments) {
        Ok(task) => task,
        Err(why) => {
            complain(&why);
            return Exit::Invalid;
        }
    };
    let folder = fresh_folder();
    let config = HostConfig { name: lab::file::run_id(&folder), folder, testbed: arguments.on.testbed, task };
    let title = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".yaml").to_owned();
    let (exit, lab) = stand(config, &title).await;
    let Some(lab) = lab else { return exit };
    let results = arguments.out.unwrap_or_else(|| lab.folder.clone());
    let report: Report = match files::read_json(&results.join("report.json")) {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("{}: {error}", results.display()));
            return exit.and(Exit::Internal);
        }
    };
    let exit = exit.and(report.verdict.into());
    let shown = match arguments.format {
        RunFormat::Human => print(&report::human(&report, Style { colour: colour(&io::stdout()), ..Style::PLAIN })),
        RunFormat::Json => print_json(&report),
        RunFormat::Ndjson => print_line(&report),
    };
    progress::line(&format!("results: {}", results.display()));
    // A program reads the report alone.
    progress::raw(&how_to_enter(&lab));
    exit.and(shown)
}

fn task(name: &str, arguments: &Run) -> Result<Task, String> {
    let is_path = name.contains('/') || name.contains('.') || std::path::Path::new(name).exists();
    let out = match &arguments.out {
        Some(out) => Some(std::path::absolute(out).map_err(|error| format!("{}: {error}", out.display()))?),
        None => None,
    };
    if !is_path {
        // Every mistake is told before anything is started.
        drop(Drill::shipped_on(arguments.on.testbed, name).map_err(|error| error.to_string())?);
        let (name, text, commands_in) = (name.to_owned(), String::new(), None);
        return Ok(Task::Drill { name, text, commands_in, seed: arguments.seed, out });
    }
    let files = scenario_files(std::path::Path::new(name)).map_err(|error| format!("{name}: {error}"))?;
    let [file] = &files[..] else {
        return Err(format!("{name}: `--keep` takes one scenario, and here are {}", files.len()));
    };
    let said = |error: io::Error| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(said)?;
    let file = file.canonicalize().map_err(said)?;
    let folder = file.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let name = file.display().to_string();
    drop(Drill::from_text_on(arguments.on.testbed, &name, &text, &folder).map_err(|error| error.to_string())?);
    Ok(Task::Drill { name, text, commands_in: Some(folder), seed: arguments.seed, out })
}

/// Starts a host and shows what it says until its lab stands. Ctrl-C undoes.
async fn stand(config: HostConfig, title: &str) -> (Exit, Option<LabFile>) {
    let exit = sweep().await;
    match find::all() {
        Ok(all) => {
            let taken = |found: &Found| matches!(found, Found::Lab(lab) if lab.name == config.name);
            if let Some(other) = all.iter().find(|found| taken(found)) {
                let (name, run) = (&config.name, lab::file::run_id(other.folder()));
                complain(&format!(
                    "a lab `{name}` stands already ({run}): give this one another name (--name), or end that one (geodrill down {name})"
                ));
                return (exit.and(Exit::Invalid), None);
            }
        }
        Err(error) => {
            complain(&format!("what stands could not be read: {error}"));
            return (exit.and(Exit::Internal), None);
        }
    }
    let mut front = match Front::start(&config) {
        Ok(front) => front,
        Err(error) => {
            complain(&format!("the lab's host could not be started in {}: {error}", config.folder.display()));
            return (exit.and(Exit::Internal), None);
        }
    };
    let mut shown = Progress::start(title);
    let mut ctrl_c = Box::pin(tokio::signal::ctrl_c());
    let mut told = false;
    let last = loop {
        tokio::select! {
            said = front.next() => match said {
                Some(Said::Line(line)) => shown.say(&line),
                Some(Said::Event(event)) => shown.show(&event),
                Some(Said::Judged { .. }) => {}
                other => break other,
            },
            // That it cannot be listened for changes nothing: the host sees us go.
            _ = &mut ctrl_c, if !told => {
                told = true;
                shown.say("interrupted: ending everything that was started");
                front.interrupt();
            }
        }
    };
    shown.end();
    match last {
        Some(Said::Stands) => match files::read_json::<LabFile>(&config.folder.join(lab::file::LAB_FILE)) {
            Ok(lab) => (exit, Some(lab)),
            Err(error) => {
                complain(&format!("{}: {error}", config.folder.display()));
                (exit.and(Exit::Internal), None)
            }
        },
        Some(Said::Failed { why, blame }) => {
            front.ended().await;
            complain(&why);
            let failed = match blame {
                Blame::User => Exit::Invalid,
                Blame::Ours => Exit::Internal,
                Blame::Interrupted => Exit::Interrupted,
            };
            (exit.and(failed), None)
        }
        _ => {
            front.ended().await;
            let log = front.log().display();
            complain(&format!("the lab's host ended without a word; its log: {log}"));
            (exit.and(Exit::Internal), None)
        }
    }
}

fn how_to_enter(lab: &LabFile) -> String {
    use std::fmt::Write;
    let mut text = format!("lab {} stands: {}\n", lab.name, lab.folder.display());
    let doors = enter::doors(lab);
    let width = doors.iter().map(|door| door.what.len()).max().unwrap_or(0);
    for door in doors {
        writeln!(text, "  {:<width$}  {}", door.what, door.command).unwrap_or_default();
    }
    let name = &lab.name;
    writeln!(text, "  secrets are in {}/enter and lab.json, for you alone", lab.folder.display()).unwrap_or_default();
    writeln!(text, "  look: geodrill status {name} --watch    break: geodrill inject --lab {name} 'region.outage: {{region: {}}}'    end: geodrill down {name}", lab.regions[0]).unwrap_or_default();
    text
}
