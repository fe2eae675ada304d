//! An operator's order, and several runs at once.

use geodrill::{
    conduct::{Drill, Finished},
    model::operation::{EnvironmentIndex, Side},
};

use crate::{support::drill, turn::alone};

const ORDERED: &str = r#"
geodrill: 1
name: ordered
environments: [ { id: sales, kind: dataverse-production }, { id: books, kind: finops-production } ]
workload: { rate: 40/s, writers: 4, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - { id: order, within: 120s, operate: { failover: { scope: environment, environments: [sales] } } }
  - { id: after, pause: 1s }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales, step: order }
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: order }
  - { measure: loss.operations, environment: books, at_most: 0 }
  - { measure: switches, environment: books, at_most: 0 }
"#;

/// The old side is alive and still has clients: what fences it is the end of its permits alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_failover_of_one_environment_fences_a_living_side_and_leaves_the_other_alone() -> anyhow::Result<()>
{
    let _turn = alone().await;
    let finished = drill(Drill::from_text("ordered.yaml", ORDERED, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let switch = finished.measures.events.iter().find(|event| event.id == "order").expect("the switch is an event");
    assert_eq!(
        (switch.environment, switch.from, switch.to),
        (EnvironmentIndex(0), Some(Side(0)), Some(Side(1))),
        "{told}"
    );
    assert_eq!((switch.sql.zombie, switch.sql.hole, switch.files.zombie), (0, 0, 0), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_runs_stand_side_by_side() -> anyhow::Result<()> {
    let _turn = alone().await;
    let text = "geodrill: 1\nname: beside\nenvironments: [ { id: sales, kind: dataverse-production } ]\n\
        workload: { rate: 20/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 20 }\n\
        timeline: [ { pause: 1s } ]\nexpect: [ { measure: loss.operations, at_most: 0 } ]\n";
    let run =
        || async { anyhow::Ok(drill(Drill::from_text("beside.yaml", text, &std::env::temp_dir())?).run().await?) };
    let (one, other) = tokio::try_join!(run(), run())?;
    let folders = [&one, &other].map(|finished: &Finished| finished.folder.clone());
    assert_ne!(folders[0], folders[1]);
    one.assert_held();
    other.assert_held();
    Ok(())
}
