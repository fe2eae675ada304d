//! An old primary that comes back in one way or another and takes itself for the primary: it answers nobody, however it is
//! asked, and comes back in order.

use std::{io, path::PathBuf, time::Duration};

use geodrill::{
    api::role::ComputeConfig,
    conduct::{Drill, Finished},
    model::{
        measure::{EventMeasures, Integrity},
        verdict::Verdict,
    },
    os::{files, inventory},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{support::drill, turn::beside};

async fn held(name: &str, text: &str) -> anyhow::Result<Finished> {
    let _turn = beside().await;
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

const UNFENCED: &str = r#"
geodrill: 1
name: unfenced-primary
about: The old primary is started again, and behind a door that asks for no permit it serves whoever comes.
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 1s } }
workload: { rate: 50/s, writers: 4, file_share: 20%, warm_up: 3s, settle: 2s, min_acked: 50 }
timeline:
  - { id: outage, when: { at: 1s }, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 120s, pause: 500ms }
  - { id: revived, inject: { postgres.primary_revive: { region: east, environment: sales } } }
  - { id: served, pause: 3s }
expect:
  - { guarantee: dataverse.unplanned.switched, environment: sales }
"#;

/// Takes the place of a lost region's compute, as soon as its port is free, and lets in everybody.
async fn careless_door(run: PathBuf) -> io::Result<()> {
    let site = run.join("east");
    let port = loop {
        if let Ok(config) = files::read_json::<ComputeConfig>(&site.join("compute.json")) {
            break config.listen_sql.port();
        }
        sleep(Duration::from_millis(50)).await;
    };
    // Until the compute has it.
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let listener = loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => break listener,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    loop {
        let (mut client, _) = listener.accept().await?;
        let site = site.clone();
        tokio::spawn(async move {
            while client.read_u8().await? != b'\n' {}
            let running = inventory::read(&site)?.processes.into_iter().filter(inventory::is_alive);
            let postgres = running.filter(|entry| entry.service == "postgres").find_map(|entry| entry.port);
            let Some(postgres) = postgres else { return client.write_all(b"refused nobody is here\n").await };
            client.write_all(b"ok\n").await?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(("127.0.0.1", postgres)).await?).await.map(drop)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_not_fenced_is_found_by_asking_it() -> anyhow::Result<()> {
    let _turn = beside().await;
    let drill = drill(Drill::from_text("unfenced.yaml", UNFENCED, &std::env::temp_dir())?);
    let door = tokio::spawn(careless_door(drill.folder().to_owned()));
    let finished = drill.run().await?.assert(Verdict::Violated);
    door.abort();
    let told = finished.human();
    let found = |id: Integrity| -> u64 {
        let findings = finished.measures.findings.iter().filter(|found| found.id == id && found.event == "failover-1");
        findings.map(|found| found.count).sum()
    };
    let asked = finished.measures.events.iter().find_map(|event| event.old_side).expect("it switched");
    println!("{asked:?}: {} zombies, {} stale reads", found(Integrity::SplitBrain), found(Integrity::StaleRead));
    assert!(found(Integrity::SplitBrain) >= 4 && found(Integrity::StaleRead) >= 4, "{told}");
    assert!(asked.answered >= 8 && asked.answered < asked.asked, "{asked:?}\n{told}");
    assert!(finished.measures.books.iter().all(|books| books.balanced), "{told}");
    // Customers were served by the new side alone.
    let lost = finished.measures.events.iter().find(|event| event.id == "failover-1").expect("one failover");
    assert!(lost.cut < lost.switched, "{told}");
    Ok(())
}
