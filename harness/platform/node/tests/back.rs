//! The way back of an old primary that has diverged, on real servers.

use std::{fs, time::Duration, time::Instant};

use super::{
    diverged::{diverge, nothing_left, rows, salvaged},
    log_in, number, run,
    stage::{Stage, sales},
    there::{come_back, switch},
};
use crate::{
    api::{
        node::{Action, Answer, Fork, Rejoin},
        permit::SqlRole,
    },
    os::files,
    platform::node::{
        postgres::{Place, Scratch},
        state::{Returning, State},
    },
};

async fn secure(stage: &Stage, fork: Fork) {
    let began = Instant::now();
    let secured = stage.east.order(21, 2, Action::Secure { fork }).await.unwrap();
    eprintln!("secured within {:?}", began.elapsed());
    let expected = u64::try_from(rows().len()).unwrap();
    assert_eq!(secured, Answer::Secured { diverged: true, rows: expected, objects: 0 });
}

async fn rejoin(stage: &Stage, fork: Fork, expected: Rejoin) {
    let began = Instant::now();
    let rejoined = stage.east.order(21, 2, Action::Rejoin { fork }).await.unwrap();
    eprintln!("{rejoined:?} within {:?}", began.elapsed());
    assert_eq!(rejoined, Answer::Rejoined(expected));
    assert_eq!(stage.east.order(21, 2, Action::Rejoin { fork }).await.unwrap(), rejoined);
    stage.claimed("east", |claim| claim.sql == SqlRole::Standby && claim.streaming && claim.epoch.0 == 2).await;
    let mut auditor = log_in(&stage.east.config, "auditor").await.unwrap();
    let name: String = sqlx::query_scalar("SHOW cluster_name").fetch_one(&mut auditor).await.unwrap();
    assert_eq!(name, "east");
    assert_eq!(number(&mut auditor, "SELECT count(*) FROM doc WHERE id IN (1, 2, 3, 20)").await, 4);
    assert_eq!(number(&mut auditor, "SELECT count(*) FROM doc").await, 4);
    log_in(&stage.east.config, "app").await.map(drop).unwrap_err();
    nothing_left(stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_only_the_old_primary_has_are_itemised_before_it_is_rewound() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let fork = diverge(&mut stage).await;
    let path = "/internal/salvage?environment=sales";
    let none = stage.east.http.get::<()>(path, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(none.status(), Some(404));
    assert_eq!(stage.east.order(21, 2, Action::Rejoin { fork }).await.unwrap_err().status(), Some(409));
    secure(&stage, fork).await;
    assert_eq!(stage.east.postgres(), []);
    let kept = salvaged(&stage).await;
    assert_eq!(kept.rows, rows());
    secure(&stage, fork).await;
    let folder = std::path::Path::new(&kept.folder);
    let control = fs::read_to_string(folder.join("control-data.txt")).unwrap();
    assert!(control.contains("in production") && folder.join("data/pg_wal").is_dir(), "{control}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    // Restarted once secured, it stays down.
    stage.east.end().await;
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Quarantined).await;

    rejoin(&stage, fork, Rejoin::Rewound).await;
    assert_eq!(salvaged(&stage).await, kept);
    // The owner and a standby have nothing to secure.
    assert_eq!(stage.west.order(22, 2, Action::Secure { fork }).await.unwrap_err().status(), Some(409));
    assert_eq!(stage.west.order(22, 2, Action::Rejoin { fork }).await.unwrap_err().status(), Some(409));
    // And home again, without loss.
    let back = switch(&stage, "west", "east", 30, 2).await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "INSERT INTO doc VALUES (30, 'home')").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 5);
    come_back(&stage, "west", "east", 31, 3, back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_cannot_be_rewound_is_built_anew() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let fork = diverge(&mut stage).await;
    secure(&stage, fork).await;
    let target = crate::clients::postgres::Target {
        port: stage.west.config.slots[0].postgres,
        database: "postgres".to_owned(),
        login: stage.west.config.auditor.clone(),
        application: "test".to_owned(),
    };
    let mut auditor = crate::clients::postgres::connect(&target, Duration::from_secs(3)).await.unwrap();
    run(&mut auditor, "REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) FROM replicator")
        .await
        .unwrap();
    rejoin(&stage, fork, Rejoin::Rebuilt).await;
    assert_eq!(salvaged(&stage).await.rows, rows());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_that_was_killed_goes_on_where_it_must() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let fork = diverge(&mut stage).await;
    let data = stage.east.config.data.clone();
    // Killed while evidence was collected.
    let partial = data.join("evidence/sales-2.partial");
    files::private_folder(&partial).unwrap();
    fs::write(partial.join("rows.ndjson"), "half a li").unwrap();
    secure(&stage, fork).await;
    assert!(!partial.exists());
    assert_eq!(salvaged(&stage).await.rows, rows());

    // Killed while rows were read, and while it was rewound.
    stage.east.kill().await;
    let place = Place::new(&stage.east.config, &sales(), &super::spec());
    let scratch = Scratch::start(&place, &data.join("evidence/sales-2/data")).await.unwrap();
    std::mem::forget(scratch);
    assert_eq!(stage.east.postgres().len(), 1);
    let mut state: State = files::read_json(&data.join("node.json")).unwrap();
    let record = state.environments.get_mut(&sales()).unwrap();
    record.returning = Some(Returning { epoch: crate::api::Epoch(2), spoilt: true, how: None });
    files::write_json(&data.join("node.json"), &state).unwrap();
    fs::remove_file(data.join("pg/sales/global/pg_control")).unwrap();
    files::private_folder(&data.join("pg/sales.new/base")).unwrap();
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Quarantined).await;
    crate::clients::poll::until("the copy's end", Duration::from_secs(5), Duration::from_millis(20), || async {
        if stage.east.postgres().is_empty() { Ok(()) } else { Err("it runs") }
    })
    .await
    .unwrap();
    secure(&stage, fork).await;
    rejoin(&stage, fork, Rejoin::Rebuilt).await;

    // Killed between the two renames of a folder built anew.
    stage.east.end().await;
    fs::rename(data.join("pg/sales"), data.join("pg/sales.old")).unwrap();
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Down).await;
    rejoin(&stage, fork, Rejoin::Rebuilt).await;
}
