//! `rejudge`: judges finished runs again, from their folders alone, and changes nothing in them.

use std::io;

use super::{
    args::{Format, Rejudge},
    entry::{colour, complain, print},
    exit::Exit,
    progress,
};
use crate::{
    conduct::{folder::Layout, judge},
    lab::shelf,
    os::files,
    report::{self, Report, Style},
};

/// Judges them one after another.
pub(super) fn rejudge(arguments: &Rejudge) -> Exit {
    let mut exit = Exit::Held;
    let mut reports = Vec::new();
    for name in &arguments.runs {
        let Some(folder) = shelf::find(name) else {
            complain(&format!("there is no run `{name}`: name a run's folder, or the id of one that is kept"));
            exit = exit.and(Exit::Invalid);
            continue;
        };
        let report = match judge::examine(&folder) {
            Ok((report, _)) => report,
            Err(error) => {
                complain(&format!("{} cannot be judged: {error}", folder.display()));
                exit = exit.and(Exit::Invalid);
                continue;
            }
        };
        exit = exit.and(report.verdict.into());
        for line in compared(&folder, &report) {
            progress::line(&format!("{name}: {line}"));
        }
        match arguments.format {
            Format::Human => {
                let style = Style { colour: colour(&io::stdout()), ..Style::PLAIN };
                exit = exit.and(print(&report::human(&report, style)));
            }
            Format::Json => reports.push(report),
        }
    }
    if arguments.format == Format::Json {
        let text = match &reports[..] {
            [one] if arguments.runs.len() == 1 => serde_json::to_string_pretty(one),
            all => serde_json::to_string_pretty(all),
        };
        exit = exit.and(text.map_or(Exit::Internal, |text| print(&format!("{text}\n"))));
    }
    exit
}

/// In what the verdict differs from the one that was kept.
fn compared(folder: &std::path::Path, now: &Report) -> Vec<String> {
    let kept: Report = match files::read_json(&Layout::new(folder).report()) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec!["it had not been judged before".to_owned()];
        }
        Err(error) => return vec![format!("its kept report cannot be read: {error}")],
    };
    let mut lines = Vec::new();
    if kept.verdict != now.verdict {
        lines.push(format!("the verdict DIFFERS from the kept one: {} then, {} now", kept.verdict, now.verdict));
    }
    for (then, now) in kept.guarantees.iter().zip(&now.guarantees) {
        if then != now {
            lines.push(format!("{} DIFFERS from the kept one: {} then, {} now", now.id, then.verdict, now.verdict));
        }
    }
    if kept.guarantees.len() != now.guarantees.len() {
        lines.push(format!("{} guarantees were judged then, and {} now", kept.guarantees.len(), now.guarantees.len()));
    }
    if lines.is_empty() {
        lines.push("judged as before".to_owned());
    }
    lines
}
