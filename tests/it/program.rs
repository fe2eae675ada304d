//! The program from outside: help, mistakes, exit codes, and nothing left running.

use std::fs;

use predicates::prelude::*;
use tempfile::tempdir;

use crate::support::geodrill;

const FIVE_MISTAKES: &str = r#"geodrill: 1
name: five
environments: [ { id: sales, kind: dataverse-prodution } ]
workload: { rate: fast }
timeline:
  - { id: a, inject: { region.outrage: { region: east } } }
  - { id: b, heal: nobody }
  - { id: c, inject: { link.partition: { link: "east -> west / sqll", mode: stall } } }
expect: [ { guarantee: dataverse.unplanned.loss } ]
"#;

#[test]
fn five_mistakes_are_told_at_once_with_their_places() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("five.yaml");
    fs::write(&file, FIVE_MISTAKES).expect("written");
    for command in [&["validate"][..], &["run"][..]] {
        let mut told = geodrill().args(command).arg(&file).assert().code(64);
        for line in ["five.yaml:3", "five.yaml:4", "five.yaml:6", "five.yaml:7", "five.yaml:8"] {
            told = told.stderr(predicate::str::contains(line));
        }
        told.stderr(predicate::str::contains("^").and(predicate::str::contains("dataverse-production")));
    }
}

#[test]
fn what_is_unknown_is_refused_with_what_there_is() {
    geodrill()
        .args(["run", "no-such-scenario"])
        .assert()
        .code(64)
        .stderr(predicate::str::contains("unplanned-failover"));
    geodrill()
        .args(["run", "no/such/file.yaml"])
        .assert()
        .code(64)
        .stderr(predicate::str::contains("no/such/file.yaml"));
    geodrill().arg("run").assert().code(4).stderr(predicate::str::contains("nothing selected"));
    geodrill().args(["walk"]).assert().code(64);
}

#[test]
fn help_versions_lists_and_schemas_are_printed() {
    geodrill().arg("--help").assert().code(0).stdout(predicate::str::contains("Examples"));
    geodrill().args(["list", "guarantees"]).assert().code(0).stdout(predicate::str::contains("finops.unplanned.loss"));
    geodrill().args(["list", "--format", "json"]).assert().code(0).stdout(predicate::str::starts_with("{"));
    geodrill().args(["schema", "report"]).assert().code(0).stdout(predicate::str::contains("recovery_point"));
    geodrill().args(["completions", "bash"]).assert().code(0).stdout(predicate::str::contains("_geodrill"));
}

#[test]
fn a_missing_server_is_one_clear_message_and_nothing_is_started() {
    let nothing = tempdir().expect("a folder");
    geodrill()
        .args(["run", "baseline", "--setup", "never"])
        .env("GEODRILL_TOXIPROXY", nothing.path().join("no-toxiproxy"))
        .assert()
        .code(64)
        .stderr(predicate::str::contains("no-toxiproxy"));
}
