//! Scenario files as data: every file in `bad/` and what is said of it, and files that must be read.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    api::{EnvironmentId, environment::EnvironmentKind, sabotage::Sabotage},
    model::{
        operation::Store,
        plan::{Action, Plan, Regions, Subject, When},
        promise::Promise,
        testbed::TestbedName,
        verdict::Verdict,
    },
    scenario::{Catalogue, Diagnostics, catalogue, parse, schema, shipped, unpack},
};

fn read(name: &str, text: &str) -> Result<Plan, Diagnostics> {
    parse(name, text, Path::new("/scenarios"), &Catalogue::of(TestbedName::Native, promises()))
}

/// The guarantees of every shipped set, read here past the room that judges them.
fn promises() -> Vec<Promise> {
    #[derive(Deserialize)]
    struct Set {
        guarantees: Vec<Promise>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guarantees");
    ["dataverse.yaml", "finops.yaml", "integrity.yaml"]
        .into_iter()
        .flat_map(|name| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            serde_saphyr::from_str::<Set>(&text).unwrap().guarantees
        })
        .collect()
}

/// A whole file around some lines of its own.
fn with(lines: &str) -> String {
    format!("geodrill: 1\nname: x\nenvironments: [ {{ id: sales, kind: dataverse-production }} ]\n{lines}\n")
}

#[test]
fn every_bad_file_is_told_all_that_is_wrong_with_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/scenario/tests/bad");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let errors = read(name, &fs::read_to_string(&file).unwrap()).expect_err(name);
        insta::assert_snapshot!(name, errors.render(false));
    }
}

#[test]
fn five_mistakes_are_five_diagnostics() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/scenario/tests/bad/five-mistakes.yaml"));
    assert_eq!(read("five-mistakes.yaml", &text.unwrap()).unwrap_err().errors.len(), 5);
}

#[test]
fn every_shipped_scenario_is_read_and_told_in_a_sentence() {
    let all = shipped();
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    assert_eq!(
        names,
        [
            "aborted-failover",
            "baseline",
            "control-outage",
            "environment-failover",
            "failback",
            "file-backlog",
            "finops-features",
            "lagging-replica",
            "lagging-replica-enforced",
            "lost-under-quota",
            "non-production",
            "partition-split-brain",
            "planned-failover",
            "round-trip",
            "short-outage",
            "tampered",
            "teams-upgrade",
            "too-little-compute",
            "too-little-compute-refused",
            "two-operators",
            "unplanned-failover"
        ]
    );
    for scenario in all {
        let plan = read(scenario.name, scenario.text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        assert_eq!(plan.name, scenario.name);
        assert_eq!(plan.about.as_deref(), Some(&*scenario.about));
        assert!(!plan.expect.is_empty());
    }
}

#[test]
fn shipped_scenarios_are_unpacked_with_the_commands_they_run() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path()).unwrap();
    for scenario in shipped() {
        let plan = read(scenario.name, scenario.text).unwrap();
        for step in plan.timeline {
            if let Action::Exec { command, .. } = step.action {
                assert!(folder.path().join(&command[0]).is_file(), "{command:?}");
            }
        }
    }
}

#[test]
fn a_soak_tightens_no_bound_and_shortens_no_timer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/soak");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        let plan = read(&name, &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        assert!(plan.expect.iter().all(|entry| entry.at_most.is_none()), "{name}");
        assert!(!plan.expect.is_empty() && !text.contains("_after") && !text.contains("grace"), "{name}");
    }
}

#[test]
fn three_zones_are_to_be_had_on_every_testbed() {
    let text = with("regions: { zones: 3 }");
    for testbed in TestbedName::ALL {
        let plan = parse("x.yaml", &text, Path::new("/scenarios"), &Catalogue::of(testbed, promises())).unwrap();
        assert_eq!(plan.regions.zones, 3);
    }
}

