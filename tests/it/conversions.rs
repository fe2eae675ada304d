//! The upgrade to production on real servers, with what can go wrong beside it: control killed at its steps, a link that does
//! not let a replica be made, the region lost after it.
//!
//! Every step, and every pair, is covered on the pure core (`platform/core/tests`).

use geodrill::{
    conduct::{Drill, Finished},
    model::operation::Side,
};

use crate::{share::share, support::drill, turn::beside};

async fn held(text: &str) -> anyhow::Result<Finished> {
    Ok(drill(Drill::from_text("conversion.yaml", text, &std::env::temp_dir())?).run().await?.assert_held())
}

fn killed_at(step: &str) -> String {
    format!(
        r#"
geodrill: 1
name: killed-at-{step}
environments: [ {{ id: talk, kind: dataverse-teams }} ]
workload: {{ rate: 40/s, writers: 3, file_share: 20%, warm_up: 2s, settle: 2s, min_acked: 40 }}
timeline:
  - {{ id: refused, outcome: refused, operate: {{ failover: {{ scope: environment, environments: [talk] }} }} }}
  - within: 120s
    parallel:
      - {{ id: upgrade, within: 120s, operate: {{ convert: {{ environment: talk }} }} }}
      - {{ id: killed, within: 120s, inject: {{ control.crash: {{ at: {step}, down_for: 500ms }} }} }}
  - {{ id: after, pause: 2s }}
expect:
  - {{ guarantee: dataverse.teams.no-replica }}
  - {{ guarantee: dataverse.replica.at-deployment }}
  - {{ measure: loss.operations, at_most: 0 }}
  - {{ measure: regions.differ, at_most: 0 }}
"#
    )
}

const KILLED_AT: [&str; 4] = ["preparing-replica", "creating-replica", "returning-files", "protecting"];

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_is_done_though_control_dies_in_it() -> anyhow::Result<()> {
    let _turn = beside().await;
    for step in share("conversions with control killed", &KILLED_AT, 1) {
        let finished = held(&killed_at(step)).await?;
        assert_eq!(finished.measures.regions.len(), 1, "{step}: it ended protected\n{}", finished.human());
    }
    Ok(())
}

const UNDONE: &str = r#"
geodrill: 1
name: not-converted
about: The other region cannot get the base of a replica. What was made of one is removed; later it is made.
environments: [ { id: talk, kind: dataverse-teams } ]
workload: { rate: 40/s, writers: 3, file_share: 20%, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - { id: refused, outcome: refused, operate: { failover: { scope: environment, environments: [talk] } } }
  - { id: cut, inject: { link.partition: { link: "east -> west / sql", mode: refuse } } }
  - { id: in-vain, within: 120s, outcome: aborted, operate: { convert: { environment: talk } } }
  - { id: refused-still, outcome: refused, operate: { failover: { scope: environment, environments: [talk] } } }
EXPECT
  - { guarantee: dataverse.teams.no-replica }
  - { measure: loss.operations, at_most: 0 }
  - { measure: interruption, at_most: 2s }
"#;

const DONE_LATER: &str = r#"
  - { heal: cut }
  - { id: upgrade, within: 120s, operate: { convert: { environment: talk } } }
  - { id: after, pause: 2s }
expect:
  - { measure: regions.differ, at_most: 0 }
  - { guarantee: dataverse.replica.at-deployment }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_cannot_be_done_leaves_nothing_and_can_be_done_later() -> anyhow::Result<()> {
    let _turn = beside().await;
    // Nothing is protected in the end, or what was tried in vain is done.
    for later in share("conversions in vain, and done later", &[false, true], 1) {
        let finished = held(&UNDONE.replace("EXPECT", if later { DONE_LATER } else { "expect:" })).await?;
        assert_eq!(finished.measures.regions.len(), usize::from(later), "{}", finished.human());
    }
    Ok(())
}

const LOST: &str = r#"
geodrill: 1
name: converted-and-lost
about: Converted, it is failed over with its region as any other, and comes home.
environments: [ { id: talk, kind: dataverse-teams } ]
platform: { reference: { outage_grace: 1s, dwell: 1s } }
workload: { rate: 40/s, writers: 3, file_share: 20%, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - { id: refused, outcome: refused, operate: { failover: { scope: environment, environments: [talk] } } }
  - { id: upgrade, within: 120s, operate: { convert: { environment: talk } } }
  - { id: in-step, pause: 1s }
  - { id: outage, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 500ms }
  - { heal: outage }
  - { id: back-in-step, when: { event: environment.protected }, within: 120s, pause: 1s }
  - { id: back, within: 120s, operate: { failback: { scope: region, region: east } } }
  - { id: restored, when: { event: environment.protected }, within: 120s, pause: 500ms }
expect:
  - { guarantee: dataverse.teams.no-replica }
  - { guarantee: dataverse.unplanned.switched, step: failover-1 }
  - { guarantee: dataverse.unplanned.notice, step: failover-1 }
  - { guarantee: dataverse.unplanned.declared, step: failover-1 }
  - { guarantee: dataverse.unplanned.loss, step: failover-1, at_most: 10s }
  - { guarantee: dataverse.failback.condition, step: back }
  - { guarantee: dataverse.failback.switched, step: back }
  - { guarantee: dataverse.failback.notice, step: back }
  - { guarantee: dataverse.failback.loss, step: back }
  - { guarantee: dataverse.failback.interruption, step: back, at_most: 10s }
  - { guarantee: dataverse.failback.restored, step: back }
  - { measure: regions.differ, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_converted_is_failed_over_and_back_as_any_production_environment() -> anyhow::Result<()> {
    let _turn = beside().await;
    let finished = held(LOST).await?;
    let told = finished.human();
    let to: Vec<_> = finished.measures.events.iter().filter_map(|event| event.to).collect();
    assert_eq!(to, [Side(1), Side(0)], "{told}");
    Ok(())
}
