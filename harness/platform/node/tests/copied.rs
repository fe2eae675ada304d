//! Copies of what is served meanwhile, taken and put into a sandbox, on real servers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::*;
use crate::api::EnvironmentId;

fn sandbox() -> Spec {
    let credentials = Credentials {
        app: login("test-app"),
        reader: login("test-reader"),
        s3: login("test-customer"),
        ..spec().credentials
    };
    Spec {
        kind: EnvironmentKind::DataverseSandbox,
        slot: 1,
        database: "test".to_owned(),
        bucket: "test".to_owned(),
        credentials,
    }
}

fn test() -> EnvironmentId {
    "test".parse().unwrap()
}

fn take(copy: u64) -> Action {
    Action::TakeCopy { from: sales(), from_epoch: Epoch(1), copy }
}

/// A customer who writes an object and then its row, over and over, until told to stop; how many times.
async fn write_on(config: NodeConfig, stop: Arc<AtomicBool>) -> i64 {
    let mut app = log_in(&config, "app").await.unwrap();
    let mut written = 0;
    while !stop.load(Relaxed) {
        let key = format!("doc-{written}");
        let version = put(&config, &key).await;
        let insert = sqlx::query("INSERT INTO doc VALUES ($1, $2, $3)").bind(written).bind(&key).bind(&version);
        insert.execute(&mut app).await.unwrap();
        // Every third is deleted again: its row first.
        if written % 3 == 2 {
            sqlx::query("DELETE FROM doc WHERE id = $1").bind(written).execute(&mut app).await.unwrap();
            let client = s3::client(config.files.clone(), &login("customer"), Duration::from_secs(5));
            client.delete_object().bucket("sales").key(&key).send().await.unwrap();
        }
        written += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_is_copied_as_it_was_at_one_moment_and_belongs_to_the_sandbox_then() {
    let stage = Stage::open(None).await;
    stage.swap("east", 1);
    locked(&stage.word).grants = true;
    let (east, test) = (&stage.east, &test());
    assert_eq!(east.order(1, 1, Action::CreatePrimary(spec())).await.unwrap(), Answer::Done);
    assert_eq!(east.order_for(test, 2, 1, Action::CreatePrimary(sandbox())).await.unwrap(), Answer::Done);
    let mut app = log_in(&east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id bigint PRIMARY KEY, object_key text, version_id text)").await.unwrap();
    let mut own = log_in_to(&east.config, &sandbox(), "test-app").await.unwrap();
    run(&mut own, "CREATE TABLE doc (id int); CREATE TABLE own (id int)").await.unwrap();
    drop(own);
    let own = s3::client(east.config.files.clone(), &login("test-customer"), Duration::from_secs(5));
    own.put_object().bucket("test").key("own").body(vec![1].into()).send().await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_on(east.config.clone(), Arc::clone(&stop)));
    poll::until("rows", Duration::from_secs(20), Duration::from_millis(20), || async {
        let mut app = log_in(&east.config, "app").await.map_err(|failure| failure.to_string())?;
        if number(&mut app, "SELECT count(*) FROM doc").await > 20 { Ok(()) } else { Err("fewer".to_owned()) }
    })
    .await
    .unwrap();
    let before = number(&mut app, "SELECT max(id) FROM doc").await;
    for _ in 0..2 {
        assert_eq!(east.order_for(test, 3, 1, take(3)).await.unwrap(), Answer::Done);
    }
    let after = number(&mut app, "SELECT max(id) FROM doc").await;
    stop.store(true, Relaxed);
    let written = writer.await.unwrap();
    assert!(after > before, "production was written to meanwhile: {before} to {after}");

    assert!(east.order_for(test, 4, 1, Action::PutIn { copy: 9 }).await.is_err(), "there is no such copy");
    assert_eq!(east.order_for(test, 3, 1, Action::PutIn { copy: 3 }).await.unwrap(), Answer::Done);
    // Rows are all of production's up to one, and none of the sandbox's own; each refers to a version that is there.
    let mut own = log_in_to(&east.config, &sandbox(), "test-app").await.unwrap();
    let last = number(&mut own, "SELECT max(id) FROM doc").await;
    assert!((before..=after).contains(&last) && last <= written, "{before} {last} {after}");
    let gaps = "SELECT count(*) FROM generate_series(0, (SELECT max(id) FROM doc)) AS n
                WHERE n % 3 <> 2 AND NOT EXISTS (SELECT FROM doc WHERE id = n)";
    assert_eq!(number(&mut own, gaps).await, 0);
    assert_eq!(number(&mut own, "SELECT count(*) FROM pg_tables WHERE tablename = 'own'").await, 0);
    let held = versions(&east.config, "test").await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT object_key, version_id FROM doc").fetch_all(&mut own).await.unwrap();
    for (key, version) in &rows {
        assert!(held.contains(&(key.clone(), version.clone(), false)), "{key} {version}");
        let got = own_read(&east.config, key, version).await;
        assert_eq!(got, key.as_bytes(), "the sandbox's customer reads it");
    }
    let theirs = versions(&east.config, "sales").await;
    assert!(held.iter().all(|one| theirs.contains(one)), "nothing but production's, with its ids");
    // What is newer than the rows is not there: at most the one that was being written, and one whose row was just deleted.
    let newest = |key: &str| key.strip_prefix("doc-").and_then(|id| id.parse::<i64>().ok()).unwrap();
    assert!(held.iter().all(|(key, ..)| newest(key) <= last + 2), "{last}: {held:?}");

    // Owner and rights are the sandbox's.
    run(&mut own, "INSERT INTO doc VALUES (-1, NULL, NULL); ALTER TABLE doc ADD COLUMN more int").await.unwrap();
    let mut reader = log_in_to(&east.config, &sandbox(), "test-reader").await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM doc WHERE id = -1").await, 1);
    drop((own, reader));
    // The same once more, in whatever order: customers have written since.
    for action in [Action::PutIn { copy: 3 }, take(3), Action::PutIn { copy: 3 }] {
        assert_eq!(east.order_for(test, 3, 1, action).await.unwrap(), Answer::Done);
    }
    let mut own = log_in_to(&east.config, &sandbox(), "test-app").await.unwrap();
    assert_eq!(number(&mut own, "SELECT count(*) FROM doc WHERE id = -1").await, 1);
    let left = east.config.data.join("copies/test");
    assert_eq!(std::fs::read_dir(&left).unwrap().count(), 0, "nothing is left of a copy that was put in");

    // Refreshed, it is what production is now, a row that never had its object included; and a side that has been given up is not
    // copied.
    drop(own);
    run(&mut app, "INSERT INTO doc VALUES (-2, 'nowhere', 'v0')").await.unwrap();
    for action in [take(5), Action::PutIn { copy: 5 }] {
        assert_eq!(east.order_for(test, 5, 1, action).await.unwrap(), Answer::Done);
    }
    assert_eq!(versions(&east.config, "test").await, versions(&east.config, "sales").await);
    let mut own = log_in_to(&east.config, &sandbox(), "test-app").await.unwrap();
    let count = "SELECT count(*) FROM doc";
    assert_eq!(number(&mut own, count).await, number(&mut app, count).await);
    let other = Action::TakeCopy { from: sales(), from_epoch: Epoch(2), copy: 6 };
    assert_eq!(east.order_for(test, 6, 1, other).await.unwrap_err().status(), Some(409));
}

async fn own_read(config: &NodeConfig, key: &str, version: &str) -> Vec<u8> {
    let own = s3::client(config.files.clone(), &login("test-customer"), Duration::from_secs(5));
    let got = own.get_object().bucket("test").key(key).version_id(version).send().await.unwrap();
    got.body.collect().await.unwrap().to_vec()
}