#[test]
fn a_zone_has_links_with_every_other_one_and_processes_of_its_own() {
    let regions = |zones: u8| Regions {
        primary: "east".parse().unwrap(),
        secondary: "west".parse().unwrap(),
        zones,
        processors: None,
    };
    // Six that belong to no region; of each site three to itself, three with each other one, two from the edge, three with the witness.
    for (zones, sites) in [(1, 2), (3, 6)] {
        let links = catalogue::links(&regions(zones));
        assert_eq!(links.len(), 6 + sites * (3 * sites + 5), "{zones}");
        assert_eq!(links.iter().collect::<BTreeSet<_>>().len(), links.len());
        assert_eq!(catalogue::processes(&regions(zones), &["sales".parse().unwrap()]).len(), 2 + 5 * sites);
    }
    let links = catalogue::links(&regions(3));
    for link in ["east -> east-2 / sql", "east-3 -> west / sql", "witness -> west-2 / node", "edge -> east-2 / files"] {
        assert!(links.contains(&link.parse().unwrap()), "{link}");
    }
}

#[test]
fn what_is_promised_of_zones_is_read_with_the_scenario_that_takes_each_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/zones/one-after-another.yaml");
    let plan =
        read("zones.yaml", &fs::read_to_string(path).unwrap()).unwrap_or_else(|all| panic!("{}", all.render(false)));
    let lost: Vec<(String, u8)> = plan
        .steps()
        .filter_map(|step| match &step.action {
            Action::Inject(fault) => Some((fault.to_string(), fault.lost_zone()?.1.0)),
            _ => None,
        })
        .collect();
    let told: Vec<(&str, u8)> = lost.iter().map(|(told, zone)| (&**told, *zone)).collect();
    let [first, second, third] =
        ["zone.outage zone 1 of east", "zone.outage zone 2 of east (freeze)", "zone.isolate zone 3 of east"];
    assert_eq!(told, [(first, 1), (second, 2), (third, 3)]);
}

