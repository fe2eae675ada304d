//! A planned failover and a failback take no longer for what is in the bucket: their gates cost what is in flight.
//!
//! `GEODRILL_OBJECTS` says how many rows and objects are there before the load (2,000 unless set).

use geodrill::{conduct::Drill, model::SwitchKind};

use crate::{
    support::{drill, longest, there_and_back},
    turn::alone,
};

const OBJECTS: u32 = 2_000;
/// Switches of each kind, with the objects and without.
const SWITCHES: usize = 3;
/// An interruption is known to a probe's period at either end.
const RESOLUTION_S: f64 = 0.2;
const KINDS: [SwitchKind; 2] = [SwitchKind::Planned, SwitchKind::Failback];

fn scenario(objects: u32) -> String {
    let mut text = format!(
        "geodrill: 1\nname: many\n\
         environments: [ {{ id: sales, kind: dataverse-production }} ]\n\
         platform: {{ reference: {{ dwell: 100ms }} }}\n\
         workload: {{ rate: 50/s, writers: 4, file_size: 256B, prefill: {objects}, warm_up: 3s, settle: 2s, min_acked: 60 }}\n\
         timeline:\n"
    );
    text.push_str(&there_and_back(SWITCHES, ["900s", "1800s"]));
    text.push_str(
        "expect:\n  - { measure: loss.operations, at_most: 0 }\n  - { measure: regions.differ, at_most: 0 }\n",
    );
    text
}

/// Median interruption of each kind of switch, seconds, and what the run said.
async fn medians(objects: u32) -> anyhow::Result<([f64; 2], String)> {
    let text = scenario(objects);
    let finished = drill(Drill::from_text("many.yaml", &text, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let intact = finished.measures.events.iter().map(|event| event.files.intact).max().unwrap_or_default();
    assert!(intact >= u64::from(objects), "{told}");
    let median = |kind| {
        let events = finished.measures.events.iter().filter(|event| event.switch() == Some(kind));
        let mut gaps: Vec<f64> = events.map(longest).collect();
        gaps.sort_by(f64::total_cmp);
        assert_eq!(gaps.len(), SWITCHES, "{told}");
        println!("{kind:?} with {objects} objects: interruption {gaps:.3?} s");
        gaps[SWITCHES / 2]
    };
    Ok((KINDS.map(median), told))
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_take_no_longer_for_what_is_in_the_bucket() -> anyhow::Result<()> {
    let objects = std::env::var("GEODRILL_OBJECTS").map_or(Ok(OBJECTS), |set| set.parse())?;
    let _turn = alone().await;
    let (few, _) = medians(0).await?;
    let (many, told) = medians(objects).await?;
    for ((kind, few), many) in KINDS.into_iter().zip(few).zip(many) {
        // Half as much again is what one run differs from the next by on a busy machine.
        assert!(
            many <= few * 1.5 + RESOLUTION_S,
            "{kind:?} with {objects} objects took {many:.3} s, without {few:.3} s\n{told}"
        );
    }
    Ok(())
}
