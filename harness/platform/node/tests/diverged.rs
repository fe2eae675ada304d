//! An old primary that goes on past the fork: the stage of the trials of its way back.

use serde_json::json;

use super::{
    log_in, run,
    stage::{Stage, sales},
};
use crate::{
    api::{
        control::{Salvage, SalvagedRow},
        node::Fork,
        permit::SqlRole,
    },
    clients::poll,
    os::inventory,
};
use std::time::Duration;

/// What the east alone has.
pub fn rows() -> Vec<SalvagedRow> {
    let row = |table: &str, row| SalvagedRow { table: table.to_owned(), row };
    vec![
        row("public.doc", json!({"id": 2, "text": "updated"})),
        row("public.doc", json!({"id": 10, "text": "inserted"})),
        row("public.doc", json!({"id": 11, "text": "open at the fork"})),
        row("public.doc", json!({"id": 12, "text": "in a savepoint"})),
        row("public.fresh", json!({"salvaged": 1, "doc": {"a": [1, null]}})),
        row("side.History", json!({"at": 1, "deleted": 3})),
    ]
}

/// The east is killed with work that the west never saw, and the west promoted; the east's node runs again.
pub async fn diverge(stage: &mut Stage) -> Fork {
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(
        &mut app,
        "CREATE TABLE doc (id int PRIMARY KEY, text text); CREATE SCHEMA side;
         CREATE TABLE side.\"History\" (at int, deleted int);
         INSERT INTO doc VALUES (1, 'old'), (2, 'old'), (3, 'old')",
    )
    .await
    .unwrap();
    let mut open = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut open, "BEGIN; INSERT INTO doc VALUES (11, 'open at the fork')").await.unwrap();
    // A record of another transaction brings it across.
    run(&mut app, "UPDATE doc SET text = 'before' WHERE id = 1").await.unwrap();
    let west = stage.west.config.clone();
    poll::until("the row to cross", Duration::from_secs(10), Duration::from_millis(20), || async {
        let mut auditor = log_in(&west, "auditor").await.map_err(|failure| failure.to_string())?;
        let seen: Option<String> = sqlx::query_scalar("SELECT text FROM doc WHERE id = 1")
            .fetch_optional(&mut auditor)
            .await
            .map_err(|error| error.to_string())?;
        if seen.as_deref() == Some("before") { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await
    .unwrap();
    stage.west.end().await;

    run(&mut open, "COMMIT").await.unwrap();
    run(&mut app, "INSERT INTO doc VALUES (10, 'inserted')").await.unwrap();
    run(&mut app, "UPDATE doc SET text = 'first' WHERE id = 2").await.unwrap();
    run(&mut app, "UPDATE doc SET text = 'updated' WHERE id = 2").await.unwrap();
    run(&mut app, "BEGIN; SAVEPOINT a; INSERT INTO doc VALUES (12, 'in a savepoint'); RELEASE a; COMMIT")
        .await
        .unwrap();
    run(&mut app, "BEGIN; DELETE FROM doc WHERE id = 3; INSERT INTO side.\"History\" VALUES (1, 3); COMMIT")
        .await
        .unwrap();
    run(&mut app, "CREATE TABLE fresh AS SELECT 1 AS salvaged, '{\"a\": [1, null]}'::jsonb AS doc").await.unwrap();
    run(&mut app, "BEGIN; INSERT INTO doc VALUES (13, 'undone'); ROLLBACK").await.unwrap();
    run(&mut app, "BEGIN; SAVEPOINT a; INSERT INTO doc VALUES (14, 'undone'); ROLLBACK TO a; COMMIT").await.unwrap();
    run(&mut open, "BEGIN; INSERT INTO doc VALUES (15, 'never ended'); UPDATE doc SET text = 'never' WHERE id = 1")
        .await
        .unwrap();
    run(&mut app, "CHECKPOINT").await.unwrap_err();
    stage.east.crash().await;

    stage.swap("west", 2);
    stage.west.start().await;
    let fork = stage.promote("west", 20, 2).await;
    let mut app = log_in(&stage.west.config, "app").await.unwrap();
    run(&mut app, "INSERT INTO doc VALUES (20, 'of the new side'); UPDATE doc SET text = 'new' WHERE id = 2")
        .await
        .unwrap();
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Quarantined && claim.epoch.0 == 2).await;
    fork
}

/// What the east's node tells of its last evidence, rows in order.
pub async fn salvaged(stage: &Stage) -> Salvage {
    let path = "/internal/salvage?environment=sales";
    let mut salvage: Salvage = stage.east.http.get(path, Duration::from_secs(5)).await.unwrap();
    salvage.rows.sort_by_key(|row| (row.table.clone(), row.row["id"].as_i64()));
    salvage
}

/// Nothing but the servers themselves runs.
pub fn nothing_left(stage: &Stage) {
    for side in [&stage.east, &stage.west] {
        let entries = inventory::read(&side.config.site).unwrap().processes;
        let services: Vec<String> = entries.iter().map(|entry| entry.service.clone()).collect();
        assert_eq!(services, ["postgres"]);
        assert!(!side.config.data.join("scratch").join(sales().as_str()).exists());
        let beside = std::fs::read_dir(side.config.data.join("pg")).unwrap().count();
        assert_eq!(beside, 1);
    }
}
