//! Statistics of trials whose outcomes are known; the contract's schema; what a person reads.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{Info, Statistics, Trial, contract::VerdictCounts, human, schema};
use crate::{
    guarantee::sample::Run,
    model::{testbed::TestbedName, verdict::Verdict},
    report::{
        Report, Style,
        tests::{failover, report},
    },
};

fn info(asked: u32) -> Info {
    Info {
        scenario: "sample".to_owned(),
        named: "my drills/sample.yaml".to_owned(),
        testbed: TestbedName::Native,
        seed: 7,
        asked,
        at_once: 1,
        interrupted: false,
        phases_below_s: 1.0,
    }
}

fn trials(reports: Vec<Result<Report, String>>) -> Vec<Trial> {
    let number = |(number, report)| {
        let phases_s = BTreeMap::from([("outage".to_owned(), 0.25 * f64::from(number))]);
        Trial { number, seed: 100 + u64::from(number), phases_s, report }
    };
    (1..).zip(reports).map(number).collect()
}

/// A report in which one guarantee has this verdict and figure.
fn with(id: &str, verdict: Verdict, measured: Option<f64>) -> Report {
    let mut report = report(&failover());
    for row in report.guarantees.iter_mut().filter(|row| row.id == id) {
        (row.verdict, row.measured) = (verdict, measured);
    }
    report
}

fn row<'s>(statistics: &'s Statistics, id: &str) -> &'s super::contract::StatisticsRow {
    statistics.guarantees.iter().find(|row| row.id == id).expect("it is there")
}

/// Three failovers, one run in which there was none, and one trial that could not start.
fn mixed() -> Statistics {
    let lost = |verdict, measured| Ok(with("dataverse.unplanned.loss", verdict, Some(measured)));
    let quiet = Run::quiet().expect("dataverse.unplanned.switched", None, Verdict::Held);
    let mut violated = with("dataverse.unplanned.loss", Verdict::Violated, Some(11.0));
    (violated.verdict, violated.reasons) = (Verdict::Violated, vec!["dataverse.unplanned.loss is violated".to_owned()]);
    let reports = vec![
        lost(Verdict::Held, 2.5),
        Ok(report(&quiet)),
        Ok(violated),
        Err("no block of ports is free".to_owned()),
        lost(Verdict::Held, 2.0),
    ];
    Statistics::new(&info(5), trials(reports))
}

#[test]
fn every_trial_counts_in_every_row() {
    let statistics = mixed();
    assert_eq!(statistics.trials.len(), 5);
    assert!(statistics.guarantees.iter().all(|row| row.verdicts.sum() == 5), "{:#?}", statistics.guarantees);
    let loss = row(&statistics, "dataverse.unplanned.loss");
    assert_eq!((loss.environment.as_deref(), loss.event.as_deref()), (Some("sales"), Some("failover-1")));
    let wanted = VerdictCounts { not_stressed: 2, violated: 1, inconclusive: 2, ..VerdictCounts::default() };
    assert_eq!(loss.verdicts, wanted, "the quiet run and the one that did not start are inconclusive");
    let figures = loss.figures.as_ref().expect("three were measured");
    let points: Vec<_> = figures.points.iter().map(|point| (point.trial, point.value)).collect();
    assert_eq!(points, [(1, 2.5), (3, 11.0), (5, 2.0)]);
    let summary = figures.summary.expect("three are conclusive");
    assert_eq!((summary.min, summary.median, summary.max, summary.p95), (2.0, 2.5, 11.0, None));
    assert_eq!(statistics.verdict, Verdict::Violated);
}

#[test]
fn a_row_without_an_event_stands_in_where_another_trial_has_the_event() {
    let statistics = mixed();
    let of = |event: Option<&str>| {
        let mut rows = statistics.guarantees.iter().filter(|row| row.id == "dataverse.unplanned.loss");
        rows.any(|row| row.event.as_deref() == event)
    };
    assert!(of(Some("failover-1")) && !of(None), "{:#?}", statistics.guarantees);
}

