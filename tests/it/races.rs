//! Operators who get in one another's way, and orders that come at the wrong time: refused or done one after the other,
//! each with a clear answer, and nothing lost.

use geodrill::{
    conduct::{Drill, Finished},
    model::{
        event::{Event, What},
        plan::StepState,
    },
};

use crate::{support::drill, turn::beside};

async fn held(name: &str, text: &str) -> anyhow::Result<Finished> {
    let _turn = beside().await;
    Ok(drill(Drill::from_text(name, text, &std::env::temp_dir())?).run().await?.assert_held())
}

/// What the step was told at its end.
fn told(finished: &Finished, step: &str) -> String {
    let text = std::fs::read_to_string(finished.folder.join("events.ndjson")).expect("a run keeps its events");
    let events = text.lines().map(|line| serde_json::from_str::<Event>(line).expect("an event"));
    let mut details = events.filter_map(|event| match event.what {
        What::Step { id, state: StepState::Done, detail } if id == step => Some(detail),
        _ => None,
    });
    details.next_back().unwrap_or_default()
}

const TWO_OPERATORS: &str = r#"
geodrill: 1
name: two-operators
about: Two planned failovers and a forced one at once, then another in quick succession.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { dwell: 60s } }
workload: { rate: 50/s, writers: 3, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - parallel:
      - { id: first, within: 120s, operate: { planned_failover: { scope: region, region: east } } }
      - { id: second, when: { event: failover.started }, outcome: refused, operate: { planned_failover: { scope: region, region: east } } }
      - { id: third, when: { event: failover.started }, outcome: refused, operate: { failover: { scope: environment, environments: [sales] } } }
  - { id: protected, when: { event: environment.protected }, within: 120s, pause: 1ms }
  - { id: too-soon, outcome: refused, operate: { failback: { scope: region, region: east } } }
expect:
  - { guarantee: dataverse.planned.loss, environment: sales, step: first }
  - { measure: switches, environment: sales, at_most: 1 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_is_served_and_the_other_told_why_not() -> anyhow::Result<()> {
    let finished = held("two-operators.yaml", TWO_OPERATORS).await?;
    for step in ["second", "third"] {
        assert!(told(&finished, step).contains("under way"), "{step}: {}", told(&finished, step));
    }
    assert!(told(&finished, "too-soon").contains("switched"), "{}", told(&finished, "too-soon"));
    Ok(())
}

const HALF_HEALTHY: &str = r#"
geodrill: 1
name: half-healthy
about: The region is back, its file store is not. Failback must wait for the whole region.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 1s, dwell: 1s } }
workload: { rate: 50/s, writers: 3, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - { id: outage, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed, environment: sales }, within: 120s, pause: 100ms }
  - { heal: outage }
  - { id: no-files, inject: { process.kill: { process: "east / files" } } }
  - { id: seen, pause: 1500ms }
  - { id: refused, outcome: refused, operate: { failback: { scope: region, region: east } } }
  - { heal: no-files }
  - { id: seen-again, pause: 1500ms }
  - { id: back, within: 120s, operate: { failback: { scope: region, region: east } } }
expect:
  - { guarantee: dataverse.failback.switched, environment: sales, step: back }
  - { guarantee: dataverse.failback.loss, environment: sales, step: back }
  - { guarantee: dataverse.failback.interruption, environment: sales, step: back, at_most: 60s }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_half_healthy_region_is_not_failed_back_to() -> anyhow::Result<()> {
    let finished = held("half-healthy.yaml", HALF_HEALTHY).await?;
    assert!(told(&finished, "refused").contains("file"), "{}", told(&finished, "refused"));
    Ok(())
}
