//! Every shipped scenario, as users of the library run them.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use geodrill::{
    conduct::{Drill, Finished},
    model::{SwitchKind, measure::EventMeasures, operation::Side, verdict::Verdict},
};

use crate::{
    support::drill,
    turn::{Turn, alone, beside},
};

#[tokio::test(flavor = "multi_thread")]
async fn baseline_loses_nothing_and_interrupts_nobody() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = held("baseline").await?;
    for event in &finished.measures.events {
        assert_eq!((event.sql.lost(), event.files.lost()), (0, 0), "{}", finished.human());
        assert!(event.sql.acked > 100, "{}", finished.human());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unplanned_failover_loses_what_was_held_back_and_is_held() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("unplanned-failover").await?;
    let switches: Vec<_> = finished.measures.events.iter().filter(|event| event.switched.is_some()).collect();
    assert_eq!(switches.len(), 2, "{}", finished.human());
    for switch in switches {
        assert!(switch.recovery_point.age_s > 0.5 && switch.sql.lost() > 20, "{}", finished.human());
    }
    // What the platform announces of it, and what it believes to have lost, stand beside what was measured.
    for claim in ["notified", "fenced", "promoted", "routed", "completed"].map(|part| format!("failover.{part}")) {
        assert_compared(&finished, &claim);
    }
    assert_compared(&finished, "estimated loss window");
    Ok(())
}

