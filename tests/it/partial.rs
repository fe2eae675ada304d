//! A region's planned failover of which one environment fails its gate: the others are switched, it stays where it was,
//! and the order says so.

use geodrill::{
    conduct::Drill,
    model::operation::{EnvironmentIndex, Side},
};

use crate::{support::drill, turn::beside};

const SCENARIO: &str = r#"
geodrill: 1
name: partial
about: The replay of one of two environments is paused while their region is switched.
environments: [ { id: sales, kind: dataverse-production }, { id: books, kind: finops-production } ]
platform: { reference: { drain: 2s, gate: 2s, stopped: 5s } }
workload: { rate: 25/s, writers: 3, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - id: attempt
    within: 120s
    parallel:
      - { id: move, within: 120s, outcome: partial, operate: { planned_failover: { scope: region, region: east } } }
      - { id: paused, when: { journal: checkpointing }, within: 120s, inject: { postgres.replay_pause: { region: west, environment: sales } } }
  - { id: healed, heal: paused }
  - { id: after, pause: 2s }
expect:
  - { measure: switches, environment: sales, at_most: 0 }
  - { guarantee: finops.planned.switched, environment: books, step: move }
  - { guarantee: finops.planned.loss, environment: books, step: move }
  - { measure: loss.operations, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_environment_that_fails_its_gate_stays_and_the_other_goes() -> anyhow::Result<()> {
    let _turn = beside().await;
    let finished = drill(Drill::from_text("partial.yaml", SCENARIO, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    for (environment, to) in [(EnvironmentIndex(0), None), (EnvironmentIndex(1), Some(Side(1)))] {
        let mut events = finished.measures.events.iter();
        let attempt = events.find(|event| event.id == "move" && event.environment == environment);
        let attempt = attempt.expect("the attempt is an event of each");
        assert_eq!(attempt.switched.as_ref().and(attempt.to), to, "{environment:?}: {told}");
    }
    Ok(())
}
