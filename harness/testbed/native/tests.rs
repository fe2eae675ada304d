//! On real MinIO and Toxiproxy, with roles that only answer.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Native, fake};
use crate::{
    api::{Region, Zone},
    clients::s3,
    model::{fault::PartitionMode, link::Link, process::ProcessName},
    os::files::private_folder,
    testbed::{
        contract::{Deed, Impediment, LinkTrial, ProcessState, Testbed, TestbedError},
        setup::{self, SetupMode},
        undo,
    },
};

const ANSWER: Duration = Duration::from_millis(500);

fn link(text: &str) -> Link {
    text.parse().unwrap()
}

fn process(text: &str) -> ProcessName {
    text.parse().unwrap()
}

fn region(text: &str) -> Region {
    text.parse().unwrap()
}

fn is_answer(trial: &LinkTrial) -> bool {
    matches!(trial, LinkTrial::Answered(_))
}

async fn trials(native: &Native, text: &str) -> Vec<LinkTrial> {
    native.try_link(&link(text), ANSWER).await.unwrap().into_iter().map(|(_, trial)| trial).collect()
}

/// Everything that runs in the run's folder.
fn alive(folder: &Path) -> usize {
    undo::alive(folder).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_up_answers_and_goes_down_without_a_trace() {
    let parent = fake::folder();
    let started = Instant::now();
    let native = fake::up(parent.path(), 4).await;
    eprintln!("up in {:?}", started.elapsed());
    let folder = native.folder().to_owned();
    for name in ["east / files", "west / files", "east / node", "west / compute", "witness / control", "edge / edge"] {
        assert_eq!(native.processes(&process(name)).await.unwrap().len(), 1, "{name}");
    }
    for all in native.links() {
        let trials = trials(&native, &all.to_string()).await;
        let expected = match (all.service.as_str(), all.from.as_str(), all.to.as_str()) {
            // Nothing deployed, no Postgres; doors of the fake edge are not there either; nobody wants notices yet.
            ("sql", from, _) if from != "edge" => trials.iter().all(|trial| *trial == LinkTrial::NoService),
            ("files", "client", _) | ("notices", ..) => trials.iter().all(|trial| *trial == LinkTrial::NoService),
            _ => trials.iter().all(is_answer),
        };
        assert!(expected, "{all}: {trials:?}");
    }
    // The auditor has every right in both regions, past all links.
    for name in ["east", "west"] {
        let port = native.stores(&region(name), &"sales".parse().unwrap()).files.unwrap();
        let client = s3::client(port, &native.auditor().s3, Duration::from_secs(5));
        client.create_bucket().bucket("audit").send().await.unwrap();
        client.put_object().bucket("audit").key("a").body(b"x".to_vec().into()).send().await.unwrap();
    }
    let stopped = Instant::now();
    native.down().await.unwrap();
    eprintln!("down in {:?}", stopped.elapsed());
    assert_eq!(alive(&folder), 0);
    assert!(undo::standing().unwrap().iter().all(|(_, standing)| standing.folder != folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_fail_in_each_way_and_come_back() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 2).await;
    let (one, other) = ("east -> west / files", "edge -> east / sql");
    let links = [link(one), link(other)];
    for (mode, expected) in [
        (PartitionMode::Stall, LinkTrial::Silent),
        (PartitionMode::Blackhole, LinkTrial::Silent),
        (PartitionMode::Refuse, LinkTrial::Refused),
        (PartitionMode::Reset, LinkTrial::Reset),
    ] {
        native.impede(&links, Impediment::Partition(mode)).await.unwrap();
        assert_eq!(trials(&native, one).await, [expected.clone(), expected.clone()], "{mode:?}");
        assert_eq!(trials(&native, other).await, [expected], "{mode:?}");
        assert!(trials(&native, "west -> east / files").await.iter().all(is_answer), "{mode:?}: another link");
        let twice = native.impede(&links[..1], Impediment::Bandwidth { rate_kib: 1 }).await;
        assert!(matches!(twice, Err(TestbedError::Failed(_))), "{twice:?}");
        native.clear(&links).await.unwrap();
        assert!(trials(&native, one).await.iter().all(is_answer), "{mode:?}");
        assert!(trials(&native, other).await.iter().all(is_answer), "{mode:?}");
    }
    let unknown = native.clear(&[link("east -> moon / sql")]).await;
    assert!(matches!(unknown, Err(TestbedError::Unusable(_))), "{unknown:?}");
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_region_is_gone_at_once_and_returns_with_what_still_impedes_it() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 2).await;
    let east = region("east");
    let before = native.processes(&process("east / files")).await.unwrap();
    let stalled = [link("east -> west / files")];
    native.impede(&stalled, Impediment::Partition(PartitionMode::Stall)).await.unwrap();

    let started = Instant::now();
    native.lose_region(&east).await.unwrap();
    eprintln!("lost in {:?}", started.elapsed());
    assert!(native.states(&before).await.unwrap().iter().all(|state| *state == ProcessState::Gone));
    for all in native.links().iter().filter(|link| link.touches("east")) {
        // A killed process listens until the last of its threads is gone.
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let trials = trials(&native, &all.to_string()).await;
            if trials.iter().all(|trial| *trial == LinkTrial::Cut) {
                break;
            }
            assert!(Instant::now() < deadline, "{all}: {trials:?}");
        }
    }
    assert!(trials(&native, "edge -> west / sql").await.iter().all(is_answer));
    assert!(trials(&native, "client -> witness / control").await.iter().all(is_answer));

    native.return_region(&east).await.unwrap();
    assert_ne!(native.processes(&process("east / files")).await.unwrap(), before);
    assert!(trials(&native, "east -> east / files").await.iter().all(is_answer));
    assert!(trials(&native, "witness -> east / node").await.iter().all(is_answer));
    assert_eq!(trials(&native, "east -> west / files").await, [LinkTrial::Silent, LinkTrial::Silent]);
    native.clear(&stalled).await.unwrap();
    assert!(trials(&native, "east -> west / files").await.iter().all(is_answer));
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_regions_keep_running_and_come_back_one_by_one() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 1).await;
    let (east, west) = (region("east"), region("west"));
    let before = native.processes(&process("east / files")).await.unwrap();
    native.isolate(&east).await.unwrap();
    native.isolate(&west).await.unwrap();
    assert_eq!(native.processes(&process("east / files")).await.unwrap(), before);
    native.return_region(&east).await.unwrap();
    assert_eq!(native.processes(&process("east / files")).await.unwrap(), before);
    assert!(trials(&native, "edge -> east / sql").await.iter().all(is_answer));
    assert_eq!(trials(&native, "east -> west / node").await, [LinkTrial::Cut]);
    native.return_region(&west).await.unwrap();
    assert!(trials(&native, "east -> west / node").await.iter().all(is_answer));
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_reach_the_receiver_that_was_named() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 1).await;
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = native.notices(receiver.local_addr().unwrap().port()).await.unwrap();
    let connect = tokio::net::TcpStream::connect(link.to_string());
    let (accepted, connected) = tokio::join!(receiver.accept(), connect);
    accepted.unwrap();
    connected.unwrap();
    native.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toxiproxy_that_hangs_is_remade_as_it_should_be() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 1).await;
    let servers = native.processes(&process("links / toxiproxy")).await.unwrap();
    assert_eq!(servers.len(), 4);
    native.act(&servers, Deed::Stop).await.unwrap();
    let stalled = [link("edge -> west / files")];
    let told = native.impede(&stalled, Impediment::Partition(PartitionMode::Stall)).await.unwrap_err();
    assert!(told.to_string().contains("broke every connection"), "{told}");
    assert_eq!(trials(&native, "edge -> west / files").await, [LinkTrial::Silent]);
    assert!(trials(&native, "edge -> west / sql").await.iter().all(is_answer));
    native.clear(&stalled).await.unwrap();
    assert!(trials(&native, "edge -> west / files").await.iter().all(is_answer));
    // Stopped servers are ended all the same.
    native.down().await.unwrap();
    assert_eq!(alive(native.folder()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_dies_at_its_start_is_told_with_its_last_words_and_nothing_is_left() {
    let parent = fake::folder();
    let (spec, programs) = fake::spec(parent.path(), 1, 1).await;
    let folder = parent.path().join("run");
    private_folder(&folder.join("west")).unwrap();
    std::fs::write(folder.join("west/compute.json.die"), "").unwrap();
    let error = Native::up(spec, programs).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("west / compute") && error.contains("told to die"), "{error}");
    assert_eq!(alive(&folder), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_binary_is_refused_before_anything_starts() {
    let parent = fake::folder();
    let (mut spec, programs) = fake::spec(parent.path(), 1, 1).await;
    spec.role_binary = "/bin/echo".into();
    match Native::up(spec, programs).await.map(|_| ()) {
        Err(TestbedError::Unusable(why)) => assert!(why.contains("role --handshake"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_testbed_in_a_panic_leaves_nothing_running() {
    let parent = fake::folder();
    let native = Arc::new(fake::up(parent.path(), 1).await);
    let folder = native.folder().to_owned();
    assert!(alive(&folder) > 6);
    let task = tokio::spawn(async move {
        let _held = native;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(alive(&folder), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_call_shortens_the_end_and_skips_nothing() {
    let parent = fake::folder();
    let native = fake::up(parent.path(), 1).await;
    // A role that does not react is waited for, unless somebody is in a hurry.
    let node = native.processes(&process("east / node")).await.unwrap();
    native.act(&node, Deed::Stop).await.unwrap();
    let (first, second) = tokio::join!(native.down(), native.down());
    first.unwrap();
    second.unwrap();
    assert_eq!(alive(native.folder()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_is_found_quickly() {
    let quiet = |_: &str| {};
    setup::ensure(&quiet, SetupMode::Auto).await.unwrap();
    let started = Instant::now();
    setup::ensure(&quiet, SetupMode::Never).await.unwrap();
    // 5 ms on an idle machine; generous, since tests run side by side.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    eprintln!("found in {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_side_by_side_do_not_meet() {
    let (one, other) = (fake::folder(), fake::folder());
    let (first, second) = tokio::join!(fake::up(one.path(), 1), fake::up(other.path(), 1));
    first.lose_region(&region("east")).await.unwrap();
    assert!(trials(&second, "edge -> east / sql").await.iter().all(is_answer));
    first.down().await.unwrap();
    assert!(trials(&second, "edge -> east / sql").await.iter().all(is_answer));
    second.down().await.unwrap();
}

fn zone_process(site: &str, service: &str) -> ProcessName {
    process(&format!("{site} / {service}"))
}

/// One attempt at writing and reading back through a zone's node of a region's store.
async fn goes_on(native: &Native, zone: u8, key: &str) -> Result<(), String> {
    let (east, sales) = (region("east"), "sales".parse().unwrap());
    let port = native.stores_in(&east, Zone(zone), &sales).files.ok_or("it does not run")?;
    let client = s3::client(port, &native.auditor().s3, Duration::from_secs(3));
    let body = key.as_bytes().to_vec();
    let put = client.put_object().bucket("audit").key(key).body(body.clone().into()).send().await;
    put.map_err(|error| format!("{error:?}"))?;
    let got = client.get_object().bucket("audit").key(key).send().await.map_err(|error| format!("{error:?}"))?;
    let read = got.body.collect().await.map_err(|error| error.to_string())?.into_bytes();
    if read == body { Ok(()) } else { Err(format!("{key} reads as {read:?}")) }
}

/// As [`goes_on`], tried again for a while: a store that has just lost a node or gained one may refuse requests, until its nodes see
/// one another's drives again; up to 40 s were seen.
async fn soon_goes_on(native: &Native, zone: u8, key: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while let Err(why) = goes_on(native, zone, key).await {
        assert!(Instant::now() < deadline, "zone {zone}: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn with_bucket(native: &Native) {
    let port = native.stores(&region("east"), &"sales".parse().unwrap()).files.unwrap();
    let client = s3::client(port, &native.auditor().s3, Duration::from_secs(5));
    client.create_bucket().bucket("audit").send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_three_zones_goes_on_without_one_and_all_comes_up_and_goes_down_without_a_trace() {
    let parent = fake::folder();
    let started = Instant::now();
    let native = fake::up_with_zones(parent.path(), 3, 2).await;
    eprintln!("three zones up in {:?}", started.elapsed());
    let folder = native.folder().to_owned();
    let sites = [native.sites(&region("east")), native.sites(&region("west"))].concat();
    assert_eq!(sites, ["east", "east-2", "east-3", "west", "west-2", "west-3"]);
    for site in &sites {
        for service in ["files", "node", "compute"] {
            let name = zone_process(site, service);
            assert_eq!(native.processes(&name).await.unwrap().len(), 1, "{name}");
        }
    }
    for all in native.links().iter().filter(|link| link.from != "client" && link.to != "client") {
        let trials = trials(&native, &all.to_string()).await;
        let expected = match all.service.as_str() {
            "sql" if all.from != "edge" => trials.iter().all(|trial| *trial == LinkTrial::NoService),
            _ => trials.iter().all(is_answer),
        };
        assert!(expected, "{all}: {trials:?}");
    }
    with_bucket(&native).await;
    for zone in 1..=3 {
        soon_goes_on(&native, zone, &format!("before-{zone}")).await;
    }

    // Its store alone: the others write on.
    let store = zone_process("east", "files");
    native.act(&native.processes(&store).await.unwrap(), Deed::Kill).await.unwrap();
    let (killed, mut longest) = (Instant::now(), Duration::ZERO);
    for attempt in 0.. {
        let began = Instant::now();
        soon_goes_on(&native, 2, &format!("without-{attempt}")).await;
        longest = longest.max(began.elapsed());
        if killed.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    eprintln!("one store of three killed: longest write and read {longest:?}");
    let elsewhere = native.stores(&region("east"), &"sales".parse().unwrap()).files;
    assert_eq!(elsewhere, native.stores_in(&region("east"), Zone(2), &"sales".parse().unwrap()).files);
    native.restart(&store).await.unwrap();
    soon_goes_on(&native, 1, "again").await;

    native.down().await.unwrap();
    assert_eq!(alive(&folder), 0);
    assert!(undo::standing().unwrap().iter().all(|(_, standing)| standing.folder != folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_zone_is_gone_at_once_and_returns_while_the_others_go_on() {
    let parent = fake::folder();
    let native = fake::up_with_zones(parent.path(), 3, 1).await;
    let east = region("east");
    with_bucket(&native).await;
    let before = native.processes(&process("east-2 / files")).await.unwrap();
    let stalled = [link("east-2 -> west-3 / files")];
    native.impede(&stalled, Impediment::Partition(PartitionMode::Stall)).await.unwrap();

    let started = Instant::now();
    native.lose_zone(&east, Zone(2)).await.unwrap();
    eprintln!("zone lost in {:?}", started.elapsed());
    assert!(native.states(&before).await.unwrap().iter().all(|state| *state == ProcessState::Gone));
    for all in native.links().iter().filter(|link| link.touches("east-2")) {
        assert!(trials(&native, &all.to_string()).await.iter().all(|trial| *trial == LinkTrial::Cut), "{all}");
    }
    for other in ["edge -> east / sql", "east -> east-3 / files", "east-3 -> west / files", "west-2 -> east / node"] {
        assert!(trials(&native, other).await.iter().all(is_answer), "{other}");
    }
    soon_goes_on(&native, 1, "without").await;
    // A link of its own cannot be opened while it is away.
    native.clear(&stalled).await.unwrap();
    assert_eq!(trials(&native, "east-2 -> west-3 / files").await, [LinkTrial::Cut]);
    native.impede(&stalled, Impediment::Partition(PartitionMode::Stall)).await.unwrap();

    // The region's loss takes what is left of it, and its return brings all of it.
    native.lose_region(&east).await.unwrap();
    for all in ["east -> east-3 / files", "west -> east-3 / node", "east -> east-2 / sql", "edge -> east-2 / files"] {
        assert_eq!(trials(&native, all).await, [LinkTrial::Cut], "{all}");
    }
    let started = Instant::now();
    native.return_region(&east).await.unwrap();
    eprintln!("region of three zones back in {:?}", started.elapsed());
    assert_ne!(native.processes(&process("east-2 / files")).await.unwrap(), before);
    for zone in 1..=3 {
        soon_goes_on(&native, zone, "with").await;
    }
    native.lose_zone(&east, Zone(2)).await.unwrap();
    let started = Instant::now();
    native.return_zone(&east, Zone(2)).await.unwrap();
    eprintln!("zone back in {:?}", started.elapsed());
    soon_goes_on(&native, 2, "again").await;
    assert!(trials(&native, "east-2 -> east / files").await.iter().all(is_answer));
    assert_eq!(trials(&native, "east-2 -> west-3 / files").await, [LinkTrial::Silent]);
    native.clear(&stalled).await.unwrap();
    assert!(trials(&native, "east-2 -> west-3 / files").await.iter().all(is_answer));
    native.down().await.unwrap();
    assert_eq!(alive(native.folder()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_zones_store_sends_goes_by_its_own_links() {
    let parent = fake::folder();
    let native = fake::up_with_zones(parent.path(), 3, 1).await;
    with_bucket(&native).await;
    soon_goes_on(&native, 1, "before").await;
    // Only what the first zone asks of the others is closed, by the links that the others use to reach one another too.
    let own = [link("east -> east-2 / files"), link("east -> east-3 / files")];
    native.impede(&own, Impediment::Partition(PartitionMode::Refuse)).await.unwrap();
    let alone = goes_on(&native, 1, "alone").await;
    assert!(alone.is_err(), "it wrote with a third of the drives");
    soon_goes_on(&native, 2, "elsewhere").await;
    soon_goes_on(&native, 3, "elsewhere").await;
    native.clear(&own).await.unwrap();
    soon_goes_on(&native, 1, "after").await;
    // With the same of a zone that is isolated nothing of it is left, whose processes run on.
    let before = native.processes(&process("east / files")).await.unwrap();
    native.isolate_zone(&region("east"), Zone(1)).await.unwrap();
    assert_eq!(native.processes(&process("east / files")).await.unwrap(), before);
    assert!(goes_on(&native, 1, "isolated").await.is_err());
    soon_goes_on(&native, 2, "not isolated").await;
    native.return_zone(&region("east"), Zone(1)).await.unwrap();
    soon_goes_on(&native, 1, "back").await;
    native.down().await.unwrap();
}
