//! On real MinIO and Toxiproxy, with roles that only answer.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Native, fake};
use crate::{
    api::Region,
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
    let (spec, programs) = fake::spec(parent.path(), 1).await;
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
    let (mut spec, programs) = fake::spec(parent.path(), 1).await;
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
