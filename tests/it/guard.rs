//! The data-loss guard on real servers: loss against the time that a link was held back, as dose and response; and a bound
//! that is kept.

use std::fmt::Write;

use geodrill::{
    conduct::{Drill, Finished},
    model::{
        event::{Event, What},
        measure::EventMeasures,
        verdict::Verdict,
    },
};

use crate::{support::drill, turn::alone};

/// Operations a second that are offered.
const RATE: f64 = 50.0;
/// Writes a second of the probes: ten by each store, fresh and long-lived, and each commits a row.
const PROBES: f64 = 40.0;
/// The bound, seconds.
const BOUND_S: f64 = 7.0;

/// A drill whose link is off for so long before its region is lost.
fn text(guard: &str, held_ms: u64) -> String {
    format!(
        r#"
geodrill: 1
name: dose
environments: [ {{ id: sales, kind: dataverse-production }} ]
platform: {{ reference: {{ permit: 800ms, poll: 200ms, outage_grace: 1s, guard: {guard}, bound: 7s }} }}
workload: {{ rate: {RATE}/s, writers: 6, warm_up: 2s, settle: 1s, min_acked: 10 }}
timeline:
  - {{ id: held-back, inject: {{ link.partition: {{ link: "east -> west / sql", mode: refuse }} }} }}
  - {{ id: outage, delay: {held_ms}ms, inject: {{ region.outage: {{ region: east }} }} }}
  - {{ id: over, when: {{ event: failover.completed, environment: sales }}, within: 60s, pause: 500ms }}
expect:
  - {{ guarantee: dataverse.unplanned.loss, environment: sales, at_most: 7s }}
"#
    )
}

async fn run(text: &str) -> anyhow::Result<Finished> {
    Ok(drill(Drill::from_text("dose.yaml", text, &std::env::temp_dir())?).run().await?)
}

fn switch(finished: &Finished) -> &EventMeasures {
    let switched = finished.measures.events.iter().find(|event| event.switched.is_some());
    switched.unwrap_or_else(|| panic!("no switch\n{}", finished.human()))
}

/// Seconds from the request that held the link back to the last acknowledgement of the region that was lost.
fn exposed_s(finished: &Finished) -> f64 {
    let held =
        finished.report.faults.iter().find(|fault| fault.fault.contains("link.partition")).expect("it was injected");
    let cut = switch(finished).cut.expect("something was acknowledged");
    cut.seconds() - held.requested_s
}

/// How long the link and the region took to fail, seconds: when within that time they did, nobody can tell.
fn unsure_s(finished: &Finished) -> f64 {
    let faults = finished.report.faults.iter();
    faults.map(|fault| fault.effective_s.unwrap_or(fault.requested_s) - fault.requested_s).sum()
}

/// Doses in milliseconds, each under `observe`; the longest passes the bound and is given under `enforce` too.
fn doses() -> Vec<(&'static str, u64)> {
    let named = std::env::var("GEODRILL_DOSES").unwrap_or_else(|_| "1000,8500".to_owned());
    let observed = named.split(',').map(|dose| ("observe", dose.trim().parse().expect("milliseconds, by commas")));
    observed.chain([("enforce", 8_500)]).collect()
}

/// What the platform said, by name.
fn said(finished: &Finished) -> Vec<String> {
    let text = std::fs::read_to_string(finished.folder.join("events.ndjson")).expect("a run keeps its events");
    let events = text.lines().map(|line| serde_json::from_str::<Event>(line).expect("an event"));
    let names = events.filter_map(|event| match event.what {
        What::Claim(claim) => Some(claim.name),
        _ => None,
    });
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_grows_with_the_time_held_back_and_never_past_an_enforced_bound() -> anyhow::Result<()> {
    let _turn = alone().await;
    let mut table = "guard    held back   exposed   expected   lost    off    age      dose\n".to_owned();
    let mut wrong = Vec::new();
    for (guard, held_ms) in doses() {
        let finished = run(&text(guard, held_ms)).await?;
        let event = switch(&finished);
        let (exposed_s, lost, age_s) = (exposed_s(&finished), event.sql.lost(), event.recovery_point.sql_age_s);
        let expected = (RATE + PROBES) * exposed_s;
        let off = lost as f64 - expected;
        let dose_s = event.dose_s.unwrap_or_default();
        let held_s = held_ms as f64 / 1e3;
        writeln!(
            table,
            "{guard}  {held_s:>6.1} s   {exposed_s:>6.2} s   {expected:>8.1}   {lost:>4}   {off:>+5.1}   {age_s:>5.2} s   {dose_s:>5.2} s"
        )?;
        let judged = finished.report.guarantees.iter().find(|judged| judged.id == "dataverse.unplanned.loss");
        let judged = judged.expect("it was asked for");
        let is_passed = held_s > BOUND_S;
        let is_right = match guard {
            // Writes are not slowed: every one is acknowledged at its time.
            "observe" => {
                let tolerance = (expected * 0.02).max(5.0) + (RATE + PROBES) * unsure_s(&finished);
                let verdict = if is_passed { Verdict::Violated } else { Verdict::Held };
                off.abs() <= tolerance && judged.verdict == verdict
            }
            _ => {
                let withheld = said(&finished).iter().any(|name| name == "guard.withheld");
                age_s <= BOUND_S && judged.verdict == Verdict::Held && withheld == is_passed
            }
        };
        if !is_right || (is_passed && judged.stressed != Some(true)) {
            wrong.push(format!("{guard} {held_s} s: {judged:?}\n{}", finished.human()));
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
    Ok(())
}

const RELEASED: &str = r#"
geodrill: 1
name: released
about: Files are held back past the bound and arrive in the end. Writes are slowed and withheld meanwhile, and nothing is lost.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { permit: 800ms, poll: 200ms, guard: enforce, bound: 7s } }
workload: { rate: 40/s, writers: 6, file_share: 40%, warm_up: 2s, settle: 2s, min_acked: 10 }
timeline:
  - { id: held-back, inject: { files.replication_pause: { from: east } } }
  - { id: withheld, when: { event: guard.withheld }, pause: 2s }
  - { heal: held-back }
  - { id: released, when: { event: guard.released }, within: 60s, pause: 2s }
expect:
  - { measure: loss.operations, at_most: 0 }
  - { measure: switches, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_were_withheld_for_files_are_taken_again_once_these_have_arrived() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = run(RELEASED).await?.assert_held();
    let names = said(&finished);
    let guard: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("guard.")).collect();
    // At the end the examiner cuts each region off to read it, and that is told too.
    assert!(guard.starts_with(&["alerted", "throttled", "withheld", "released"]), "{guard:?}\n{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_lag_passes_its_bound_unless_that_is_enforced() -> anyhow::Result<()> {
    let _turn = alone().await;
    for (name, verdict) in [("lagging-replica", Verdict::Violated), ("lagging-replica-enforced", Verdict::Held)] {
        let finished = drill(Drill::shipped(name)?).run().await?.assert_held();
        let judged = finished.report.guarantees.iter().find(|judged| judged.id == "dataverse.unplanned.loss");
        let judged = judged.expect("it was asked for");
        assert_eq!((judged.verdict, judged.stressed), (verdict, Some(true)), "{}", finished.human());
        println!("{name}: {:?} s lost, bound {:?} s", judged.measured, judged.tested);
    }
    Ok(())
}