#[test]
fn rates_are_told_of_what_holds_or_not_by_conclusive_trials_alone() {
    let switched = "dataverse.unplanned.notice";
    let reports = [Verdict::Held, Verdict::Held, Verdict::Inconclusive, Verdict::Held];
    let clean = Statistics::new(&info(4), trials(reports.map(|verdict| Ok(with(switched, verdict, None))).to_vec()));
    let rate = row(&clean, switched).failure_rate.expect("it holds or does not");
    assert_eq!((rate.trials, rate.failures), (3, 0));
    assert!((rate.at_most - (1.0 - 0.05_f64.powf(1.0 / 3.0))).abs() < 1e-12);
    let mut reports = trials(reports.map(|verdict| Ok(with(switched, verdict, None))).to_vec());
    reports[0].report = Ok(with(switched, Verdict::Violated, None));
    let rate = row(&Statistics::new(&info(4), reports), switched).failure_rate.expect("as above");
    assert_eq!((rate.trials, rate.failures), (3, 1));
    assert!((rate.at_most - 0.8646).abs() < 5e-5, "{rate:?}");
    assert_eq!(row(&clean, "dataverse.unplanned.loss").failure_rate, None, "a figure has points, not a rate");
}

#[test]
fn a_trial_says_how_it_is_repeated_alone() {
    let repeat = |info: &Info| Statistics::new(info, trials(vec![Err("no".to_owned())])).trials[0].repeat.clone();
    assert_eq!(repeat(&info(1)), "geodrill run 'my drills/sample.yaml' --seed 101 --phase-seed 101");
    let shipped = Info { named: "baseline".to_owned(), testbed: TestbedName::Compose, ..info(1) };
    assert_eq!(repeat(&shipped), "geodrill run baseline --testbed compose --seed 101 --phase-seed 101");
}

#[test]
fn without_a_trial_nothing_is_held() {
    assert_eq!(Statistics::new(&info(3), Vec::new()).verdict, Verdict::Inconclusive);
}

#[test]
fn a_person_reads_counts_points_and_rates() {
    let text = human(&mixed(), Style { colour: false, width: 140 });
    insta::assert_snapshot!("human_trials", text);
    assert!(human(&mixed(), Style { colour: true, width: 140 }).contains('\u{1b}'));
}

#[test]
fn statistics_are_read_back_as_they_were_written() {
    let statistics = mixed();
    let text = serde_json::to_string(&statistics).unwrap();
    assert_eq!(serde_json::from_str::<Statistics>(&text).unwrap(), statistics);
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/trials.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --lib schema` and commit the result");
}

/// What a trial may say of a guarantee: its verdict, or nothing, since it brought no report.
fn outcome() -> impl Strategy<Value = Option<Verdict>> {
    let verdicts = [Verdict::Held, Verdict::Violated, Verdict::Inconclusive, Verdict::Reported];
    prop_oneof![Just(None), prop::sample::select(verdicts.to_vec()).prop_map(Some)]
}

proptest! {
    // Each case makes a whole report for every trial.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn counts_are_those_of_the_trials_in_any_order(outcomes in prop::collection::vec(outcome(), 1..12), turn in 0_usize..12) {
        const ID: &str = "dataverse.unplanned.notice";
        let of = |outcome: &Option<Verdict>| match outcome {
            Some(verdict) => Ok(with(ID, *verdict, Some(1.0))),
            None => Err("it did not start".to_owned()),
        };
        let in_order = trials(outcomes.iter().map(of).collect());
        let mut turned = in_order.clone();
        turned.rotate_left(turn % outcomes.len());
        let asked = u32::try_from(outcomes.len()).unwrap();
        let statistics = Statistics::new(&info(asked), in_order);
        prop_assert_eq!(&statistics, &Statistics::new(&info(asked), turned));
        let count = |wanted: Verdict| outcomes.iter().filter(|outcome| **outcome == Some(wanted)).count() as u64;
        let missing = outcomes.iter().filter(|outcome| outcome.is_none()).count() as u64;
        if missing < outcomes.len() as u64 {
            let counts = row(&statistics, ID).verdicts;
            prop_assert_eq!(counts.held + counts.not_stressed, count(Verdict::Held));
            prop_assert_eq!(counts.violated, count(Verdict::Violated));
            prop_assert_eq!(counts.inconclusive, count(Verdict::Inconclusive) + missing);
            prop_assert_eq!(counts.reported, count(Verdict::Reported));
        }
        prop_assert!(statistics.guarantees.iter().all(|row| row.verdicts.sum() == outcomes.len() as u64));
    }
}
