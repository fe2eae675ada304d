//! An old primary that comes back in one way or another and takes itself for the primary: it answers nobody, however it is
//! asked, and comes back in order.

use geodrill::{
    conduct::{Drill, Finished},
    model::measure::EventMeasures,
};

use crate::support::{alone, drill};

async fn held(name: &str, text: &str) -> anyhow::Result<Finished> {
    let _turn = alone().await;
    Ok(drill(Drill::from_text(name, text, &std::env::temp_dir())?).run().await?.assert_held())
}

/// The one failover, in which the old side was asked often and never answered.
fn fenced(finished: &Finished) -> &EventMeasures {
    let told = finished.human();
    let lost = finished.measures.events.iter().find(|event| event.id == "failover-1").expect("one failover");
    let asked = lost.old_side.expect("it switched");
    println!("{asked:?}");
    assert!(asked.asked >= 40, "{asked:?}\n{told}");
    assert_eq!((asked.answered, asked.in_doubt), (0, 0), "{told}");
    assert_eq!((lost.sql.zombie, lost.files.zombie), (0, 0), "{told}");
    assert_eq!(finished.measures.regions.len(), 1, "it ended protected\n{told}");
    lost
}

const WOKEN: &str = r#"
geodrill: 1
name: woken-primary
about: Everything of the primary that could answer is stopped over a failover, and then goes on as if nothing had been.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 1s } }
workload: { rate: 50/s, writers: 4, file_share: 20%, warm_up: 3s, settle: 2s, min_acked: 50 }
timeline:
  - id: asleep
    when: { at: 1s }
    parallel:
      - { id: compute-asleep, inject: { process.pause: { process: "east / compute" } } }
      - { id: node-asleep, inject: { process.pause: { process: "east / node" } } }
      - { id: sql-asleep, inject: { process.pause: { process: "east / postgres / sales" } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 2s }
  # The one that takes traffic first, its permits as it left them.
  - { id: awake, heal: compute-asleep }
  - { id: sql-awake, heal: sql-asleep }
  - { id: asked, pause: 1s }
  - { id: node-awake, heal: node-asleep }
  - { id: in-step, when: { event: environment.protected }, within: 120s, pause: 1s }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales }
  - { guarantee: integrity.split-brain }
  - { guarantee: integrity.stale-read }
  - { guarantee: integrity.ghost-read }
  - { measure: salvage.missing, environment: sales, step: failover-1, at_most: 0 }
  - { measure: regions.differ, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_paused_over_a_failover_wakes_to_closed_doors() -> anyhow::Result<()> {
    fenced(&held("woken.yaml", WOKEN).await?);
    Ok(())
}

const REVIVED: &str = r#"
geodrill: 1
name: revived-primary
about: The old primary is started again on its old data by nobody of its platform, and its region comes back around it.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 1s } }
workload: { rate: 50/s, writers: 4, file_share: 20%, warm_up: 3s, settle: 2s, min_acked: 50 }
timeline:
  - { id: held-back, when: { at: 1s }, inject: { link.partition: { link: "east -> west / sql", mode: stall } } }
  - { id: outage, delay: 500ms, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 500ms }
  - { id: revived, inject: { postgres.primary_revive: { region: east, environment: sales } } }
  - { heal: held-back }
  - { id: believed, pause: 1s }
  - { id: return, heal: outage }
  - { id: in-step, when: { event: environment.protected }, within: 120s, pause: 1s }
  - { id: ended, heal: revived }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales }
  - { guarantee: integrity.split-brain }
  - { guarantee: integrity.stale-read }
  - { guarantee: integrity.ghost-read }
  - { measure: salvage.missing, environment: sales, step: failover-1, at_most: 0 }
  - { measure: regions.differ, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_revived_past_its_platform_is_shut_in_and_comes_back_as_a_standby() -> anyhow::Result<()> {
    let finished = held("revived.yaml", REVIVED).await?;
    let lost = fenced(&finished);
    // It had rows that nobody else had, and believed them.
    assert!(lost.sql.lost() > 0, "{}", finished.human());
    let fault = finished.report.faults.iter().find(|fault| fault.step == "revived").expect("it was injected");
    println!("{}\n  {}\n  {}", fault.target, fault.proof, fault.healing.clone().unwrap_or_default());
    assert!(fault.proof.contains("two primaries"), "{fault:?}");
    assert!(fault.healing.as_ref().is_some_and(|healing| healing.contains("its node runs another one")), "{fault:?}");
    Ok(())
}
