//! An environment deleted on real servers: nothing of it is left, and one of the same name begins empty.

use super::*;

/// Codes of what a key pair is answered that the store does not know.
const NO_USER: &str = "InvalidAccessKeyId";

/// What a node's folder and its region's store have of the environment.
async fn left(config: &NodeConfig) -> Vec<String> {
    let root = s3::client(config.files.clone(), &config.files_root, Duration::from_secs(5));
    let buckets = root.list_buckets().send().await.unwrap();
    let mut left: Vec<String> =
        buckets.buckets().iter().filter_map(|bucket| bucket.name()).map(|name| format!("bucket {name}")).collect();
    for user in ["customer", "from-east", "from-west"] {
        let as_user = s3::client(config.files.clone(), &login(user), Duration::from_secs(5));
        let answer = as_user.list_objects_v2().bucket("sales").send().await.map_err(|error| s3::classify(&error));
        match answer {
            Err(failure) if failure.to_string().contains(NO_USER) => {}
            other => left.push(format!("user {user}: {:?}", other.map(drop))),
        }
    }
    let mut folders = vec![config.data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().contains("sales")) {
                left.push(path.display().to_string());
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_it_and_one_of_the_same_name_begins_empty() {
    let mut stage = Stage::open(None).await;
    stage.deploy().await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int); INSERT INTO doc VALUES (1)").await.unwrap();
    put(&stage.east.config, "kept").await;
    put(&stage.east.config, "removed").await;
    let customer = s3::client(stage.east.config.files.clone(), &login("customer"), Duration::from_secs(5));
    customer.delete_object().bucket("sales").key("removed").send().await.unwrap();
    assert_eq!(stage.east.order(2, 1, Action::BackUp { backup: 2 }).await.unwrap(), Answer::Done);
    std::fs::create_dir(stage.east.config.data.join("evidence/sales-1")).unwrap();
    // Another environment's, however alike the name.
    std::fs::create_dir(stage.east.config.data.join("evidence/other-sale-1")).unwrap();
    assert!(left(&stage.east.config).await.len() > 5);

    // While the west is away; what runs there is not stopped by anybody.
    stage.west.kill().await;
    assert_eq!(stage.west.postgres().len(), 1);
    {
        let mut word = locked(&stage.word);
        word.owner = Some(("east".parse().unwrap(), Epoch(2)));
        word.grants = false;
    }
    for _ in 0..2 {
        assert_eq!(stage.east.order(3, 2, Action::Delete(spec())).await.unwrap(), Answer::Done);
        assert_eq!((left(&stage.east.config).await, stage.east.postgres().len()), (Vec::new(), 0));
    }
    assert!(stage.east.config.data.join("evidence/other-sale-1").exists());
    app.ping().await.unwrap_err();

    // It comes back: what is there is nobody's, and nobody's side, until it is removed as well.
    stage.west.start().await;
    stage.claimed("west", |claim| claim.epoch.0 == 2).await;
    assert_eq!(stage.west.order(3, 1, Action::Promote).await.unwrap_err().status(), Some(409));
    assert_eq!(stage.west.order(3, 2, Action::Delete(spec())).await.unwrap(), Answer::Done);
    assert_eq!((left(&stage.west.config).await, stage.west.postgres().len()), (Vec::new(), 0));

    // What is late of it makes nothing of it again, not after a restart either.
    stage.west.end().await;
    stage.west.start().await;
    for (side, epoch, action) in [
        (&stage.east, 1, Action::CreatePrimary(spec())),
        (&stage.west, 1, Action::CreateReplica(spec())),
        (&stage.west, 2, Action::CreateReplica(spec())),
        (&stage.east, 1, Action::PrepareReplica(spec())),
    ] {
        let name = action.name();
        assert_eq!(side.order(1, epoch, action).await.unwrap_err().status(), Some(409), "{name} under {epoch}");
    }
    assert_eq!((left(&stage.east.config).await, left(&stage.west.config).await), (Vec::new(), Vec::new()));

    // Its name again, after its last epoch, in another slot.
    let again = Spec { slot: 1, ..spec() };
    {
        let mut word = locked(&stage.word);
        word.owner = Some(("east".parse().unwrap(), Epoch(3)));
        word.grants = true;
    }
    let (east, west) = (&stage.east, &stage.west);
    assert_eq!(east.order(4, 3, Action::CreatePrimary(again.clone())).await.unwrap(), Answer::Done);
    assert_eq!(west.order(4, 3, Action::CreateReplica(again.clone())).await.unwrap(), Answer::Done);
    assert_eq!(east.order(4, 3, Action::ReplicateFiles(again.clone())).await.unwrap(), Answer::Done);
    log_in(&east.config, "app").await.map(drop).unwrap_err();
    let mut app = log_in_to(&east.config, &again, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM pg_tables WHERE tablename = 'doc'").await, 0);
    assert_eq!(versions(&east.config, "sales").await, []);
    // A deletion that is late is of the one before.
    for side in [east, west] {
        assert_eq!(side.order(3, 2, Action::Delete(spec())).await.unwrap_err().status(), Some(409));
    }
    run(&mut app, "CREATE TABLE doc (id int)").await.unwrap();
    stage.claimed("west", |claim| claim.sql == SqlRole::Standby && claim.streaming).await;
}
