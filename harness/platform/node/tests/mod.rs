//! The node on real servers.

mod back;
mod converted;
mod copied;
mod deleted;
mod diverged;
mod kept;
mod late;
mod stage;
mod there;
mod zoned;

use std::{path::Path, time::Duration};

use sqlx::{Connection, PgConnection};

pub(super) use self::stage::sales;
use self::stage::{PERMIT_MS, Stage};
use super::postgres::Place;
use crate::{
    api::{
        Epoch, Zone,
        control::{Dangling, FileReference},
        environment::{EnvironmentKind, Login},
        node::{Action, Answer, Spec},
        permit::{Credentials, SqlRole},
        role::{NodeConfig, NodeSlot},
    },
    clients::{
        poll,
        postgres::{Failure, Target, connect},
        s3,
    },
    os::spawn,
    platform::actor::{
        locked,
        trial::{folder, postgres_bin},
    },
};

pub(super) fn login(user: &str) -> Login {
    Login { user: user.to_owned(), secret: format!("{user}-secret") }
}

pub(super) fn spec() -> Spec {
    let files = [("east", "from-east"), ("west", "from-west")];
    Spec {
        kind: EnvironmentKind::DataverseProduction,
        slot: 0,
        database: "sales".to_owned(),
        bucket: "sales".to_owned(),
        credentials: Credentials {
            app: login("app"),
            reader: login("reader"),
            s3: login("customer"),
            sql_replication: login("replicator"),
            files_replication: files.map(|(region, user)| (region.parse().unwrap(), login(user))).into(),
        },
    }
}

/// A cluster that is nowhere, for the text of its settings.
pub(super) fn place() -> Place {
    Place {
        environment: "sales".parse().unwrap(),
        listen: std::net::Ipv4Addr::LOCALHOST.into(),
        region: "west".parse().unwrap(),
        peer: "east".parse().unwrap(),
        spec: spec(),
        ports: Some(NodeSlot { postgres: 7000, sources: [("east".parse().unwrap(), vec![7001.into()])].into() }),
        zone: Zone::FIRST,
        follows: ("east".parse().unwrap(), Zone::FIRST),
        synchronous: None,
        data: "/nowhere/pg/sales".into(),
        sockets: "/nowhere/s".into(),
        log: "/nowhere/log/sales".into(),
        passfile: "/nowhere/pass/sales".into(),
        programs: "/nowhere/bin".into(),
        sabotage: None,
        template: None,
        auditor: login("auditor"),
        site: "/nowhere".into(),
        home: "/nowhere".into(),
    }
}

