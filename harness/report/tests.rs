//! The contract, by a whole report and by its schema; and what a person reads.

use std::{fs, path::Path};

use serde_json::Value;

use super::{Report, RunInfo, Style, human, junit, schema, together};
use crate::{
    api::{control::PlatformEvent, sabotage::Sabotage},
    guarantee::{
        overall,
        sample::{Run, SALES},
    },
    model::{
        event::What,
        measure::{Finding, Integrity},
        verdict::Verdict,
    },
};

pub(super) fn report(run: &Run) -> Report {
    let judgements = run.judge();
    let info = RunInfo {
        seed: 7,
        testbed: "native".to_owned(),
        versions: vec![("postgres".to_owned(), "15.18".to_owned())],
        started_at: "2026-01-01 12:00:00".to_owned(),
        folder: "/runs/sample".to_owned(),
    };
    Report::new(&run.plan, &run.measures, &run.events, &judgements, &overall(&judgements, &run.events), info)
}

pub(super) fn failover() -> Run {
    let mut run = Run::good()
        .expect("dataverse.unplanned.switched", None, Verdict::Held)
        .expect("dataverse.unplanned.loss", Some(10.0), Verdict::Held)
        .expect("finops.unplanned.loss", Some(1.0), Verdict::Held)
        .expect("interruption", Some(15.0), Verdict::Held);
    let claim = PlatformEvent {
        number: 9,
        at_ms: 13_000,
        name: "failover.completed".to_owned(),
        operation: Some(1),
        region: None,
        environment: Some("sales".parse().unwrap()),
        epoch: None,
        detail: "estimated loss 2.1 s".to_owned(),
    };
    run.happened(13.25, What::Claim(claim));
    run
}

fn tampered() -> Run {
    let mut run = Run::quiet().expect("integrity.corrupt", None, Verdict::Violated);
    run.measures.findings.push(Finding {
        id: Integrity::Corrupt,
        environment: SALES,
        event: "end".to_owned(),
        store: Some(crate::model::operation::Store::Sql),
        count: 1,
        examples: vec!["00000001-000001-00000001-00".to_owned()],
    });
    run
}

#[test]
fn a_whole_report_stays_as_it_is() {
    insta::assert_json_snapshot!("report", report(&failover()));
}

#[test]
fn every_key_that_the_contract_names_is_there() {
    let required = r#"{ "schema": 0, "scenario": 0, "seed": 0, "testbed": 0, "verdict": 0,
      "guarantees": [ { "id": 0, "environment": 0, "event": 0, "verdict": 0, "stressed": 0,
          "documented": 0, "tested": 0, "measured": 0, "count": 0, "unit": 0, "why": 0 } ],
      "events": [ { "id": 0, "kind": 0, "environment": 0, "switched": 0,
          "recovery_point": { "age_s": 0, "sql_age_s": 0, "files_age_s": 0, "tail_s": 0, "in_doubt_age_s": 0 },
          "interruption": { "sql_write_s": 0, "sql_read_s": 0, "files_write_s": 0, "files_read_s": 0, "resolution_s": 0 },
          "sql": { "intents": 0, "acked": 0, "intact": 0, "superseded": 0, "lost_create": 0, "stale": 0, "resurrected": 0,
                   "corrupt": 0, "in_doubt_present": 0, "in_doubt_absent": 0, "fail_present": 0, "fail_absent": 0,
                   "duplicate": 0, "hole": 0, "torn": 0, "zombie": 0, "late": 0, "foreign": 0, "lost_bytes": 0, "residual": 0 },
          "files": { "intents": 0, "out_of_order": 0 }, "dangling_marked": 0, "dangling_unmarked": 0, "orphans": 0,
          "phases_s": { "suspected": 0, "declared": 0, "fenced": 0, "first_ack": 0 } } ],
      "claims": [ ], "faults": [ { "fault": 0, "requested_s": 0, "effective_s": 0, "proof": 0 } ] }"#;
    fn has(path: &str, required: &Value, found: &Value) {
        match required {
            Value::Object(fields) => fields.iter().for_each(|(key, field)| {
                let path = format!("{path}.{key}");
                has(&path, field, found.get(key).unwrap_or_else(|| panic!("{path} is missing")));
            }),
            Value::Array(items) => {
                let found = found.as_array().unwrap_or_else(|| panic!("{path} is no list"));
                items.iter().for_each(|item| has(&format!("{path}[0]"), item, &found[0]));
            }
            _ => {}
        }
    }
    let value = serde_json::to_value(report(&failover())).unwrap();
    has("report", &serde_json::from_str(required).unwrap(), &value);
    assert_eq!(value["schema"], "geodrill.report/1");
    assert_eq!(value["events"][0]["kind"], "unplanned");
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let report = report(&failover());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn a_claim_has_its_error_beside_it() {
    let claims = report(&failover()).claims;
    assert_eq!((claims[0].measured_s, claims[0].error_s), (Some(13.0), Some(0.25)));
}

#[test]
fn a_person_reads_the_verdict_first() {
    let plain = Style { colour: false, width: 140 };
    insta::assert_snapshot!("human_failover", human(&report(&failover()), plain));
    insta::assert_snapshot!("human_tampered", human(&report(&tampered()), plain));
}

#[test]
fn colour_comes_only_when_asked() {
    let text = |colour| human(&report(&failover()), Style { colour, width: 100 });
    assert!(!text(false).contains('\u{1b}'));
    assert!(text(true).contains('\u{1b}'));
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/report.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --lib schema` and commit the result");
}

#[test]
fn junit_fails_what_is_violated_errs_on_what_is_open_and_passes_what_was_wanted() {
    let xml = junit(&[report(&failover()), report(&tampered())]).unwrap();
    insta::assert_snapshot!("junit", xml);
}

#[test]
fn of_several_drills_every_guarantee_is_told_once_by_the_drill_that_says_most() {
    let (good, bad) = (report(&failover()), report(&tampered()));
    let told = together(&[bad.clone(), good.clone()], Style::PLAIN);
    let rows = |id: &str| told.lines().filter(|line| line.contains(id)).map(str::to_owned).collect::<Vec<_>>();
    let [loss] = &rows("dataverse.unplanned.loss")[..] else { panic!("{told}") };
    assert!(loss.contains("held") && loss.contains(&good.scenario), "{told}");
    let [zone] = &rows("dataverse.zone.availability")[..] else { panic!("{told}") };
    assert!(zone.contains("inconclusive") && !zone.contains(&good.scenario), "{told}");
    assert!(told.contains("guarantees in 2 drills"), "{told}");
    // A broken platform says nothing of a whole one.
    let broken = Report { sabotage: Some(Sabotage::SkipFence), ..good };
    assert!(together(&[bad, broken], Style::PLAIN).contains("guarantees in 1 drill:"));
    assert_eq!(together(&[], Style::PLAIN), "");
}
