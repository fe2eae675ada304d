//! Features in the report, and for a person: a line for each period in which customers asked.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{
    contract::{FeatureRow, Report},
    human::{Style, tabulated},
};
use crate::model::{measure::Measures, operation::Side, plan::Plan};

/// The rows.
pub(super) fn rows(plan: &Plan, measures: &Measures) -> Vec<FeatureRow> {
    let regions = [&plan.regions.primary, &plan.regions.secondary];
    let region = |side: Side| regions[usize::from(side.0).min(1)].to_string();
    let rows = measures.features.iter().map(|period| FeatureRow {
        environment: super::make::name(plan, period.environment),
        feature: period.feature,
        region: region(period.side),
        ticket: period.ticket,
        began_s: period.began.seconds(),
        asked: period.asked,
        given: period.given,
        unavailable: period.unavailable,
        unanswered: period.unanswered,
        right: period.right,
        wrong: period.wrong,
        unchecked: period.unchecked,
        given_after_s: period.given_after_s,
        why: period.why.clone(),
        examples: period.examples.clone(),
    });
    rows.collect()
}

/// The table.
pub(super) fn features(out: &mut String, report: &Report, style: Style) {
    if report.features.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["features of", "", "served from", "asked", "given", "figures", ""]);
    for row in &report.features {
        table.add_row(cells(row));
    }
    tabulated(out, &table, style);
}

fn cells(row: &FeatureRow) -> [String; 7] {
    let ticket = if row.ticket { ", support ticket done" } else { "" };
    let unanswered = if row.unanswered > 0 { format!(", {} without an answer", row.unanswered) } else { String::new() };
    let unchecked = if row.unchecked > 0 { format!(", {} not compared", row.unchecked) } else { String::new() };
    let figures = match row.given {
        0 => String::new(),
        _ => format!("{} right, {} wrong{unchecked}", row.right, row.wrong),
    };
    let first = row.given_after_s.filter(|_| row.unavailable > 0);
    let first = first.map(|after| format!("first after {after:.1} s")).unwrap_or_default();
    let told = match (row.examples.first(), &row.why) {
        (Some(example), _) => example.clone(),
        (None, Some(why)) if row.given == 0 => why.clone(),
        _ => first,
    };
    [
        row.environment.clone(),
        row.feature.to_string(),
        format!("{}{ticket}, from {:.1} s", row.region, row.began_s),
        format!("{}{unanswered}", row.asked),
        row.given.to_string(),
        figures,
        told,
    ]
}
