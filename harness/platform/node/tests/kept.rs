//! Back-ups of what has no replica, made and put back on real servers.

use super::*;

fn sandbox() -> Spec {
    Spec { kind: EnvironmentKind::DataverseSandbox, ..spec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_back_is_what_was_copied_and_an_order_that_comes_late_changes_nothing() {
    let stage = Stage::open(None).await;
    stage.swap("east", 1);
    locked(&stage.word).grants = true;
    let east = &stage.east;
    assert_eq!(east.order(1, 1, Action::CreatePrimary(sandbox())).await.unwrap(), Answer::Done);
    let mut app = log_in(&east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY, text text); INSERT INTO doc SELECT n, 'x' || n FROM generate_series(1, 500) n")
        .await
        .unwrap();
    for key in ["a", "b", "c"] {
        put(&east.config, key).await;
    }
    let client = s3::client(east.config.files.clone(), &east.config.files_root, Duration::from_secs(5));
    client.delete_object().bucket("sales").key("b").send().await.unwrap();
    put(&east.config, "a").await;
    let before = versions(&east.config, "sales").await;
    assert_eq!(before.len(), 5, "four versions and a marker: {before:?}");

    for _ in 0..2 {
        assert_eq!(east.order(2, 1, Action::BackUp { backup: 2 }).await.unwrap(), Answer::Done);
    }
    run(&mut app, "DROP TABLE doc; CREATE TABLE other (id int)").await.unwrap();
    drop(app);
    for (key, version, _) in versions(&east.config, "sales").await {
        client.delete_object().bucket("sales").key(key).version_id(version).send().await.unwrap();
    }
    let stray = put(&east.config, "stray").await;
    assert!(east.order(3, 1, Action::PutBack { backup: 9 }).await.is_err(), "there is no such back-up");

    assert_eq!(east.order(3, 1, Action::PutBack { backup: 2 }).await.unwrap(), Answer::Done);
    assert_eq!(versions(&east.config, "sales").await, before, "{stray}");
    let mut app = log_in(&east.config, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc WHERE text = 'x' || id").await, 500);
    assert_eq!(number(&mut app, "SELECT count(*) FROM pg_tables WHERE tablename = 'other'").await, 0);
    // Rights and owner are what they were.
    run(&mut app, "INSERT INTO doc VALUES (501, 'after'); ALTER TABLE doc ADD COLUMN more int").await.unwrap();
    let mut reader = log_in(&east.config, "reader").await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM doc").await, 501);
    drop((app, reader));

    // The same once more, and an earlier one: customers have written since.
    for operation in [3, 2] {
        assert_eq!(east.order(operation, 1, Action::PutBack { backup: 2 }).await.unwrap(), Answer::Done);
    }
    let mut app = log_in(&east.config, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 501);
}
