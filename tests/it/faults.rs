//! Faults that need a whole platform to show their effect, one after another in one run, and a control plane that dies in
//! the middle of a failover.

use geodrill::conduct::Drill;

use crate::{support::drill, turn::beside};

const SCENARIO: &str = r#"
geodrill: 1
name: faults
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 10s } }
workload: { rate: 40/s, writers: 4, warm_up: 2s, settle: 2s, min_acked: 50 }
timeline:
  - { id: paused, for: 1s, inject: { postgres.replay_pause: { region: west, environment: sales } } }
  - { id: held, when: { step: paused, is: healed }, for: 1s, inject: { files.replication_pause: { from: east } } }
  - { id: one-way, when: { step: held, is: healed }, for: 1s, inject: { link.partition: { link: "east -> west / sql", mode: stall, direction: forward } } }
  - { id: flaps, when: { step: one-way, is: healed }, for: 2s, inject: { link.flap: { link: "west -> east / node", period: 600ms, mode: refuse } } }
  - { id: cut, when: { step: flaps, is: healed }, for: 1s, inject: { region.isolate: { region: west } } }
  - { id: calm, when: { step: cut, is: healed }, pause: 3s }
  - id: crashed
    parallel:
      - { id: order, within: 120s, operate: { failover: { scope: environment, environments: [sales] } } }
      - { id: crash, inject: { control.crash: { at: promoting, down_for: 500ms } } }
      - { id: seen, when: { journal: promoting, environment: sales }, pause: 0s }
  - { id: back, when: { step: crash, is: healed }, pause: 1s }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales, step: order }
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: order }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_proven_and_healed_and_a_crash_past_the_point_of_no_return_only_goes_forward()
-> anyhow::Result<()> {
    let _turn = beside().await;
    let finished = drill(Drill::from_text("faults.yaml", SCENARIO, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let proven = |step: &str| {
        let fault = finished.report.faults.iter().find(|fault| fault.step == step);
        let fault = fault.unwrap_or_else(|| panic!("no fault of `{step}`\n{told}"));
        assert!(!fault.unproven && fault.effective_s.is_some() && fault.healed_s.is_some(), "{fault:?}\n{told}");
        println!("{}\n  {}\n  {}", fault.target, fault.proof, fault.healing.clone().unwrap_or_default());
    };
    for step in ["paused", "held", "one-way", "flaps", "cut", "crash"] {
        proven(step);
    }
    let switches = finished.measures.events.iter().filter(|event| event.switched.is_some());
    assert_eq!(switches.count(), 1, "{told}");
    Ok(())
}
