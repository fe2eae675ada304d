//! The control plane killed in the middle of switches, on real servers: before the register is switched the switch is
//! undone, after it it goes forward; never half, and nothing is lost either way.
//!
//! Every step, and every pair, is covered on the pure core (`platform/core/tests`); here a few of each kind show that the
//! servers do what the model of them does.

use geodrill::{
    conduct::Drill,
    model::operation::{EnvironmentIndex, Side},
};

use crate::{share::share, support::drill, turn::beside};

/// A standby that stops receiving before the log is handed over: the switch can but be given up.
const STALLED: &str = r#"
      - { id: stalled, when: { journal: checkpointing }, within: 120s, inject: { link.partition: { link: "east -> west / sql", mode: stall } } }
  - { id: healed, heal: stalled }"#;

fn scenario(step: &str, outcome: &str) -> String {
    let stalled = if outcome == "aborted" { STALLED } else { "" };
    format!(
        r#"
geodrill: 1
name: control-killed-at-{step}
environments: [ {{ id: sales, kind: dataverse-production }} ]
platform: {{ reference: {{ dwell: 1ms, drain: 2s, gate: 2s, stopped: 5s }} }}
workload: {{ rate: 50/s, writers: 3, warm_up: 2s, settle: 2s, min_acked: 50 }}
timeline:
  - within: 120s
    parallel:
      - {{ id: move, within: 120s, outcome: {outcome}, operate: {{ planned_failover: {{ scope: region, region: east }} }} }}
      - {{ id: killed, within: 120s, inject: {{ control.crash: {{ at: {step}, down_for: 500ms }} }} }}{stalled}
  - {{ id: after, pause: 2s }}
expect:
  - {{ measure: loss.operations, environment: sales, at_most: 0 }}
  - {{ guarantee: integrity.split-brain }}
  - {{ guarantee: integrity.books }}
"#
    )
}

async fn check(step: &str, outcome: &str) -> anyhow::Result<()> {
    let text = scenario(step, outcome);
    let finished = drill(Drill::from_text("killed.yaml", &text, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let attempt = finished.measures.events.iter().find(|event| event.id == "move").expect("the attempt is an event");
    assert_eq!(attempt.environment, EnvironmentIndex(0), "{told}");
    let wanted = (outcome == "completed").then_some(Side(1));
    assert_eq!(attempt.switched.as_ref().and(attempt.to), wanted, "{step}: {told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_can_be_done_is_done_though_control_dies_before_or_after_the_point_of_no_return()
-> anyhow::Result<()> {
    let _turn = beside().await;
    for step in share("switches with control killed", &["notifying", "handing-over", "promoting", "opening"], 1) {
        check(step, "completed").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_cannot_be_done_is_undone_though_control_dies_in_it_or_in_its_undoing() -> anyhow::Result<()> {
    let _turn = beside().await;
    for step in share("undone switches with control killed", &["handing-over", "restoring"], 1) {
        check(step, "aborted").await?;
    }
    Ok(())
}
