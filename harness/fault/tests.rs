//! Each fault on a real testbed: real MinIO, Toxiproxy and Postgres, roles that only answer.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Clock, inject};
use crate::{
    api::{Region, Zone, site::ProcessEntry},
    model::{
        RunTime,
        fault::{Direction, Fault, OutageHow, PartitionMode},
        link::Link,
        process::ProcessName,
    },
    os::{inventory, process::Identity, spawn},
    testbed::{
        ProcessState, Testbed,
        native::{Native, fake},
    },
};

fn clock() -> Clock {
    let origin = Instant::now();
    Arc::new(move || RunTime::from_duration(origin.elapsed()))
}

fn link(text: &str) -> Link {
    text.parse().unwrap()
}

fn both(text: &str, mode: PartitionMode) -> Fault {
    Fault::LinkPartition { link: link(text), mode, direction: Direction::Both }
}

fn process(text: &str) -> ProcessName {
    text.parse().unwrap()
}

/// Injects, expects the proof, heals, expects that proof; returns both.
async fn prove(native: &Arc<Native>, fault: Fault) -> (String, String) {
    let injected = inject("step", &fault, Arc::clone(native) as Arc<dyn Testbed>, clock()).await;
    let record = injected.record().clone();
    assert!(!record.unproven && record.effective >= Some(record.requested), "{record:?}");
    let healed = injected.heal().await;
    assert!(!healed.unproven && healed.healed >= record.effective, "{healed:?}");
    eprintln!("{fault}\n  {}\n  {}", healed.proof, healed.healing.clone().unwrap_or_default());
    (healed.proof, healed.healing.unwrap_or_default())
}

