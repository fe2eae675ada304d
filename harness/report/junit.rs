//! JUnit XML, for whoever shows test results: a suite for each run, a case for each expectation of its scenario and for the
//! integrity of what was measured.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::contract::{GuaranteeRow, Report};
use crate::model::verdict::Verdict;

/// The runs as JUnit.
///
/// # Errors
/// What cannot be written as XML.
pub fn junit(reports: &[Report]) -> Result<String, String> {
    let mut whole = quick_junit::Report::new("geodrill");
    whole.add_test_suites(reports.iter().map(suite));
    whole.to_string().map_err(|error| error.to_string())
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(format!("{} ({})", report.scenario, report.testbed));
    for (name, value) in [("seed", report.seed.to_string()), ("verdict", report.verdict.to_string())] {
        suite.add_property((name, value.as_str()));
    }
    suite.add_test_cases(report.guarantees.iter().filter(|row| row.expected).map(case));
    suite.add_test_case(whole(report));
    suite
}

/// One expectation: it passes if its verdict is the one that the scenario wants. A verdict that could not be reached is an
/// error, any other a failure.
fn case(row: &GuaranteeRow) -> TestCase {
    let place =
        [&row.environment, &row.event].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" · ");
    let name = if place.is_empty() { row.id.clone() } else { format!("{} ({place})", row.id) };
    let figures = match (row.measured, row.tested, &row.unit) {
        (Some(measured), Some(tested), Some(unit)) => format!("measured {measured} {unit}, at most {tested} {unit}; "),
        _ => String::new(),
    };
    let why = format!("{figures}{}", row.why.as_deref().unwrap_or("no reason is given"));
    TestCase::new(name, status(row.verdict, row.wanted, &why))
}

/// The run as a whole: what no expectation names, such as a step that failed or books that do not balance, is told here.
fn whole(report: &Report) -> TestCase {
    TestCase::new("verdict", status(report.verdict, Verdict::Held, &report.reasons.join("; ")))
}

fn status(verdict: Verdict, wanted: Verdict, why: &str) -> TestCaseStatus {
    if verdict == wanted || (verdict == Verdict::Reported && wanted == Verdict::Held) {
        return TestCaseStatus::success();
    }
    let kind = if verdict == Verdict::Inconclusive { NonSuccessKind::Error } else { NonSuccessKind::Failure };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(verdict.to_string()).set_message(format!("{verdict}, and wanted {wanted}: {why}"));
    status
}
