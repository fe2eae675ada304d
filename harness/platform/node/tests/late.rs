//! Commands of an epoch that is over, delayed on their way: refused, every one of them, by the old side and by the new one,
//! and nothing is changed.

use std::{fs, path::PathBuf, time::Duration};

use super::{log_in, run, sales, spec, stage::Stage, until_log_in};
use crate::{
    api::{
        node::{Action, Fork, LogEnd},
        permit::SqlRole,
        role::NodeConfig,
    },
    os::process::Identity,
};

/// Every action that there is.
fn all() -> Vec<Action> {
    let (east, fork) = ("east".parse().unwrap(), Fork { timeline: 2, lsn: 1 });
    let end = LogEnd { system_id: "1".to_owned(), timeline: 1, lsn: 1 };
    let source = |region: &str| region.parse().unwrap();
    vec![
        Action::CreatePrimary(spec()),
        Action::CreateReplica(spec()),
        Action::ReplicateFiles(spec()),
        Action::AllowGranting { primary: east, guard: None },
        Action::StopGranting,
        Action::Fence,
        Action::Promote,
        Action::RevokeFilesReplication { source: source("east") },
        Action::ReconcileReferences,
        Action::PreflightPrimary,
        Action::PreflightStandby,
        Action::Checkpoint,
        Action::HandOver,
        Action::TakeBack,
        Action::AwaitLog { end, within_ms: 1 },
        Action::AwaitFiles { sealed: 0, within_ms: 1 },
        Action::Secure { fork },
        Action::Rejoin { fork },
        Action::AllowFilesReplication { source: source("east") },
        Action::ReturnFiles { clean: false },
        Action::RepairFiles { references: Vec::new() },
    ]
}

/// What a command could change: the node's durable state, who is let in, what the cluster is started as, and what runs.
fn standing(config: &NodeConfig, servers: Vec<Identity>) -> (Vec<Option<Vec<u8>>>, Vec<Identity>) {
    let cluster = config.data.join("pg").join(sales().as_str());
    let files: [PathBuf; 4] = [
        config.data.join("node.json"),
        cluster.join("pg_hba.conf"),
        cluster.join("postgresql.conf"),
        cluster.join("standby.signal"),
    ];
    (files.map(|file| fs::read(file).ok()).to_vec(), servers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_an_epoch_that_is_over_is_refused_and_changes_nothing() {
    let stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY)").await.unwrap();
    stage.promote("west", 2, 2).await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Fenced && claim.epoch.0 == 2).await;
    let mut app = until_log_in(&stage.west.config, "app").await;
    stage.claimed("west", |claim| claim.sql == SqlRole::Primary && claim.epoch.0 == 2).await;

    for side in [&stage.east, &stage.west] {
        let before = standing(&side.config, side.postgres());
        assert_eq!(before.1.len(), 1);
        for action in all() {
            let name = action.name();
            // Its operation is a late one too: it is the epoch that counts.
            let refused = side.order(9, 1, action).await.unwrap_err();
            assert_eq!(refused.status(), Some(409), "{name} in {}: {refused}", side.config.region);
            assert!(refused.to_string().contains("epoch 1 is over"), "{name}: {refused}");
            assert!(standing(&side.config, side.postgres()) == before, "{name} changed something");
        }
    }
    // Whoever was being served is served on, in the one session; and the old side lets nobody in.
    run(&mut app, "INSERT INTO doc VALUES (1)").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    run(&mut app, "INSERT INTO doc VALUES (2)").await.unwrap();
    log_in(&stage.east.config, "app").await.map(drop).unwrap_err();
}
