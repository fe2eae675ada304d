//! Every shipped scenario, as users of the library run them.

use geodrill::{conduct::Drill, model::verdict::Verdict};

use crate::support::{alone, drill};

#[tokio::test(flavor = "multi_thread")]
async fn baseline_loses_nothing_and_interrupts_nobody() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::shipped("baseline")?).run().await?.assert_held();
    for event in &finished.measures.events {
        assert_eq!((event.sql.lost(), event.files.lost()), (0, 0), "{}", finished.human());
        assert!(event.sql.acked > 100, "{}", finished.human());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unplanned_failover_loses_what_was_held_back_and_is_held() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::shipped("unplanned-failover")?).run().await?.assert_held();
    let switches: Vec<_> = finished.measures.events.iter().filter(|event| event.switched.is_some()).collect();
    assert_eq!(switches.len(), 2, "{}", finished.human());
    for switch in switches {
        assert!(switch.recovery_point.age_s > 0.5 && switch.sql.lost() > 20, "{}", finished.human());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_shorter_than_the_grace_causes_no_failover() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::shipped("short-outage")?).run().await?.assert_held();
    assert!(finished.measures.events.iter().all(|event| event.switched.is_none()), "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_is_found() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::shipped("tampered")?).run().await?.assert_held();
    let violated = finished.report.guarantees.iter().filter(|judged| judged.verdict == Verdict::Violated);
    assert!(violated.count() > 0, "{}", finished.human());
    Ok(())
}
