//! Planned failover and failback again and again at 200 operations a second, in one testbed: nothing may ever be lost.
//!
//! `GEODRILL_REPETITIONS` says how many of each (3 unless set). No number of clean runs proves zero: with N of them the
//! rate of failure is below 3/N at 95 %.

use std::fmt::Write;

use geodrill::{conduct::Drill, model::SwitchKind};

use crate::{
    support::{drill, longest, there_and_back},
    turn::alone,
};

/// Planned switchover by hand on the real stack, without a platform: median, seconds (`floors.md` of the design).
const FLOOR_S: f64 = 0.054;
/// The documented bound of a failback.
const DOCUMENTED_S: f64 = 60.0;
const REPETITIONS: usize = 3;
/// More steps than a scenario may have.
const REPETITIONS_MAX: usize = 60;

fn scenario(repetitions: usize) -> String {
    let mut text = "geodrill: 1\nname: repetitions\n\
        environments: [ { id: sales, kind: dataverse-production } ]\n\
        platform: { reference: { dwell: 100ms } }\n\
        workload: { rate: 200/s, writers: 8, file_share: 5%, warm_up: 3s, settle: 2s, min_acked: 200 }\n\
        timeline:\n"
        .to_owned();
    text.push_str(&there_and_back(repetitions, ["120s", "120s"]));
    text.push_str(
        "expect:\n  - { measure: loss.operations, at_most: 0 }\n  - { measure: regions.differ, at_most: 0 }\n",
    );
    for number in 1..=repetitions {
        let _ = write!(
            text,
            "  - {{ guarantee: dataverse.planned.loss, step: there-{number} }}\n  \
             - {{ guarantee: dataverse.failback.loss, step: back-{number} }}\n  \
             - {{ guarantee: dataverse.failback.interruption, step: back-{number} }}\n"
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_failover_and_failback_lose_nothing_however_often() -> anyhow::Result<()> {
    let repetitions = match std::env::var("GEODRILL_REPETITIONS") {
        Ok(set) => set.parse::<usize>()?.clamp(1, REPETITIONS_MAX),
        Err(_) => REPETITIONS,
    };
    let _turn = alone().await;
    let text = scenario(repetitions);
    let finished =
        drill(Drill::from_text("repetitions.yaml", &text, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    assert!(finished.measures.books.iter().all(|books| books.balanced), "{told}");
    for kind in [SwitchKind::Planned, SwitchKind::Failback] {
        let events: Vec<_> = finished.measures.events.iter().filter(|event| event.switch() == Some(kind)).collect();
        assert_eq!(events.len(), repetitions, "{told}");
        for event in &events {
            assert!(event.switched.is_some() && event.unobserved.is_none(), "{}\n{told}", event.id);
            assert_eq!((event.sql.lost(), event.files.lost()), (0, 0), "{}\n{told}", event.id);
        }
        let mut gaps: Vec<f64> = events.iter().map(|event| longest(event)).collect();
        gaps.sort_by(f64::total_cmp);
        let acked: u64 = events.iter().map(|event| event.acked_before).sum();
        println!(
            "{kind:?} × {repetitions}: 0 lost; interruption min {:.3} s, median {:.3} s, max {:.3} s (resolution {:.3} s; floor by \
             hand {FLOOR_S} s; documented {DOCUMENTED_S} s); all: {gaps:.3?}; {acked} acknowledged in the 5 s before; rate of loss \
             below {:.2} at 95 %",
            gaps[0],
            gaps[gaps.len() / 2],
            gaps[gaps.len() - 1],
            events[0].interruption.resolution_s,
            1.0 - 0.05_f64.powf(1.0 / repetitions as f64),
        );
        assert!(gaps[gaps.len() - 1] < DOCUMENTED_S, "{told}");
    }
    Ok(())
}