/// Starts a Postgres in a region's first slot, as a node would.
fn start_postgres(native: &Native, region: &str) -> Identity {
    let site = native.folder().join(region);
    let data = site.join("n/pg");
    let (bin, template) = native.postgres();
    let port = native.postgres_port(&region.parse().unwrap());
    let copied = Command::new("cp").arg("-a").arg(template).arg(&data).status().unwrap();
    assert!(copied.success());
    let mut command = spawn::command(bin.join("postgres"), &data);
    command.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    command.args(["-c", &format!("port={port}")]).current_dir(&data);
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
    std::thread::spawn(move || child.wait());
    let entry = ProcessEntry {
        service: "postgres".to_owned(),
        environment: Some("sales".parse().unwrap()),
        pid: identity.pid,
        start_ticks: identity.start_ticks,
        port: Some(port),
        data: Some(data),
    };
    inventory::register(&site, entry).unwrap();
    // The checkpointer, the writers, the launchers and the statistics are there.
    while identity.tree().len() < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    identity
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_partitioned_slowed_and_narrowed_provably() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 2).await);
    start_postgres(&native, "east");
    for mode in PartitionMode::ALL {
        let (proof, healing) = prove(&native, both("east -> west / sql", mode)).await;
        assert!(mode == PartitionMode::Refuse || proof.contains("1 of 2 proxies"), "{proof}");
        assert!(healing.contains("1 of 2 answer"), "{healing}");
        let (proof, _) = prove(&native, both("east -> west / files", mode)).await;
        assert!(proof.contains("2 of 2 proxies"), "{proof}");
    }
    for text in ["east -> west / sql", "west -> east / files", "edge -> east / sql", "witness -> west / node"] {
        let (latency, jitter) = (Duration::from_millis(60), Duration::from_millis(10));
        prove(&native, Fault::LinkLatency { link: link(text), latency, jitter }).await;
        let (proof, _) = prove(&native, Fault::LinkBandwidth { link: link(text), rate_kib: 20 }).await;
        assert!(proof.contains("took as long as it must"), "{proof}");
    }
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_fails_one_way_as_toxiproxy_itself_then_shows() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    start_postgres(&native, "east");
    for (text, direction, stream) in [
        // The standby opens the connection and the log comes down to it.
        ("east -> west / sql", Direction::Forward, "downstream"),
        ("east -> west / sql", Direction::Backward, "upstream"),
        ("east -> west / files", Direction::Forward, "upstream"),
        ("edge -> east / sql", Direction::Backward, "downstream"),
    ] {
        for mode in [PartitionMode::Stall, PartitionMode::Blackhole] {
            let fault = Fault::LinkPartition { link: link(text), mode, direction };
            let injected = inject("step", &fault, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await;
            assert!(!injected.record().unproven, "{:?}", injected.record());
            let streams = native.toxic_streams(&link(text)).await;
            assert!(!streams.is_empty() && streams.iter().all(|of| of == stream), "{fault}: {streams:?}");
            let healed = injected.heal().await;
            assert!(!healed.unproven, "{healed:?}");
            assert!(native.toxic_streams(&link(text)).await.is_empty());
        }
    }
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_comes_and_goes_and_a_stores_link_is_held() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let period = Duration::from_millis(600);
    for mode in [PartitionMode::Refuse, PartitionMode::Blackhole] {
        let link = link("edge -> east / sql");
        let (proof, _) = prove(&native, Fault::LinkFlap { link, mode, period, duty_percent: 50, seed: 3 }).await;
        assert!(proof.contains("met both states"), "{proof}");
    }
    let (proof, _) = prove(&native, Fault::FilesReplicationPause { from: "west".parse().unwrap() }).await;
    assert!(proof.contains("2 of 2 proxies"), "{proof}");
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_cut_off_while_its_processes_run_on() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let postmaster = start_postgres(&native, "east");
    let before = native.processes(&process("east / node")).await.unwrap();
    let (proof, _) = prove(&native, Fault::RegionIsolate { region: "east".parse().unwrap() }).await;
    assert!(proof.contains("run on"), "{proof}");
    assert!(postmaster.is_alive() && native.processes(&process("east / node")).await.unwrap() == before);
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_dies_and_is_started_again() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let before = native.processes(&process("witness / control")).await.unwrap();
    let (_, healing) = prove(&native, Fault::ControlCrash { at: None, down_for: Duration::from_secs(1) }).await;
    assert!(healing.ends_with("and answers"), "{healing}");
    assert_ne!(native.processes(&process("witness / control")).await.unwrap(), before);
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_cannot_be_kept_from_replaying() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let fault = Fault::PostgresReplayPause { region: "west".parse().unwrap(), environment: "sales".parse().unwrap() };
    let injected = inject("pause", &fault, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await;
    assert!(injected.record().unproven && injected.record().proof.contains("no Postgres"), "{:?}", injected.record());
    let _ = injected.ends_with_the_run();
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_nobody_was_promoted_for_is_not_revived() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let fault = Fault::PostgresPrimaryRevive { region: "east".parse().unwrap(), environment: "sales".parse().unwrap() };
    let refused = async |why: &str| {
        let injected = inject("revived", &fault, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await;
        assert!(injected.record().unproven && injected.record().proof.contains(why), "{:?}", injected.record());
        let healed = injected.heal().await;
        assert!(healed.unproven && healed.healing.unwrap().contains("nothing was started"));
    };
    refused("no Postgres of sales runs in west").await;
    let postmaster = start_postgres(&native, "east");
    refused("runs already").await;
    assert!(postmaster.is_alive(), "who runs already is left alone");
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_nothing_behind_it_proves_nothing() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let testbed = || Arc::clone(&native) as Arc<dyn Testbed>;
    let link = link("west -> east / sql");
    let stall = both("west -> east / sql", PartitionMode::Stall);
    let injected = inject("held", &stall, testbed(), clock()).await;
    assert!(injected.record().unproven && injected.record().effective.is_none());
    assert!(injected.record().proof.contains("no service answered"), "{}", injected.record().proof);
    let record = injected.heal().await;
    assert!(record.unproven && record.healed.is_some(), "{record:?}");
    // A second fault on one link is refused rather than mixed with the first.
    let refuse = both("west -> east / sql", PartitionMode::Refuse);
    let first = inject("first", &refuse, testbed(), clock()).await;
    assert!(!first.record().unproven);
    let latency = Fault::LinkLatency { link, latency: Duration::from_millis(5), jitter: Duration::ZERO };
    let second = inject("second", &latency, testbed(), clock()).await;
    assert!(second.record().proof.contains("impedes it already"), "{}", second.record().proof);
    let _ = second.ends_with_the_run();
    assert!(!first.heal().await.unproven);
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_killed_and_paused_with_all_their_children() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    for name in ["east / files", "west / node", "witness / control", "edge / edge"] {
        let before = native.processes(&process(name)).await.unwrap();
        prove(&native, Fault::ProcessKill { process: process(name) }).await;
        assert_ne!(native.processes(&process(name)).await.unwrap(), before, "{name}");
        prove(&native, Fault::ProcessPause { process: process(name) }).await;
    }
    let postmaster = start_postgres(&native, "east");
    let (proof, healing) = prove(&native, Fault::ProcessPause { process: process("east / postgres / sales") }).await;
    assert!(proof.contains("processes stopped") && healing.contains("continued"), "{proof} {healing}");
    assert!(postmaster.is_alive());
    let nobody = Fault::ProcessKill { process: process("west / postgres / sales") };
    let injected = inject("none", &nobody, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await;
    assert!(injected.record().unproven && injected.record().proof.contains("no process"));
    let _ = injected.ends_with_the_run();
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_lost_with_everything_in_it_and_returns() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 2).await);
    let (east, sales) = ("east".parse().unwrap(), "sales".parse().unwrap());
    let postmaster = start_postgres(&native, "east");
    let stall = both("east -> west / sql", PartitionMode::Stall);
    let held = inject("held-back", &stall, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await;
    assert!(!held.record().unproven);
    let outage = Fault::RegionOutage { region: east };
    let (proof, healing) = prove(&native, outage).await;
    assert!(proof.contains("refuse connections") && healing.contains("run again"), "{proof} {healing}");
    assert!(!postmaster.is_alive());
    // Its node starts no Postgres here; evidence of the old one is still found, and the stall heals.
    let data = native.sql_data(&"east".parse().unwrap(), &sales).unwrap();
    assert!(data.join("PG_VERSION").is_file());
    let record = held.heal().await;
    assert!(!record.unproven && record.healing.as_ref().unwrap().contains("no service behind"), "{record:?}");
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_is_dropped_is_undone_in_the_background() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let files = native.processes(&process("east / files")).await.unwrap();
    let pause = Fault::ProcessPause { process: process("east / files") };
    drop(inject("dropped", &pause, Arc::clone(&native) as Arc<dyn Testbed>, clock()).await);
    for _ in 0..200 {
        if native.states(&files).await.unwrap() != [ProcessState::Stopped] {
            native.down().await.unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is still stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_lost_frozen_or_cut_off_alone_and_comes_back() {
    let parent = fake::folder();
    let native = Arc::new(fake::up_with_zones(parent.path(), 3, 1).await);
    let (region, zone) = ("east".parse::<Region>().unwrap(), Zone(1));
    let postmaster = start_postgres(&native, "east");
    let (proof, healing) =
        prove(&native, Fault::ZoneOutage { region: region.clone(), zone, how: OutageHow::Freeze }).await;
    assert!(proof.contains("are silent") && healing.contains("go on"), "{proof} {healing}");
    assert!(postmaster.is_alive());
    let (proof, healing) = prove(&native, Fault::ZoneIsolate { region: region.clone(), zone }).await;
    assert!(proof.contains("processes of zone 1 of east run on") && healing.contains("answers"), "{proof} {healing}");
    let (proof, healing) = prove(&native, Fault::ZoneOutage { region, zone, how: OutageHow::Kill }).await;
    assert!(proof.contains("refuse connections") && healing.contains("run again"), "{proof} {healing}");
    assert!(!postmaster.is_alive());
    native.down().await.unwrap();
}