/// Both environments' claim was compared with what was measured, and is off by seconds at most.
fn assert_compared(finished: &Finished, claim: &str) {
    let rows = finished.report.claim_errors.iter().filter(|row| row.claim == claim);
    let errors: Vec<f64> = rows.filter_map(|row| row.error.map(|error| error.worst)).collect();
    println!("{claim}: off by {errors:.3?} s");
    assert!(
        errors.len() == 2 && errors.iter().all(|error| error.abs() < 10.0),
        "{claim}: {errors:?}\n{}",
        finished.human()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_shorter_than_the_grace_causes_no_failover() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = held("short-outage").await?;
    assert!(finished.measures.events.iter().all(|event| event.switched.is_none()), "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_is_found() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("tampered").await?;
    let violated = finished.report.guarantees.iter().filter(|judged| judged.verdict == Verdict::Violated);
    assert!(violated.count() > 0, "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_failover_loses_nothing() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("planned-failover").await?;
    let moved = events(&finished, "move");
    assert_eq!(moved.len(), 2, "{}", finished.human());
    for event in moved {
        assert_eq!(event.switch(), Some(SwitchKind::Planned));
        assert!(event.switched.is_some() && event.to == Some(Side(1)), "{}", finished.human());
        assert_eq!((event.sql.lost(), event.files.lost()), (0, 0), "{}", finished.human());
    }
    assert!(finished.measures.regions.iter().all(|compared| compared.unread.is_none()), "{}", finished.human());
    assert_eq!(finished.measures.regions.len(), 2, "both ended protected\n{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failback_follows_a_divergence_and_what_was_lost_is_what_was_salvaged() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("failback").await?;
    let told = finished.human();
    let [lost] = &events(&finished, "failover-1")[..] else { panic!("one failover\n{told}") };
    assert!(lost.sql.lost() > 20 && lost.files.lost() > 0, "{told}");
    let salvage = lost.salvage.as_ref().expect("a list was fetched");
    assert!(salvage.rows >= lost.sql.lost() && salvage.objects >= lost.files.lost(), "{told}");
    assert_eq!((salvage.missing, salvage.extra), (0, 0), "{:?}\n{told}", salvage.examples);
    let [back] = &events(&finished, "back")[..] else { panic!("one failback\n{told}") };
    assert_eq!((back.from, back.to, back.recovery_point.operations), (Some(Side(1)), Some(Side(0)), 0), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_loses_nothing_either_way() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("round-trip").await?;
    for (id, to) in [("there", Side(1)), ("back", Side(0))] {
        for event in events(&finished, id) {
            assert_eq!((event.to, event.recovery_point.operations), (Some(to), 0), "{}", finished.human());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failover_of_one_environment_is_not_noticed_by_the_other() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = held("environment-failover").await?;
    assert_eq!(events(&finished, "move").len(), 1, "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_their_object_are_marked_and_whole_again_after_the_return() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("file-backlog").await?;
    let told = finished.human();
    let [lost] = &events(&finished, "failover-1")[..] else { panic!("one failover\n{told}") };
    assert!(lost.dangling_marked > 0 && lost.dangling_unmarked == 0, "{told}");
    let end = finished.measures.events.iter().find(|event| event.kind.is_none()).expect("an end");
    println!(
        "marked at the outage {}, at the end {}, still marked though there {}",
        lost.dangling_marked, end.dangling_marked, end.dangling_left
    );
    assert!(end.dangling_marked < lost.dangling_marked && end.dangling_unmarked == 0, "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_receiver_aborts_a_planned_failover_without_harm() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("aborted-failover").await?;
    let told = finished.human();
    let [attempt] = &events(&finished, "move")[..] else { panic!("one attempt\n{told}") };
    assert!(attempt.aborted && attempt.switched.is_none(), "{told}");
    assert_eq!((attempt.sql.lost(), attempt.files.lost()), (0, 0), "{told}");
    assert!(finished.measures.events.iter().all(|event| event.switched.is_none()), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_keeps_its_clients_alone_answers_nobody_after_the_switch() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("partition-split-brain").await?;
    let told = finished.human();
    let [lost] = &events(&finished, "failover-1")[..] else { panic!("one failover\n{told}") };
    // It went on acknowledging until its permits had run out, and what it acknowledged had nowhere to go.
    assert!(lost.sql.lost() > 0 && lost.switched.is_some(), "{told}");
    assert_eq!((lost.sql.zombie, lost.files.zombie), (0, 0), "{told}");
    assert!(finished.measures.regions.iter().all(|compared| compared.unread.is_none()), "{told}");
    assert_eq!(finished.measures.regions.len(), 1, "it ended protected\n{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_control_for_ten_permits_moves_nobody_and_stops_no_write() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = held("control-outage").await?;
    let told = finished.human();
    assert!(finished.measures.events.iter().all(|event| event.kind.is_none()), "{told}");
    let outage = finished.report.faults.iter().find(|fault| fault.step == "outage").expect("it was injected");
    let lasted = outage.healed_s.zip(outage.effective_s).map(|(healed, effective)| healed - effective);
    assert!(lasted.is_some_and(|lasted| lasted >= 10.0), "{lasted:?}\n{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_has_no_replica_and_upgraded_to_production_loses_nothing_of_before() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("teams-upgrade").await?;
    let told = finished.human();
    let [moved] = &events(&finished, "move")[..] else { panic!("one switch\n{told}") };
    assert_eq!((moved.to, moved.sql.lost(), moved.files.lost()), (Some(Side(1)), 0, 0), "{told}");
    assert!(moved.switched.is_some() && moved.files.acked > 20, "{told}");
    // Both regions were laid beside each other, with what was written before the upgrade.
    assert!(finished.measures.regions.iter().all(|compared| compared.unread.is_none()), "{told}");
    assert_eq!(finished.measures.regions.len(), 2, "both ended protected\n{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_replica_stays_where_it_is_and_is_served() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = held("non-production").await?;
    let told = finished.human();
    assert_eq!(events(&finished, "move").len(), 1, "{told}");
    let behind = finished.report.guarantees.iter().filter(|judged| judged.id.ends_with(".secondary.nonproduction"));
    assert!(behind.clone().count() == 2 && behind.clone().all(|judged| judged.verdict == Verdict::Reported), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_operators_at_once_one_is_served_and_the_others_are_refused() -> anyhow::Result<()> {
    let _turn = turn().await;
    let finished = held("two-operators").await?;
    let told = finished.human();
    for (id, to) in [("first", Side(1)), ("back", Side(0))] {
        let [switch] = &events(&finished, id)[..] else { panic!("one switch by {id}\n{told}") };
        assert_eq!((switch.to, switch.sql.lost(), switch.files.lost()), (Some(to), 0, 0), "{told}");
    }
    Ok(())
}

/// Runs a shipped scenario, which has to be held. Where the examiner itself was held up by the machine, nothing can be said of an
/// interruption: then it is run once more, and that is told.
async fn held(name: &str) -> anyhow::Result<Finished> {
    let finished = run(name).await?;
    let is_held_up = |event: &EventMeasures| {
        event.interruption.each().into_iter().any(|(_, gap)| gap.is_some_and(|gap| gap.examiner_stalled))
    };
    if finished.verdict() == Verdict::Inconclusive && finished.measures.events.iter().any(is_held_up) {
        let told = format!("{name}: the machine held the examiner up; once more\n{}", finished.human());
        io::stderr().write_all(told.as_bytes())?;
        return Ok(run(name).await?.assert_held());
    }
    Ok(finished.assert_held())
}

/// With `GEODRILL_TEST_RESULTS` its results are left there, in a folder for each testbed, so that testbeds can be compared afterwards.
async fn run(name: &str) -> anyhow::Result<Finished> {
    let mut shipped = drill(Drill::shipped(name)?);
    if let Some(results) = std::env::var_os("GEODRILL_TEST_RESULTS") {
        let out = PathBuf::from(results).join(shipped.testbed().as_str()).join(name);
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        shipped = shipped.out(out);
    }
    Ok(shipped.run().await?)
}

/// A turn of a drill that hangs on no second. In containers, which take more of a machine, it is alone all the same.
async fn turn() -> Turn {
    match std::env::var("GEODRILL_TESTBED").as_deref() {
        Ok("compose") => alone().await,
        _ => beside().await,
    }
}

/// The events of one id, of every environment.
fn events<'a>(finished: &'a Finished, id: &str) -> Vec<&'a EventMeasures> {
    finished.measures.events.iter().filter(|event| event.id == id).collect()
}
