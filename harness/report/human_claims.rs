//! Claims for a person: one line for each, of the environment in which it was furthest off.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{
    contract::{ClaimErrorRow, Report},
    human::{Style, line, tabulated, wrapped},
};
use crate::model::claim::Spread;

/// The table of what was claimed, and below it what could not be compared.
pub(super) fn claims(out: &mut String, report: &Report, style: Style) {
    let rows = furthest_off(&report.claim_errors);
    let (compared, silent): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.error.is_some());
    if !compared.is_empty() {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
        let measured = "measured (median, worst)";
        table.set_header(["claimed by", "", "compared", "claimed (median, worst)", measured, "off (median, worst)"]);
        for row in compared {
            table.add_row(cells(row));
        }
        tabulated(out, &table, style);
    }
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in silent {
        let why = row.why.as_deref().unwrap_or("no reason is given");
        match reasons.iter_mut().find(|(of, _)| *of == why) {
            Some((_, claims)) => claims.push(row.claim.clone()),
            None => reasons.push((why, vec![row.claim.clone()])),
        }
    }
    for (why, claims) in reasons {
        let mut text = String::new();
        wrapped(&mut text, &format!("not compared: {} ({why})", claims.join(", ")), "  ", style.width);
        line(out, style.faint(text.trim_end()));
    }
}

/// Of each claim the row with the largest error; one without any only if there is no other.
fn furthest_off(rows: &[ClaimErrorRow]) -> Vec<&ClaimErrorRow> {
    let off = |row: &ClaimErrorRow| row.error.map_or(-1.0, |error| error.worst.abs());
    let mut kept: Vec<&ClaimErrorRow> = Vec::new();
    for row in rows {
        match kept.iter_mut().find(|other| (other.by, &other.claim) == (row.by, &row.claim)) {
            Some(other) if off(row) > off(other) => *other = row,
            Some(_) => {}
            None => kept.push(row),
        }
    }
    kept
}

fn cells(row: &ClaimErrorRow) -> [String; 6] {
    let unsaid = row.samples.silent + row.samples.unanswered;
    let unsaid = match row.measured_unsaid_max {
        Some(measured) if unsaid > 0 => format!(", unsaid {unsaid} (up to {})", figure(measured, &row.unit)),
        _ if unsaid > 0 => format!(", unsaid {unsaid}"),
        _ => String::new(),
    };
    let two = |spread: Option<Spread>, before: &str| {
        spread.map_or_else(String::new, |spread| {
            format!("{before}{}, {before}{}", figure(spread.median, &row.unit), figure(spread.worst, &row.unit))
        })
    };
    [
        row.by.as_str().to_owned(),
        row.claim.clone(),
        format!("{} of {}{unsaid}", row.samples.compared, row.samples.samples),
        two(row.claimed, ""),
        two(row.measured, if row.at_least { "≥ " } else { "" }),
        two(row.error, ""),
    ]
}

/// Whole bytes and objects, milliseconds of a second.
fn figure(figure: f64, unit: &str) -> String {
    match unit {
        "s" => format!("{figure:.3} s"),
        "bytes" => format!("{figure:.0} B"),
        _ => format!("{figure:.0}"),
    }
}
