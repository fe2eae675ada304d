//! A replica of what had none, made and unmade, on real servers.

use super::*;

fn teams() -> Spec {
    Spec { kind: EnvironmentKind::DataverseTeams, ..spec() }
}

/// Makes the replica as a conversion does.
async fn make(stage: &Stage, operation: u64) {
    let (east, west) = (&stage.east, &stage.west);
    assert_eq!(east.order(operation, 1, Action::PrepareReplica(spec())).await.unwrap(), Answer::Done);
    assert_eq!(west.order(operation, 1, Action::CreateReplica(spec())).await.unwrap(), Answer::Done);
    assert_eq!(east.order(operation, 1, Action::ReplicateFiles(spec())).await.unwrap(), Answer::Done);
    let returned = west.order(operation, 1, Action::ReturnFiles { clean: false }).await.unwrap();
    assert!(matches!(returned, Answer::FilesReturned { removed: 0, .. }), "{returned:?}");
}

/// Whether an object's version, or (none named) the bucket, is in a region's own store.
async fn is_there(config: &NodeConfig, version: Option<(&str, &str)>) -> bool {
    let client = s3::client(config.files.clone(), &config.files_root, Duration::from_secs(5));
    match version {
        Some((key, id)) => {
            let head = client.head_object().bucket("sales").key(key).version_id(id);
            head.customize().mutate_request(s3::unproxied).send().await.is_ok()
        }
        None => client.head_bucket().bucket("sales").send().await.is_ok(),
    }
}

async fn arrives(config: &NodeConfig, key: &str, version: &str) {
    poll::until("the version to arrive", Duration::from_secs(10), Duration::from_millis(50), || async {
        if is_there(config, Some((key, version))).await { Ok(()) } else { Err("it is not there") }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_made_of_what_had_none_and_unmade_without_a_trace() {
    let stage = Stage::open(None).await;
    stage.swap("east", 1);
    locked(&stage.word).grants = true;
    let (east, west) = (&stage.east, &stage.west);
    assert_eq!(east.order(1, 1, Action::CreatePrimary(teams())).await.unwrap(), Answer::Done);
    let mut app = log_in(&east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int); INSERT INTO doc VALUES (1)").await.unwrap();
    let before = put(&east.config, "before").await;
    let slots = "SELECT count(*) FROM pg_replication_slots";
    let mut auditor = log_in(&east.config, "auditor").await.unwrap();
    assert_eq!(number(&mut auditor, slots).await, 0);

    make(&stage, 2).await;
    assert_eq!(number(&mut auditor, slots).await, 1);
    assert!(is_there(&west.config, Some(("before", &before))).await, "what was there before is levelled");
    let after = put(&east.config, "after").await;
    arrives(&west.config, "after", &after).await;
    let mut replica = log_in(&west.config, "auditor").await.unwrap();
    assert_eq!(number(&mut replica, "SELECT count(*) FROM doc").await, 1);
    drop(replica);

    // Undone, there is nothing of it, and clients did not notice.
    assert_eq!(west.order(3, 1, Action::DropReplica(teams())).await.unwrap(), Answer::Done);
    assert_eq!(east.order(3, 1, Action::WithdrawReplica(teams())).await.unwrap(), Answer::Done);
    assert_eq!(number(&mut auditor, slots).await, 0);
    assert!(!is_there(&west.config, None).await && west.postgres().is_empty());
    assert!(!west.config.data.join("pg/sales").exists());
    run(&mut app, "INSERT INTO doc VALUES (2)").await.unwrap();
    let alone = put(&east.config, "alone").await;

    // What is late of the first is refused; of the undoing, a repeat is done.
    for (side, action) in [
        (east, Action::PrepareReplica(spec())),
        (west, Action::CreateReplica(spec())),
        (east, Action::ReplicateFiles(spec())),
    ] {
        let name = action.name();
        assert_eq!(side.order(2, 1, action).await.unwrap_err().status(), Some(409), "{name}");
    }
    assert_eq!(west.order(3, 1, Action::DropReplica(teams())).await.unwrap(), Answer::Done);
    assert!(!is_there(&west.config, None).await);

    make(&stage, 4).await;
    assert!(is_there(&west.config, Some(("alone", &alone))).await);
    for (side, action) in [(west, Action::DropReplica(teams())), (east, Action::WithdrawReplica(teams()))] {
        let name = action.name();
        assert_eq!(side.order(3, 1, action).await.unwrap_err().status(), Some(409), "{name}");
    }
    // Nor is a side dropped that serves.
    assert_eq!(east.order(5, 1, Action::DropReplica(teams())).await.unwrap_err().status(), Some(409));
    let claim = stage.claimed("west", |claim| claim.sql == SqlRole::Standby && claim.streaming).await;
    assert_eq!(claim.epoch, Epoch(1));
}

/// A node that dies over the removal of a replica goes on with it when it is told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_node_died_is_removed_all_the_same() {
    let mut stage = Stage::open(None).await;
    stage.deploy().await;
    stage.west.kill().await;
    assert_eq!(stage.west.postgres().len(), 1, "the server goes on");
    stage.west.start().await;
    assert_eq!(stage.west.order(2, 1, Action::DropReplica(teams())).await.unwrap(), Answer::Done);
    assert!(stage.west.postgres().is_empty() && !is_there(&stage.west.config, None).await);
}