pub(super) fn make_template(template: &Path) {
    let mut initdb = spawn::command(postgres_bin().join("initdb"), &"/".into());
    initdb.args(["--wal-segsize=4", "-k", "-N", "-U", "geodrill", "-D"]).arg(template);
    let made = initdb.output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

async fn log_in(config: &NodeConfig, user: &str) -> Result<PgConnection, Failure> {
    log_in_to(config, &spec(), user).await
}

async fn log_in_to(config: &NodeConfig, spec: &Spec, user: &str) -> Result<PgConnection, Failure> {
    let port = config.slots[usize::from(spec.slot)].postgres;
    let database = spec.database.clone();
    let target = Target { port, database, login: login(user), application: "test".to_owned() };
    connect(&target, Duration::from_secs(3)).await
}

/// Versions and delete markers of a bucket, in the order of keys.
async fn versions(config: &NodeConfig, bucket: &str) -> Vec<(String, String, bool)> {
    let client = s3::client(config.files.clone(), &config.files_root, Duration::from_secs(5));
    let page = client.list_object_versions().bucket(bucket).send().await.unwrap();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let objects = page.versions().iter().map(|one| (text(one.key()), text(one.version_id()), false));
    let markers = page.delete_markers().iter().map(|one| (text(one.key()), text(one.version_id()), true));
    let mut all: Vec<_> = objects.chain(markers).collect();
    all.sort();
    all
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

async fn put(config: &NodeConfig, key: &str) -> String {
    let client = s3::client(config.files.clone(), &login("customer"), Duration::from_secs(5));
    let put = client.put_object().bucket("sales").key(key).body(key.to_owned().into_bytes().into());
    put.send().await.unwrap().version_id().unwrap().to_owned()
}

async fn until_log_in(config: &NodeConfig, user: &str) -> PgConnection {
    poll::until("to be let in", Duration::from_secs(10), Duration::from_millis(20), || log_in(config, user))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_is_deployed_fenced_promoted_and_its_old_side_never_started_again() {
    let mut stage = Stage::open(None).await;
    stage.deploy().await;
    // Deployed: clients write in the east alone, readers only read, the auditor reads both.
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY, object_key text, version_id text)").await.unwrap();
    let crossed = put(&stage.east.config, "crossed").await;
    sqlx::query("INSERT INTO doc VALUES (1, 'crossed', $1), (2, 'lost', 'v0'), (3, NULL, NULL)")
        .bind(&crossed)
        .execute(&mut app)
        .await
        .unwrap();
    let mut reader = log_in(&stage.east.config, "reader").await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM doc").await, 3);
    run(&mut reader, "BEGIN READ WRITE").await.unwrap();
    run(&mut reader, "INSERT INTO doc VALUES (9)").await.unwrap_err();
    log_in(&stage.west.config, "app").await.map(drop).unwrap_err();
    stage.claimed("east", |claim| claim.sql == SqlRole::Primary && claim.streaming && claim.other_lsn > 0).await;
    stage.claimed("west", |claim| claim.sql == SqlRole::Standby && claim.streaming && claim.timeline == 1).await;
    let mut auditor = log_in(&stage.west.config, "auditor").await.unwrap();
    poll::until("the rows to cross", Duration::from_secs(5), Duration::from_millis(10), || async {
        let mut auditor = log_in(&stage.west.config, "auditor").await.map_err(|failure| failure.to_string())?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM doc").fetch_one(&mut auditor).await;
        count.map_err(|error| error.to_string()).and_then(|count| if count == 3 { Ok(()) } else { Err("fewer".into()) })
    })
    .await
    .unwrap();
    // What is received and not yet replayed is not lost by a promotion.
    run(&mut auditor, "SELECT pg_wal_replay_pause()").await.unwrap();
    run(&mut app, "CREATE TABLE bulk AS SELECT repeat('x', 500) FROM generate_series(1, 5000)").await.unwrap();
    let written: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(&mut app).await.unwrap();
    poll::until("the log to cross", Duration::from_secs(5), Duration::from_millis(10), || async {
        let mut auditor = log_in(&stage.west.config, "auditor").await.map_err(|failure| failure.to_string())?;
        let received = sqlx::query_scalar::<_, bool>("SELECT pg_last_wal_receive_lsn() >= $1::pg_lsn").bind(&written);
        match received.fetch_one(&mut auditor).await {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let peer = s3::client(stage.west.config.files.clone(), &login("customer"), Duration::from_secs(5));
    poll::until("the object to cross", Duration::from_secs(10), Duration::from_millis(20), || {
        peer.head_object().bucket("sales").key("crossed").version_id(&crossed).send()
    })
    .await
    .unwrap();
    let name: String = sqlx::query_scalar("SHOW cluster_name").fetch_one(&mut auditor).await.unwrap();
    assert_eq!(name, "west");
    put(&stage.east.config, "orphan").await;

    // Every step may be repeated.
    stage.deploy().await;
    app.ping().await.unwrap();

    // Control alone stops: the other node's permits keep the primary open.
    locked(&stage.word).grants = false;
    tokio::time::sleep(Duration::from_millis(PERMIT_MS + PERMIT_MS / 2)).await;
    log_in(&stage.east.config, "app").await.unwrap();
    // The node stops too: within a lifetime the primary is fenced, its clients' sessions gone.
    let Answer::Stopped { wait_ms } = stage.west.order(2, 1, Action::StopGranting).await.unwrap() else { panic!() };
    // Clocks run apart by up to 1 %.
    assert!((PERMIT_MS - 100..=PERMIT_MS + PERMIT_MS / 100 + 100).contains(&wait_ms), "{wait_ms}");
    stage.claimed("east", |claim| claim.sql == SqlRole::Fenced).await;
    log_in(&stage.east.config, "app").await.map(drop).unwrap_err();
    app.ping().await.unwrap_err();
    log_in(&stage.east.config, "auditor").await.unwrap();
    // An order to grant that was delayed on its way changes nothing.
    let primary: crate::api::Region = "east".parse().unwrap();
    let late =
        stage.west.order(1, 1, Action::AllowGranting { primary: primary.clone(), guard: None }).await.unwrap_err();
    assert_eq!(late.status(), Some(409));
    // Renewed under the same epoch, it opens again.
    locked(&stage.word).grants = true;
    until_log_in(&stage.east.config, "app").await;
    // Fenced by order it stays so while nothing is granted.
    locked(&stage.word).grants = false;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(stage.east.order(2, 1, Action::Fence).await.unwrap(), Answer::Done);
    log_in(&stage.east.config, "app").await.map(drop).unwrap_err();

    // Promoted under the next epoch.
    {
        let mut word = locked(&stage.word);
        word.owner = Some(("west".parse().unwrap(), Epoch(2)));
        word.grants = true;
    }
    let started = std::time::Instant::now();
    let promoted = stage.west.order(2, 2, Action::Promote).await.unwrap();
    eprintln!("promoted in {:?}", started.elapsed());
    let Answer::Promoted { timeline: 2, fork_lsn } = promoted else { panic!("{promoted:?}") };
    assert!(fork_lsn > 0);
    assert_eq!(stage.west.order(2, 2, Action::Promote).await.unwrap(), promoted);
    let mut app = log_in(&stage.west.config, "app").await.unwrap();
    run(&mut app, "INSERT INTO doc VALUES (4, NULL, NULL)").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM bulk").await, 5000);
    assert_eq!(stage.west.order(2, 1, Action::Fence).await.unwrap_err().status(), Some(409));

    let source: crate::api::Region = "east".parse().unwrap();
    assert_eq!(stage.west.order(2, 2, Action::RevokeFilesReplication { source }).await.unwrap(), Answer::Done);
    let revoked = s3::client(stage.west.config.files.clone(), &login("from-east"), Duration::from_secs(5));
    revoked.head_bucket().bucket("sales").send().await.unwrap_err();

    let marked = stage.west.order(2, 2, Action::ReconcileReferences).await.unwrap();
    let references = vec![FileReference { object_key: "lost".to_owned(), version_id: "v0".to_owned() }];
    let Answer::Marked { references: found, orphans: 0..=1 } = marked else { panic!("{marked:?}") };
    assert_eq!(found, references);
    let path = "/internal/marks?environment=sales";
    let marks: Dangling = stage.west.http.get(path, Duration::from_secs(2)).await.unwrap();
    assert_eq!(marks, Dangling { references });

    // The old side stays locked, and is not started again.
    stage.claimed("east", |claim| claim.sql == SqlRole::Fenced && claim.epoch == Epoch(2)).await;
    stage.east.end().await;
    assert_eq!(stage.east.postgres(), []);
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Quarantined).await;
    assert_eq!(stage.east.postgres(), []);
    // The new side comes back as the owner, though its folder says that it is a standby.
    assert!(stage.west.config.data.join("pg/sales/standby.signal").exists());
    stage.west.end().await;
    stage.west.start().await;
    let mut app = until_log_in(&stage.west.config, "app").await;
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 4);
    assert_eq!(stage.claimed("west", |claim| claim.sql == SqlRole::Primary).await.timeline, 2);
    // No password has reached a log.
    for config in [&stage.east.config, &stage.west.config] {
        let log = std::fs::read_to_string(config.data.join(format!("log/{}.postgres.log", sales()))).unwrap();
        assert!(log.contains("database system is ready") && !log.contains("-secret"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_die_are_started_again_and_those_of_a_killed_node_are_taken_over() {
    let folder = folder();
    let template = folder.path().join("template");
    make_template(&template);
    let mut stage = Stage::open(Some(template)).await;
    stage.deploy().await;
    let [owner] = stage.east.postgres()[..] else { panic!() };
    owner.signal_tree(nix::sys::signal::Signal::SIGKILL).unwrap();
    until_log_in(&stage.east.config, "app").await;
    let [restarted] = stage.east.postgres()[..] else { panic!() };
    assert_ne!(owner, restarted);

    let [standby] = stage.west.postgres()[..] else { panic!() };
    standby.signal_tree(nix::sys::signal::Signal::SIGKILL).unwrap();
    let again = |identity: Vec<_>| identity.len() == 1 && identity != [standby];
    poll::until("the standby", Duration::from_secs(10), Duration::from_millis(20), || async {
        if again(stage.west.postgres()) { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
    stage.claimed("west", |claim| claim.sql == SqlRole::Standby && claim.streaming).await;

    // The node is killed and comes back: nobody who is logged in notices.
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    stage.east.kill().await;
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Primary && claim.streaming).await;
    tokio::time::sleep(Duration::from_millis(PERMIT_MS + PERMIT_MS / 2)).await;
    app.ping().await.unwrap();
    assert_eq!(stage.east.postgres(), [restarted]);

    // Killed again, and this time nobody renews: the primary is fenced.
    stage.east.kill().await;
    locked(&stage.word).grants = false;
    stage.west.order(2, 1, Action::StopGranting).await.unwrap();
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Fenced).await;
    app.ping().await.unwrap_err();
}
