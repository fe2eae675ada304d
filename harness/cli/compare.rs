//! `compare`: two sets of reports side by side, scenario by scenario and guarantee by guarantee. What differs is a verdict;
//! figures may, and are shown. What only one set has is told and compared with nothing.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
};

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{
    args::Compare,
    entry::{complain, print},
    exit::Exit,
    progress,
};
use crate::{
    os::files,
    report::{Report, contract::GuaranteeRow},
};

/// Reports by their scenario's name.
type Reports = BTreeMap<String, Report>;

/// A guarantee in its place: id, environment, event.
type Place = (String, Option<String>, Option<String>);

/// Prints them side by side.
pub(super) fn compare(arguments: &Compare) -> Exit {
    let (one, other) = match (read(&arguments.one), read(&arguments.other)) {
        (Ok(one), Ok(other)) => (one, other),
        (one, other) => {
            [one.err(), other.err()].into_iter().flatten().for_each(|why| complain(&why));
            return Exit::Invalid;
        }
    };
    let common: Vec<&String> = one.keys().filter(|name| other.contains_key(*name)).collect();
    let alone: Vec<&str> =
        one.keys().chain(other.keys()).filter(|name| !common.contains(name)).map(String::as_str).collect();
    if !alone.is_empty() {
        progress::line(&format!("in one of the two alone, so not compared: {}", alone.join(", ")));
    }
    if common.is_empty() {
        complain("the two have no scenario in common");
        return Exit::NothingSelected;
    }
    let (text, differ) = side_by_side(&common, &one, &other);
    let exit = print(&text);
    if differ == 0 { exit } else { exit.and(Exit::Violated) }
}

/// The reports below a path: a `report.json`, a folder that has one, or a folder of such folders.
fn read(path: &Path) -> Result<Reports, String> {
    let candidates = if path.is_file() {
        vec![path.to_owned()]
    } else {
        let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join("report.json")).collect();
        [path.join("report.json")].into_iter().chain(below).filter(|file| file.is_file()).collect()
    };
    let mut reports = Reports::new();
    for file in candidates {
        let report: Report = files::read_json(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Some(double) = reports.insert(report.scenario.clone(), report) {
            return Err(format!("{}: two reports of the scenario `{}`", path.display(), double.scenario));
        }
    }
    if reports.is_empty() {
        return Err(format!("{}: there is no report.json, nor a folder with one", path.display()));
    }
    Ok(reports)
}

/// The text, and how many verdicts differ, in these scenarios.
fn side_by_side(names: &[&String], one: &Reports, other: &Reports) -> (String, usize) {
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "scenario", "", &title(one), &title(other)]);
    let (mut differ, mut same) = (0, 0);
    for name in names {
        let (Some(left), Some(right)) = (one.get(*name), other.get(*name)) else { continue };
        let is_same = left.verdict == right.verdict;
        table.add_row([mark(is_same), name, "the verdict", left.verdict.as_str(), right.verdict.as_str()]);
        *(if is_same { &mut same } else { &mut differ }) += 1;
        let (left, right) = (judged(left), judged(right));
        let places: std::collections::BTreeSet<&Place> = left.keys().chain(right.keys()).collect();
        for place in places {
            let (left, right) = (left.get(place).copied(), right.get(place).copied());
            let is_same = left.map(|row| row.verdict) == right.map(|row| row.verdict);
            *(if is_same { &mut same } else { &mut differ }) += 1;
            table.add_row([mark(is_same), "", &shown(place), &cell(left), &cell(right)]);
        }
    }
    let mut text = table.trim_fmt();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n\n{same} verdicts are the same, {differ} differ");
    (text, differ)
}

/// What the scenario expects of a run; the rest is information, and is not the same in two runs.
fn judged(report: &Report) -> BTreeMap<Place, &GuaranteeRow> {
    let expected = report.guarantees.iter().filter(|row| row.expected);
    expected.map(|row| ((row.id.clone(), row.environment.clone(), row.event.clone()), row)).collect()
}

fn title(reports: &Reports) -> String {
    let testbeds: std::collections::BTreeSet<&str> = reports.values().map(|report| report.testbed.as_str()).collect();
    testbeds.into_iter().collect::<Vec<_>>().join(", ")
}

fn mark(is_same: bool) -> &'static str {
    if is_same { "" } else { "≠" }
}

fn shown((id, environment, event): &Place) -> String {
    let place = [environment, event].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" · ");
    if place.is_empty() { id.clone() } else { format!("{id} ({place})") }
}

fn cell(row: Option<&GuaranteeRow>) -> String {
    let Some(row) = row else { return "not judged".to_owned() };
    match (row.measured, &row.unit) {
        (Some(measured), Some(unit)) => format!("{} {measured:.3} {unit}", row.verdict.as_str()),
        _ => row.verdict.as_str().to_owned(),
    }
}