#[test]
fn every_sabotage_has_a_scenario_that_wants_it_caught_by_its_id() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/sabotage");
    for sabotage in Sabotage::ALL {
        let name = format!("{sabotage}.yaml");
        let text = fs::read_to_string(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let plan = read(&name, &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        assert_eq!((&*plan.name, plan.platform.sabotage()), (sabotage.as_str(), Some(*sabotage)));
        let wanted = plan.expect.iter().find(|entry| match &entry.subject {
            Subject::Guarantee(id) | Subject::Measure(id) => id == sabotage.caught_by(),
        });
        assert!(wanted.is_some_and(|entry| entry.verdict != Verdict::Held), "{name}");
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        assert!(fits(&schema(), &schema(), &value), "{name}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), Sabotage::ALL.len(), "a scenario of no sabotage");
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let plan = read("x.yaml", &with("timeline: [ { pause: 1s } ]")).unwrap();
    insta::assert_json_snapshot!("defaults", plan);
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{ "geodrill": 1, "name": "x", "environments": [{ "id": "sales", "kind": "dataverse-production" }],
        "timeline": [{ "id": "cut", "for": "2s", "inject": { "link.partition": { "link": "east -> west / sql", "mode": "stall" } } }] }"#;
    assert_eq!(read("x.json", text).unwrap().timeline[0].id, "cut");
}

#[test]
fn steps_without_an_id_are_counted() {
    let plan = read("x.yaml", &with("timeline: [ { pause: 1s }, { id: b, pause: 1s }, { pause: 1s } ]")).unwrap();
    let ids: Vec<&str> = plan.timeline.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["step-1", "b", "step-3"]);
}

#[test]
fn the_whole_grammar_of_the_design_is_read() {
    let text = with(
        "timeline:
  - { id: held-back, when: { at: 1s }, inject: { link.partition: { link: \"east -> west / sql\", mode: stall } } }
  - { id: slow, for: 2s, inject: { link.latency: { link: \"edge -> east / sql\", latency: 100ms, jitter: 20ms } } }
  - { id: thin, when: { step: slow, is: healed }, inject: { link.bandwidth: { link: \"east -> west / files\", rate: 20KiB/s } } }
  - { id: dead, inject: { process.kill: { process: \"east / postgres / sales\" } } }
  - { id: frozen, for: 1s, inject: { process.pause: { process: \"west / node\" } } }
  - { id: outage, delay: 2s, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed, environment: sales, nth: 1 }, within: 30s, exec: { command: [./check.sh], timeout: 5s } }
  - { heal: outage }
  - { id: order, operate: { failover: { scope: environment, environments: [sales], accept_data_loss: true } } }
  - { id: last, when: { phase: quiesced }, exec: { command: [./inspect.sh] } }
expect:
  - { guarantee: dataverse.unplanned.loss, environment: sales, step: order, at_most: 10s }
  - { measure: loss.operations, step: failover-1, at_most: 500 }
  - { guarantee: integrity.corrupt, verdict: violated }
seed: 7",
    );
    let plan = read("x.yaml", &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    assert_eq!(plan.timeline.len(), 10);
    assert_eq!(plan.timeline[9].when, Some(When::Quiesced));
    assert_eq!(plan.seed, Some(7));
}

#[test]
fn steps_wait_for_what_is_measured() {
    let text = with(
        "timeline:
  - { when: { lag: { environment: sales, store: sql, at_least: 500ms } }, within: 5s, pause: 1s }
  - { when: { lag: { environment: sales, store: files, at_least: 2s } }, pause: 1s }
  - { when: { count: { environment: sales, acked: 500 } }, pause: 1s }
  - { when: { count: { acked: 1 } }, delay: 1s, pause: 1s }",
    );
    let plan = read("x.yaml", &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let sales: EnvironmentId = "sales".parse().unwrap();
    let lag = |store, ms| When::Lag { environment: sales.clone(), store, at_least: Duration::from_millis(ms) };
    let count = |environment, acked| When::Count { environment, acked };
    let found: Vec<When> = plan.timeline.into_iter().filter_map(|step| step.when).collect();
    let wanted =
        [lag(Store::Sql, 500), lag(Store::Files, 2_000), count(Some(sales.clone()), 500), count(None, 1)].to_vec();
    assert_eq!(found, wanted);
}

#[test]
fn steps_stand_side_by_side_and_wait_for_the_journal() {
    let text = with(
        "platform: { reference: { drain: 1s, gate: 2s, stopped: 5s, dwell: 1s, automatic_return: false, at_once: 1 } }
timeline:
  - id: attempt
    parallel:
      - { id: move, outcome: aborted, operate: { planned_failover: { scope: environment, environments: [sales] } } }
      - { id: stall, when: { journal: checkpointing, environment: sales, nth: 1 }, inject: { link.partition: { link: \"east -> west / sql\", mode: stall, direction: forward } } }
      - { when: { step: move, is: started }, inject: { control.crash: { at: draining, down_for: 500ms } } }
  - { heal: stall }
  - { id: flaps, for: 3s, inject: { link.flap: { link: \"east -> west / files\", period: 1s, duty: 70%, seed: 4 } } }
  - { id: paused, for: 3s, inject: { postgres.replay_pause: { region: west, environment: sales } } }
  - { id: held, for: 3s, inject: { files.replication_pause: { from: east } } }
  - { id: cut, for: 3s, inject: { region.isolate: { region: west } } }
  - { id: back, outcome: refused, operate: { failback: { scope: region, region: east } } }
expect:
  - { measure: loss.operations, step: move, at_most: 0 }
  - { measure: salvage.missing, at_most: 0 }
  - { guarantee: dataverse.failback.restored, step: back }",
    );
    let plan = read("x.yaml", &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let ids: Vec<&str> = plan.steps().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["attempt", "move", "stall", "step-1-3", "step-2", "flaps", "paused", "held", "cut", "back"]);
    let crash = plan.steps().find(|step| step.id == "step-1-3").unwrap();
    assert_eq!(crash.hold, Some(Duration::from_millis(500)), "it is started again by itself");
}

#[test]
fn what_a_step_converts_is_promised_what_production_is() {
    let file = |order: &str| {
        format!(
            "geodrill: 1
name: x
environments: [ {{ id: talk, kind: dataverse-teams }} ]
timeline:
  - {{ id: upgrade, {order} }}
  - {{ id: move, when: {{ lag: {{ environment: talk, store: sql, at_least: 1s }} }}, operate: {{ planned_failover: {{ scope: environment, environments: [talk] }} }} }}
expect:
  - {{ guarantee: dataverse.planned.loss, environment: talk, step: move }}
"
        )
    };
    let plan = read("x.yaml", &file("operate: { convert: { environment: talk } }")).unwrap();
    assert_eq!(plan.timeline[0].action, Action::Convert("talk".parse().unwrap()));
    let kinds = [EnvironmentKind::DataverseTeams, EnvironmentKind::DataverseProduction];
    assert_eq!(plan.kinds(&plan.environments[0]), kinds);
    // Refused, or to be undone, it makes nothing of it.
    for order in ["outcome: refused, operate: { convert: { environment: talk } }", "pause: 1s"] {
        let errors = read("x.yaml", &file(order)).unwrap_err().render(false);
        assert!(errors.contains("no replica that could be behind") && errors.contains("not promised"), "{errors}");
    }
}

/// A scenario of one step, of one environment and `sales`.
fn beside_sales(environment: &str, step: &str, guarantee: &str) -> String {
    format!(
        "geodrill: 1\nname: x\nenvironments: [ {environment}, {{ id: sales, kind: dataverse-production }} ]\n\
         timeline:\n  - {step}\nexpect:\n  - {{ guarantee: {guarantee} }}\n"
    )
}

#[test]
fn a_copy_is_of_production_into_a_sandbox_of_its_product_and_comes_after_the_last_write() {
    let with = |when: &str, from: &str, to: &str, outcome: &str| {
        let text = format!(
            "geodrill: 1\nname: x\nenvironments: [ {{ id: books, kind: finops-production }}, {{ id: trial, kind: finops-sandbox }}, {{ id: test, kind: dataverse-sandbox }} ]\ntimeline:\n  - {{ pause: 1s }}\n  - {{ {when}{outcome}operate: {{ copy: {{ from: {from}, to: {to} }} }} }}\n"
        );
        read("x.yaml", &text).map(drop).map_err(|errors| errors.errors[0].message.clone())
    };
    let quiesced = "when: { phase: quiesced }, ";
    assert_eq!(with(quiesced, "books", "trial", ""), Ok(()));
    for (when, from, to, why) in [
        (quiesced, "books", "books", "which is no sandbox"),
        (quiesced, "test", "trial", "which is no production environment"),
        (quiesced, "books", "test", "a copy is of one product"),
        ("", "books", "trial", "would count as lost"),
    ] {
        let told = with(when, from, to, "").unwrap_err();
        assert!(told.contains(why), "{from} {to}: {told}");
        assert_eq!(with(when, from, to, "outcome: refused, "), Ok(()), "{from} {to}");
    }
}

#[test]
fn a_support_ticket_is_for_what_has_features() {
    let file = |step: &str| beside_sales("{ id: books, kind: finops-production }", step, "finops.secondary.features");
    let of = |name: &str| format!("operate: {{ support_ticket: {{ environment: {name} }} }}");
    let plan = read("x.yaml", &file(&format!("{{ id: ticket, {} }}", of("books")))).unwrap();
    assert_eq!(plan.timeline[0].action, Action::Ticket("books".parse().unwrap()));
    let errors = read("x.yaml", &file(&format!("{{ {} }}", of("sales")))).unwrap_err().render(false);
    assert!(errors.contains("has no feature to restore") && errors.contains("outcome: refused"), "{errors}");
    read("x.yaml", &file(&format!("{{ outcome: refused, {} }}", of("sales")))).unwrap();
}

#[test]
fn a_back_up_is_of_what_has_no_replica_and_comes_after_the_last_write() {
    let file =
        |step: &str| beside_sales("{ id: test, kind: dataverse-sandbox }", step, "dataverse.nonproduction.backup");
    let of = |what: &str, name: &str| format!("operate: {{ {what}: {{ environment: {name} }} }}");
    let wrong = |step: String| read("x.yaml", &file(&step)).unwrap_err().render(false);
    let test: EnvironmentId = "test".parse().unwrap();
    for (name, action) in [
        ("back_up", Action::BackUp(test.clone())),
        ("destroy", Action::Destroy(test.clone())),
        ("restore", Action::Restore(test.clone())),
    ] {
        let quiesced = |id: &str| format!("{{ id: it, when: {{ phase: quiesced }}, {} }}", of(name, id));
        assert_eq!(read("x.yaml", &file(&quiesced("test"))).unwrap().timeline[0].action, action);
        assert!(wrong(quiesced("sales")).contains("which its replica protects"), "{name}");
        assert!(wrong(format!("{{ {} }}", of(name, "test"))).contains("phase: quiesced"), "{name}");
    }
    // What is to be refused changes nothing.
    read("x.yaml", &file(&format!("{{ outcome: refused, {} }}", of("back_up", "sales")))).unwrap();
}

#[test]
fn what_is_judged_to_the_end_is_not_deleted() {
    let step = "{ when: { phase: quiesced }, operate: { delete: { environment: sales } } }";
    let file = beside_sales("{ id: test, kind: dataverse-sandbox }", step, "dataverse.nonproduction.backup");
    let errors = read("x.yaml", &file).unwrap_err().render(false);
    assert!(errors.contains("judged to the end") && errors.contains("geodrill delete"), "{errors}");
}

#[test]
fn colour_comes_only_when_asked() {
    let errors = read("x.yaml", "geodrill: 2").unwrap_err();
    assert!(!errors.render(false).contains('\u{1b}'));
    assert!(errors.render(true).contains('\u{1b}'));
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/scenario.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --lib schema` and commit the result");
}

/// As much of JSON schema as ours uses.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let all = |key: &str, check: &dyn Fn(&Value) -> bool| schema.get(key).is_none_or(check);
    let count = |key: &str| schema[key].as_array().map(|list| list.iter().filter(|one| fits(root, one, value)).count());
    let target = |path: &Value| root["$defs"][path.as_str().unwrap().trim_start_matches("#/$defs/")].clone();
    all("$ref", &|path| fits(root, &target(path), value))
        && all("const", &|wanted| wanted == value)
        && all("enum", &|names| names.as_array().unwrap().contains(value))
        && all("type", &|kind| match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            _ => value.is_u64(),
        })
        && all("items", &|items| value.as_array().is_none_or(|list| list.iter().all(|item| fits(root, items, item))))
        && all("required", &|names| {
            names.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
        })
        && all("properties", &|fields| {
            value.as_object().is_none_or(|map| {
                map.iter().all(|(key, field)| fields.get(key).is_some_and(|schema| fits(root, schema, field)))
            })
        })
        && count("oneOf").is_none_or(|fitting| fitting == 1)
        && count("anyOf").is_none_or(|fitting| fitting > 0)
}

#[test]
fn the_schema_fits_what_is_shipped_and_not_what_is_wrong() {
    let schema = schema();
    for scenario in shipped() {
        let value: Value = serde_saphyr::from_str(scenario.text).unwrap();
        assert!(fits(&schema, &schema, &value), "{}", scenario.name);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/scenario/tests/bad");
    for name in
        ["five-mistakes", "actions", "measured", "side-by-side", "quantities", "regions", "nothing-required", "a-list"]
    {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        // A duplicate or a broken line is no value at all.
        if let Ok(value) = serde_saphyr::from_str::<Value>(&text) {
            assert!(!fits(&schema, &schema, &value), "{name}");
        }
    }
}

#[test]
fn broken_yaml_is_told_in_one_line_without_a_second_place() {
    let mut told = Vec::new();
    for text in ["a: \"open", "a: b: c", "\ta: 1", "a: [1, 2", "- a\nb: 1", "a: *nowhere", "--- a\n--- b\n", "\u{0}"] {
        let errors = read("x.yaml", text).unwrap_err().errors;
        told.push(format!("{text:?}: {}:{}: {}", errors[0].line, errors[0].column, errors[0].message));
        assert!(!errors[0].message.contains('\n') && !errors[0].message.contains(" line "), "{text:?}: {errors:?}");
    }
    insta::assert_snapshot!("syntax", told.join("\n"));
}

proptest! {
    #[test]
    fn no_text_makes_it_fall_over(
        which in 0_usize..4,
        cut in 0_usize..1500,
        len in 0_usize..40,
        put in "[a-zé\\[\\]{}:,\"# \n\t0-9~*&!|>-]{0,6}",
    ) {
        let mut text = shipped()[which].text.to_owned();
        let floor = |text: &str, mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (from, to) = (floor(&text, cut), floor(&text, cut + len));
        text.replace_range(from..to, &put);
        if let Err(errors) = read("x.yaml", &text) {
            prop_assert!(!errors.errors.is_empty());
            prop_assert!(errors.render(true).contains("x.yaml"));
        }
    }
}
