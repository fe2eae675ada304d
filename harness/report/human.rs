//! The report for a tired engineer: the verdict first, then what each event did, then every guarantee that was judged, then
//! integrity, then what customers were answered of features, then how far off was what was claimed, then a word on what was not
//! exercised. A figure that is the platform's word is marked as a claim.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{
    contract::{EventKind, EventRow, GuaranteeRow, Report},
    features::features,
    human_claims::claims,
};
use crate::model::{
    measure::{Served, Service},
    verdict::Verdict,
};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With colour.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: u16,
}

impl Style {
    /// Without colour, for logs, files and tests.
    pub const PLAIN: Style = Style { colour: false, width: 120 };

    pub(super) fn paint(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Held => "1;32",
            Verdict::Violated => "1;31",
            Verdict::Inconclusive => "1;33",
            Verdict::Reported => return text.to_owned(),
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn faint(self, text: &str) -> String {
        if self.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The report as text.
pub fn human(report: &Report, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, report, style);
    for event in &report.events {
        event_block(&mut out, event, style);
    }
    guarantees(&mut out, report, style);
    integrity(&mut out, report, style);
    features(&mut out, report, style);
    claims(&mut out, report, style);
    for fault in report.faults.iter().filter(|fault| fault.unproven) {
        line(&mut out, format!("Unproven fault {} ({}): {}", fault.target, fault.step, fault.proof));
    }
    for problem in &report.problems {
        line(&mut out, format!("Problem: {problem}"));
    }
    not_exercised(&mut out, report, style);
    line(&mut out, style.faint(&format!("Run: {}", report.folder)));
    out
}

/// One line for each of several reports.
pub fn overview(reports: &[Report], style: Style) -> String {
    let width = reports.iter().map(|report| report.scenario.len()).max().unwrap_or_default();
    let mut out = String::from("\n");
    for report in reports {
        let verdict = style.paint(report.verdict, &format!("{:<12}", report.verdict.as_str().to_uppercase()));
        let about = report.about.as_deref().unwrap_or_default();
        line(&mut out, format!("{verdict}  {:<width$}  {about}", report.scenario));
    }
    out
}

/// A table, its header faint, after an empty line.
pub(super) fn tabulated(out: &mut String, table: &Table, style: Style) {
    out.push('\n');
    for (place, text) in table.lines().enumerate() {
        let text = text.trim_end();
        line(out, if place == 0 { style.faint(text) } else { text.to_owned() });
    }
}

pub(super) fn line(out: &mut String, text: impl AsRef<str>) {
    out.push_str(text.as_ref());
    out.push('\n');
}

fn head(out: &mut String, report: &Report, style: Style) {
    let verdict = style.paint(report.verdict, &report.verdict.as_str().to_uppercase());
    let wanted = report.guarantees.iter().any(|row| row.expected && row.wanted == Verdict::Violated);
    let found =
        if wanted && report.verdict == Verdict::Held { " (what had to be found violated was found)" } else { "" };
    line(out, format!("{verdict}{found}  {}  (testbed {}, seed {})", report.scenario, report.testbed, report.seed));
    if let Some(sabotage) = report.sabotage {
        line(out, format!("  The platform was broken on purpose, `{sabotage}`: {}.", sabotage.broken()));
    }
    const REASONS_MAX: usize = 6;
    for reason in report.reasons.iter().take(REASONS_MAX) {
        line(out, format!("  - {reason}"));
    }
    if report.reasons.len() > REASONS_MAX {
        line(out, format!("  - and {} more", report.reasons.len() - REASONS_MAX));
    }
}

fn event_block(out: &mut String, event: &EventRow, style: Style) {
    let kind = match event.kind {
        EventKind::Unplanned => "unplanned failover",
        EventKind::Planned => "planned failover",
        EventKind::Failback => "failback",
        EventKind::Zone => "zone",
        EventKind::None => "no switch",
    };
    let quiet = event.kind == EventKind::None && event.recovery_point.operations == 0 && longest(event) == Some(0.0);
    if quiet && event.unobserved.is_none() {
        line(
            out,
            format!(
                "\n{} · {} ({kind}): nothing lost of {} writes, no interruption above {}",
                event.environment,
                event.id,
                event.sql.acked,
                seconds(event.interruption.resolution_s)
            ),
        );
        return;
    }
    line(out, format!("\n{} · {} ({kind})", event.environment, event.id));
    line(out, format!("  loss          {}", loss(event)));
    line(out, format!("  interruption  {}", interruption(event)));
    match (event.kind, event.moved_s) {
        (EventKind::None | EventKind::Zone, None) => {}
        (EventKind::None | EventKind::Zone, Some(moved)) => {
            let took = seconds((moved - event.began_s).max(0.0));
            line(out, format!("  moved         another zone of the region surely answered after {took}"));
        }
        _ => line(out, format!("  switched      {}", switched(event))),
    }
    if let Some(asked) = event.old_side.filter(|asked| asked.asked > 0) {
        line(out, format!("  old side      {}", old_side(asked)));
    }
    if !event.phases_s.is_empty() {
        line(out, format!("  in parts      {}", phases(event, style)));
    }
    if let Some(back) = event.back_to_rate_s {
        line(out, format!("  back to rate  {} after the first acknowledgement", seconds(back)));
    }
    if let Some(Served { before, after }) = event.served {
        line(out, format!("  served        {} before, {} after", service(before), service(after)));
    }
    if let Some(salvage) = &event.salvage {
        let wrong =
            if salvage.examples.is_empty() { String::new() } else { format!(": {}", salvage.examples.join(", ")) };
        line(
            out,
            format!(
                "  salvage       {} rows, {} objects, {} markers listed; {} of what was lost missing, {} too many{wrong}",
                salvage.rows, salvage.objects, salvage.markers, salvage.missing, salvage.extra
            ),
        );
    }
    if event.dangling_left > 0 {
        line(out, format!("  still marked  {} references whose object is there", event.dangling_left));
    }
    if event.dangling_marked + event.dangling_unmarked + event.orphans > 0 {
        line(
            out,
            format!(
                "  files         {} rows without object marked, {} unmarked; {} objects without row ({} unexcused)",
                event.dangling_marked, event.dangling_unmarked, event.orphans, event.orphans_unexcused
            ),
        );
    }
}

fn loss(event: &EventRow) -> String {
    let point = &event.recovery_point;
    if let Some(why) = &event.unobserved {
        return format!("not observed: {why}");
    }
    let mut text = format!("{} · {} operations", seconds(point.age_s), point.operations);
    let lost = |counts: &crate::model::measure::Counts| counts.lost();
    let _ = write!(text, " (sql {}, files {})", lost(&event.sql), lost(&event.files));
    if point.in_doubt_age_s > point.age_s {
        let _ = write!(text, ", {} if every absent in-doubt write counted", seconds(point.in_doubt_age_s));
    }
    if let Some(dose) = event.dose_s {
        let _ = write!(text, "; the other side was {} behind", seconds(dose));
    }
    text
}

fn longest(event: &EventRow) -> Option<f64> {
    accesses(event).into_iter().filter_map(|(_, gap)| gap).reduce(f64::max)
}

fn accesses(event: &EventRow) -> [(&'static str, Option<f64>); 4] {
    let all = &event.interruption;
    [
        ("sql write", all.sql_write_s),
        ("sql read", all.sql_read_s),
        ("files write", all.files_write_s),
        ("files read", all.files_read_s),
    ]
}

fn interruption(event: &EventRow) -> String {
    let Some(worst) = longest(event) else { return "not probed".to_owned() };
    let parts = accesses(event).map(|(name, gap)| {
        let key = name.replace(' ', "_");
        let at_least = if event.interruption.censored.contains(&key) { "> " } else { "" };
        let stalled = if event.interruption.examiner_stalled.contains(&key) { " (examiner stalled)" } else { "" };
        format!("{name} {}{stalled}", gap.map_or_else(|| "–".to_owned(), |gap| format!("{at_least}{}", seconds(gap))))
    });
    let at_least = if event.interruption.censored.is_empty() { "" } else { "> " };
    let resolution = seconds(event.interruption.resolution_s);
    format!("{at_least}{} worst: {} (resolution {resolution})", seconds(worst), parts.join(", "))
}

fn service(service: Service) -> String {
    let p99 = service.p99_s.map_or_else(|| "–".to_owned(), seconds);
    format!("{:.1}/s (99 % within {p99})", service.acked_per_s)
}

fn switched(event: &EventRow) -> String {
    match event.switched_s {
        Some(at) => format!("{} after the cause", seconds(at - event.began_s)),
        None if event.aborted => "no: the attempt was aborted, says the platform".to_owned(),
        None => "no: no write was acknowledged from the other region".to_owned(),
    }
}

fn old_side(asked: crate::model::measure::OldSideAsked) -> String {
    let doubt = if asked.in_doubt > 0 { format!(", {} in doubt", asked.in_doubt) } else { String::new() };
    let answered =
        if asked.answered == 0 { "never answered".to_owned() } else { format!("{} answered", asked.answered) };
    format!("asked {} times past the edge after the switch, {answered}{doubt}", asked.asked)
}

/// In the order of a failover; whatever else there is after it.
fn phases(event: &EventRow, style: Style) -> String {
    const ORDER: [&str; 13] = [
        "suspected",
        "declared",
        "started",
        "preflighted",
        "noticed",
        "drained",
        "handed_over",
        "caught_up",
        "fenced",
        "switched",
        "promoted",
        "routed",
        "first_ack",
    ];
    let mut parts: Vec<(&String, &f64)> = event.phases_s.iter().collect();
    parts.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    let told = parts.into_iter().map(|(name, length)| {
        let claimed = event.claimed_phases.contains(name);
        let text = format!("{} {}", name.replace('_', " "), seconds(*length));
        if claimed { style.faint(&format!("{text} (claim)")) } else { text }
    });
    told.collect::<Vec<_>>().join(" → ")
}

fn guarantees(out: &mut String, report: &Report, style: Style) {
    let shown = || report.guarantees.iter().filter(|row| row_is_shown(row));
    let mut expected: Vec<&GuaranteeRow> = shown().filter(|row| row.expected).collect();
    // What went wrong first; within that as judged.
    expected.sort_by_key(|row| std::cmp::Reverse(if row.verdict == row.wanted { Verdict::Held } else { row.verdict }));
    table(out, "expected", &expected, style);
    table(out, "also judged", &shown().filter(|row| !row.expected).collect::<Vec<_>>(), style);
}

/// One line a row, and below it why it is not simply held.
pub(super) fn table(out: &mut String, title: &str, rows: &[&GuaranteeRow], style: Style) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([title, "", "", "measured", "tested", "documented"]);
    for row in rows {
        let place = [row.environment.as_deref(), row.event.as_deref()];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let unit = row.unit.as_deref().unwrap_or("");
        let figure = |figure: Option<f64>| figure.map_or_else(String::new, |figure| shown(figure, unit));
        let mut measured = figure(row.measured);
        if let Some(count) = row.count.filter(|_| unit == "s" && row.id.contains("loss")) {
            let _ = write!(measured, ", {count} operations");
        }
        let bound = |bound: Option<f64>| match (bound, row.measured) {
            (Some(bound), Some(measured)) => format!("{} ({})", shown(bound, unit), margin(bound - measured, unit)),
            (bound, _) => figure(bound),
        };
        table.add_row([verdict(row), row.id.clone(), place, measured, bound(row.tested), bound(row.documented)]);
    }
    out.push('\n');
    let mut lines = table.lines();
    line(out, style.faint(lines.next().unwrap_or_default().trim_end()));
    for (text, row) in lines.zip(rows) {
        let plain = row.verdict.as_str();
        line(out, text.trim_end().replacen(plain, &style.paint(row.verdict, plain), 1));
        if let Some(why) = &row.why {
            wrapped(out, why, "     ", style.width);
        }
    }
}

/// Words in lines that fit, each after the margin.
pub(super) fn wrapped(out: &mut String, text: &str, margin: &str, width: u16) {
    let width = usize::from(width).max(40);
    let mut current = margin.to_owned();
    for word in text.split_whitespace() {
        if current.chars().count() + 1 + word.chars().count() > width && current.len() > margin.len() {
            line(out, &current);
            current = margin.to_owned();
        }
        if current.len() > margin.len() {
            current.push(' ');
        }
        current.push_str(word);
    }
    line(out, &current);
}

/// What was not exercised is told in one line at the end, and integrity in one of its own, unless the scenario asked.
fn row_is_shown(row: &GuaranteeRow) -> bool {
    row.expected || !(is_not_exercised(row) || row.id.starts_with("integrity."))
}

fn is_not_exercised(row: &GuaranteeRow) -> bool {
    row.verdict == Verdict::Inconclusive && row.why.as_deref().is_some_and(|why| why.starts_with("not exercised"))
}

fn verdict(row: &GuaranteeRow) -> String {
    let mut text = row.verdict.to_string();
    if row.verdict == Verdict::Held && row.stressed == Some(false) {
        text.push_str(", not stressed");
    }
    if row.expected && row.wanted != Verdict::Held {
        let _ = write!(text, " (wanted: {})", row.wanted);
    }
    text
}

fn integrity(out: &mut String, report: &Report, style: Style) {
    let rows: Vec<&GuaranteeRow> = report.guarantees.iter().filter(|row| row.id.starts_with("integrity.")).collect();
    let Some(worst) = rows.iter().map(|row| row.verdict).max() else { return };
    let short = |row: &&GuaranteeRow| row.id.trim_start_matches("integrity.").to_owned();
    let of = |verdict: Verdict| rows.iter().filter(|row| row.verdict == verdict).map(short).collect::<Vec<_>>();
    let mut text = format!("\nintegrity: {}", style.paint(worst, worst.as_str()));
    let (violated, unknown) = (of(Verdict::Violated), of(Verdict::Inconclusive));
    if worst == Verdict::Held {
        let _ = write!(text, " ({})", of(Verdict::Held).join(", "));
    }
    if !violated.is_empty() {
        let _ = write!(text, " · violated: {}", violated.join(", "));
    }
    if !unknown.is_empty() {
        let _ = write!(text, " · inconclusive: {}", unknown.join(", "));
        let why = rows.iter().find(|row| row.verdict == Verdict::Inconclusive).and_then(|row| row.why.as_deref());
        let _ = write!(text, " ({})", why.unwrap_or("no reason is given"));
    }
    line(out, text);
    for compared in &report.regions {
        let direction = if compared.direction.is_empty() { "as it should" } else { "NOT as it should" };
        let told = match &compared.unread {
            Some(why) => format!("could not be compared: {why}"),
            None => format!(
                "{} rows, {} versions and {} delete markers differ; replication runs {direction}",
                compared.rows, compared.versions, compared.markers
            ),
        };
        line(out, format!("  {} ended protected; both regions: {told}", compared.environment));
    }
    for row in &report.withheld {
        let (environment, region, versions) = (&row.environment, &row.region, row.versions);
        let waited = seconds(row.waited_s);
        line(
            out,
            format!("  {environment} files in {region}: {versions} listed and not handed out for up to {waited}"),
        );
    }
    for found in &report.findings {
        let store = found.store.map_or("", |store| match store {
            crate::model::operation::Store::Sql => " sql",
            crate::model::operation::Store::Files => " files",
        });
        let examples = found.examples.join(", ");
        line(
            out,
            format!("  {}{store} {} × {} at {}: {examples}", found.environment, found.count, found.id, found.event),
        );
    }
}

/// Ids alone, a set a paragraph.
fn not_exercised(out: &mut String, report: &Report, style: Style) {
    let mut ids: Vec<(&str, &str)> = Vec::new();
    for row in report.guarantees.iter().filter(|row| is_not_exercised(row) && !row.expected) {
        ids.push(row.id.split_once('.').unwrap_or(("", &row.id)));
    }
    ids.dedup();
    if ids.is_empty() {
        return;
    }
    line(out, format!("not exercised, so neither held nor violated: {} guarantees", ids.len()));
    for set in ids.chunk_by(|a, b| a.0 == b.0) {
        let names = set.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        let mut text = String::new();
        wrapped(&mut text, &format!("{}: {names}", set[0].0), "  ", style.width);
        line(out, style.faint(text.trim_end()));
    }
}

fn margin(margin: f64, unit: &str) -> String {
    if margin < 0.0 { format!("{} over", shown(-margin, unit)) } else { format!("{} left", shown(margin, unit)) }
}

pub(super) fn shown(figure: f64, unit: &str) -> String {
    match unit {
        "s" => seconds(figure),
        "" => format!("{figure}"),
        _ => format!("{figure} {unit}"),
    }
}

/// As many digits as mean something: milliseconds below ten seconds.
fn seconds(figure: f64) -> String {
    let text = if figure < 10.0 { format!("{figure:.3}") } else { format!("{figure:.1}") };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{} s", if text.is_empty() { "0" } else { text })
}
