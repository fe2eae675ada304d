//! Several reports as one: every guarantee once, with the drill that says most of it.

use super::{
    contract::{GuaranteeRow, Report},
    human::{Style, line, table},
};
use crate::{api::environment::Product, model::verdict::Verdict};

/// What was judged of every guarantee in all of these drills. Drills of a platform that was broken on purpose say nothing of one
/// that is whole, and are left out.
pub fn together(reports: &[Report], style: Style) -> String {
    let whole: Vec<&Report> = reports.iter().filter(|report| report.sabotage.is_none()).collect();
    let mut out = String::new();
    if whole.is_empty() {
        return out;
    }
    let mut ids: Vec<&str> = Vec::new();
    for row in whole.iter().flat_map(|report| &report.guarantees).filter(|row| is_guarantee(row)) {
        if !ids.contains(&row.id.as_str()) {
            ids.push(&row.id);
        }
    }
    let rows: Vec<GuaranteeRow> = ids.iter().filter_map(|id| of_all(&whole, id)).collect();
    table(&mut out, "all drills together", &rows.iter().collect::<Vec<_>>(), style);
    let count = |is_one: fn(&GuaranteeRow) -> bool| rows.iter().filter(|row| is_one(row)).count();
    line(
        &mut out,
        format!(
            "\n{} guarantees in {}: {} held ({} of them not stressed), {} reported, {} violated, {} inconclusive",
            rows.len(),
            match whole.len() {
                1 => "1 drill".to_owned(),
                several => format!("{several} drills"),
            },
            count(|row| row.verdict == Verdict::Held),
            count(|row| row.verdict == Verdict::Held && row.stressed == Some(false)),
            count(|row| row.verdict == Verdict::Reported),
            count(|row| row.verdict == Verdict::Violated),
            count(|row| row.verdict == Verdict::Inconclusive),
        ),
    );
    out
}

/// Integrity and bounded measures are each drill's own.
fn is_guarantee(row: &GuaranteeRow) -> bool {
    [Product::Dataverse, Product::Finops].iter().any(|product| row.id.split('.').next() == Some(product.as_str()))
}

/// The row that says most of one guarantee; where it is shown is the drill.
fn of_all(reports: &[&Report], id: &str) -> Option<GuaranteeRow> {
    let rows = reports.iter().flat_map(|report| report.guarantees.iter().map(move |row| (report, row)));
    let of_id = rows.filter(|(_, row)| row.id == id);
    let (report, row) = of_id.min_by(|(_, one), (_, other)| {
        weight(one).cmp(&weight(other)).then_with(|| margin(one).total_cmp(&margin(other)))
    })?;
    let exercised = weight(row) < NOT_EXERCISED;
    Some(GuaranteeRow { environment: exercised.then(|| report.scenario.clone()), event: None, ..row.clone() })
}

const NOT_EXERCISED: u8 = 5;

/// A violation that nobody wanted says most; then what is proven, under stress before without; least what was not tried.
fn weight(row: &GuaranteeRow) -> u8 {
    match row.verdict {
        Verdict::Violated if row.wanted != Verdict::Violated => 0,
        Verdict::Held if row.stressed != Some(false) => 1,
        Verdict::Held => 2,
        Verdict::Reported => 3,
        Verdict::Violated | Verdict::Inconclusive => match &row.why {
            Some(why) if why.starts_with("not exercised") => NOT_EXERCISED,
            _ => 4,
        },
    }
}

/// How near to the bound it came; without a bound, the most that was measured comes first.
fn margin(row: &GuaranteeRow) -> f64 {
    match (row.tested, row.measured) {
        (Some(tested), Some(measured)) => (tested - measured).abs(),
        (None, Some(measured)) => -measured,
        (_, None) => f64::INFINITY,
    }
}
