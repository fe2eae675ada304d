//! Statistics for a tired engineer: the verdicts of the trials first, then every guarantee that was exercised, with every
//! point, then the trials with what repeats one.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::contract::{Figures, Statistics, StatisticsRow, TrialRow};
use crate::{
    model::verdict::Verdict,
    report::human::{Style, line, shown, wrapped},
};

/// The statistics as text.
pub fn human(statistics: &Statistics, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, statistics, style);
    // Told in one line, as long as all of it came out alike.
    let is_integrity = |row: &&StatisticsRow| row.id.starts_with("integrity.") && !row.expected;
    let first = statistics
        .guarantees
        .iter()
        .filter(|row| row.verdicts.held > 0 && row.verdicts.violated == 0)
        .find(is_integrity);
    let is_told_together =
        |row: &&StatisticsRow| is_integrity(row) && first.is_some_and(|first| row.verdicts == first.verdicts);
    let exercised = || statistics.guarantees.iter().filter(|row| row.expected || is_exercised(row));
    table(&mut out, "expected", &exercised().filter(|row| row.expected).collect::<Vec<_>>(), style);
    let others = exercised().filter(|row| !row.expected && !is_told_together(row));
    table(&mut out, "also judged", &others.collect::<Vec<_>>(), style);
    integrity(&mut out, &exercised().filter(is_told_together).collect::<Vec<_>>());
    trials(&mut out, statistics, style);
    out
}

fn head(out: &mut String, statistics: &Statistics, style: Style) {
    let Statistics { verdict, verdicts, scenario, testbed, seed, asked, at_once, .. } = statistics;
    let verdict = style.paint(*verdict, &verdict.as_str().to_uppercase());
    let ended = statistics.trials.len();
    let trials = match ended {
        1 => "1 trial".to_owned(),
        _ => format!("{ended} trials"),
    };
    let (held, violated, inconclusive) = (verdicts.held, verdicts.violated, verdicts.inconclusive);
    line(
        out,
        format!(
            "{verdict}  {scenario}, {trials}: {held} held, {violated} violated, {inconclusive} inconclusive  (testbed {testbed}, \
             seed {seed}, {at_once} at once)"
        ),
    );
    if statistics.interrupted {
        line(out, format!("  interrupted: {ended} of {asked} trials had ended"));
    }
    let below = shown(statistics.phases_below_s, "s");
    line(out, style.faint(&format!("  each fault and order came after a wait of its own, drawn below {below}")));
}

/// Whether a trial has judged it, or measured something of it.
fn is_exercised(row: &StatisticsRow) -> bool {
    row.verdicts.held + row.verdicts.not_stressed + row.verdicts.violated > 0 || row.figures.is_some()
}

/// One line a row, and below it every point.
fn table(out: &mut String, title: &str, rows: &[&StatisticsRow], style: Style) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        title,
        "",
        "held",
        "not stressed",
        "violated",
        "inconclusive",
        "reported",
        "fails at most",
        "min",
        "median",
        "max",
        "P95",
        "tested",
    ]);
    for row in rows {
        let place = [row.environment.as_deref(), row.event.as_deref()];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let unit = row.unit.as_deref().unwrap_or("");
        let summary = row.figures.as_ref().and_then(|figures| figures.summary);
        let figure = |figure: Option<f64>| figure.map_or_else(String::new, |figure| shown(figure, unit));
        let count = |count: u64| if count == 0 { "–".to_owned() } else { count.to_string() };
        let counts = &row.verdicts;
        table.add_row([
            if row.wanted == Verdict::Held { row.id.clone() } else { format!("{} (wanted: {})", row.id, row.wanted) },
            place,
            count(counts.held),
            count(counts.not_stressed),
            count(counts.violated),
            count(counts.inconclusive),
            count(counts.reported),
            row.failure_rate.map_or_else(String::new, |rate| percent(rate.at_most)),
            figure(summary.map(|summary| summary.min)),
            figure(summary.map(|summary| summary.median)),
            figure(summary.map(|summary| summary.max)),
            figure(summary.and_then(|summary| summary.p95)),
            figure(row.tested),
        ]);
    }
    out.push('\n');
    let mut lines = table.lines();
    line(out, style.faint(lines.next().unwrap_or_default().trim_end()));
    for (text, row) in lines.zip(rows) {
        line(out, text.trim_end());
        if let Some(figures) = &row.figures {
            wrapped(out, &points(figures, row.unit.as_deref().unwrap_or("")), "     ", style.width);
        }
    }
}

/// In the order of the trials; what is inconclusive is marked.
fn points(figures: &Figures, unit: &str) -> String {
    let told = figures.points.iter().map(|point| {
        let doubt = if point.conclusive { "" } else { " (inconclusive)" };
        format!("{}{doubt}", shown(point.value, unit))
    });
    format!("points: {}", told.collect::<Vec<_>>().join(", "))
}

/// All that came out alike, in one line.
fn integrity(out: &mut String, rows: &[&StatisticsRow]) {
    let Some((rate, verdicts)) = rows.first().and_then(|row| Some((row.failure_rate?, row.verdicts))) else { return };
    let names: Vec<&str> = rows.iter().map(|row| row.id.trim_start_matches("integrity.")).collect();
    let (held, sum, at_most) = (verdicts.held, verdicts.sum(), percent(rate.at_most));
    line(
        out,
        format!("\nintegrity: held in {held} of {sum} trials; each fails in {at_most} at most ({})", names.join(", ")),
    );
}

fn trials(out: &mut String, statistics: &Statistics, style: Style) {
    line(
        out,
        style.faint(
            "\nfails at most: the rate of failure is no higher, at 95 %, by conclusive trials; no P95 under 59 figures",
        ),
    );
    line(out, "\ntrials, and what repeats one alone");
    let width = statistics.trials.last().map_or(1, |last| last.number.to_string().len());
    for TrialRow { number, verdict, reasons, folder, repeat, .. } in &statistics.trials {
        let verdict = style.paint(*verdict, verdict.as_str());
        line(out, format!("{number:>width$}  {verdict}  {}", folder.as_deref().unwrap_or("")));
        if let Some(reason) = reasons.first() {
            let more = match reasons.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            wrapped(out, &format!("{reason}{more}"), "     ", style.width);
        }
        line(out, style.faint(&format!("     {repeat}")));
    }
}

fn percent(share: f64) -> String {
    let mut text = String::new();
    let digits = if share < 0.1 { 2 } else { 1 };
    // Writing to a string cannot fail.
    let _ = write!(text, "{:.digits$} %", share * 100.0);
    text
}
