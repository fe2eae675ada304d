//! `validate`, and the search for scenario files.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    entry::{colour, complain, print},
    exit::Exit,
};
use crate::{
    guarantee,
    model::testbed::TestbedName,
    scenario::{self, Catalogue},
};

/// Checks every file, and tells every mistake.
pub(super) fn validate(paths: &[PathBuf], testbed: TestbedName) -> Exit {
    let mut exit = Exit::Held;
    let mut files = Vec::new();
    for path in paths {
        match scenario_files(path) {
            Ok(found) => files.extend(found),
            Err(error) => {
                complain(&format!("{}: {error}", path.display()));
                exit = exit.and(Exit::Invalid);
            }
        }
    }
    if files.is_empty() && exit == Exit::Held {
        complain("no scenario file is there (*.yaml, *.yml, *.json)");
        return Exit::NothingSelected;
    }
    for file in files {
        exit = exit.and(check(&file, testbed));
    }
    exit
}

fn check(file: &Path, testbed: TestbedName) -> Exit {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("{}: {error}", file.display()));
            return Exit::Invalid;
        }
    };
    let name = file.display().to_string();
    match scenario::parse(
        &name,
        &text,
        file.parent().unwrap_or(Path::new(".")),
        &Catalogue::of(testbed, guarantee::promises()),
    ) {
        Ok(plan) => print(&format!("{name}: ok ({} steps, {} expectations)\n", plan.timeline.len(), plan.expect.len())),
        Err(diagnostics) => {
            super::progress::raw(&diagnostics.render(colour(&io::stderr())));
            Exit::Invalid
        }
    }
}

/// The file itself, or the scenario files directly in a folder, by name.
pub(super) fn scenario_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return std::fs::metadata(path).map(|_| vec![path.to_owned()]);
    }
    let mut files =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| {
        file.is_file()
            && file
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|wanted| extension == *wanted))
    });
    files.sort();
    Ok(files)
}
