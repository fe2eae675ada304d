//! Stop, resume, renew and the running account, on a real Postgres and a real file store.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, VersioningConfiguration,
};
use sqlx::{Connection, PgConnection};

use super::*;
use crate::{
    api::{
        compute::{AccountOperation, Action, Command},
        node::Answer,
    },
    clients::{
        http::HttpError,
        postgres::{Failure, Target, connect},
    },
    os::spawn,
    platform::actor::trial::postgres_bin,
};

/// A Postgres of its own, killed when dropped.
pub(super) struct Database(Child);

impl Database {
    pub(super) fn start(home: &Path, port: u16) -> Self {
        let data = home.join("pg");
        let mut initdb = spawn::command(postgres_bin().join("initdb"), &"/".into());
        assert!(initdb.args(["-N", "-A", "trust", "-U", "app", "-D"]).arg(&data).output().unwrap().status.success());
        let mut postgres = spawn::command(postgres_bin().join("postgres"), &"/".into());
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1", "-c", "fsync=off"]);
        Self(postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
        let _ = self.0.wait();
    }
}

impl Stage {
    pub(super) async fn order(&self, operation: u64, epoch: u64, action: Action) -> Result<Answer, HttpError> {
        let command = Command { operation, environment: sales(), epoch: Epoch(epoch), action };
        Http::local(self.compute.listen.port(), TOKEN)
            .post("/internal/command", &command, Duration::from_secs(20))
            .await
    }

    async fn log_in(&self) -> Result<PgConnection, Failure> {
        let login = Login { user: "app".to_owned(), secret: String::new() };
        let (database, application) = ("postgres".to_owned(), "test".to_owned());
        connect(&Target { port: self.doors.sql_rw, database, login, application }, Duration::from_secs(2)).await
    }

    pub(super) async fn until_log_in(&self) -> PgConnection {
        poll::until("to be let in", Duration::from_secs(20), Duration::from_millis(20), || self.log_in()).await.unwrap()
    }

    /// As a new process would; what the old one held in memory is gone.
    pub(super) async fn restart(&mut self) {
        self.running.take().unwrap().send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.start().await;
    }

    async fn pushed(&self, last: u64) -> Vec<AccountEntry> {
        poll::until("the account to be pushed", Duration::from_secs(5), Duration::from_millis(5), || async {
            let account = locked(&self.word).account.clone();
            if account.last().map_or(0, |entry| entry.number) >= last {
                Ok(account)
            } else {
                Err(format!("{account:?}"))
            }
        })
        .await
        .unwrap()
    }
}

pub(super) async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

const LONG: Action = Action::Stop { drain_ms: 15_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_what_is_under_way_end_and_nothing_begin_and_outlives_a_restart() {
    let folder = folder();
    let port = free_port();
    let _database = Database::start(folder.path(), port);
    let mut stage = Stage::on(false, Some(port), folder).await;
    stage.route(1, "east").await.unwrap();
    let mut setup = stage.until_log_in().await;
    run(&mut setup, "CREATE TABLE t (n int)").await.unwrap();
    let mut idle = stage.log_in().await.unwrap();
    let mut busy = stage.log_in().await.unwrap();
    let mut open = stage.log_in().await.unwrap();
    run(&mut idle, "SELECT 1").await.unwrap();
    run(&mut open, "BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let sleeping = tokio::spawn(async move {
        let done = run(&mut busy, "SELECT pg_sleep(1); INSERT INTO t VALUES (2)").await;
        (Instant::now(), done)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;

    let stopping = tokio::spawn({
        let http = Http::local(stage.compute.listen.port(), TOKEN);
        let command = Command { operation: 7, environment: sales(), epoch: Epoch(1), action: LONG };
        async move { http.post::<Answer>("/internal/command", &command, Duration::from_secs(20)).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The idle one is told so, and at once; nobody comes in; the transaction goes on to its end.
    let told = run(&mut idle, "SELECT 2").await.unwrap_err();
    assert_eq!(sqlstate(&told).as_deref(), Some("57P01"), "{told}");
    stage.log_in().await.map(drop).unwrap_err();
    run(&mut open, "INSERT INTO t VALUES (3)").await.unwrap();
    assert!(!stopping.is_finished());
    run(&mut open, "COMMIT").await.unwrap();
    let (ended, done) = sleeping.await.unwrap();
    done.unwrap();
    let sealed = stopping.await.unwrap().unwrap();
    assert_eq!(sealed, Answer::Sealed { account: 0, cut: 0 });
    assert!(ended.elapsed() < Duration::from_secs(2), "{:?}", ended.elapsed());
    run(&mut open, "SELECT 1").await.unwrap_err();
    assert_eq!(stage.order(7, 1, LONG).await.unwrap(), sealed);

    // It outlives the compute, and is undone in the order of operations alone.
    stage.restart().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.log_in().await.map(drop).unwrap_err();
    assert_eq!(stage.order(6, 1, Action::Resume).await.unwrap_err().status(), Some(409));
    assert_eq!(stage.order(7, 1, Action::Resume).await.unwrap(), Answer::Done);
    let mut again = stage.until_log_in().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut again).await.unwrap();
    assert_eq!(count, 3);
    assert_eq!(stage.order(7, 1, LONG).await.unwrap_err().status(), Some(409));

    // Idle, it is sealed at once.
    let started = Instant::now();
    assert_eq!(stage.order(8, 1, LONG).await.unwrap(), Answer::Sealed { account: 0, cut: 0 });
    eprintln!("an idle environment sealed in {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(stage.order(8, 1, Action::Resume).await.unwrap(), Answer::Done);

    // What does not end in time is cut.
    let mut long = stage.until_log_in().await;
    let sleeping = tokio::spawn(async move { run(&mut long, "SELECT pg_sleep(60)").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let short = Action::Stop { drain_ms: 300 };
    assert_eq!(stage.order(9, 1, short).await.unwrap(), Answer::Sealed { account: 0, cut: 1 });
    sleeping.await.unwrap().unwrap_err();

    // A greater epoch is not stopped by it, and is served without waiting for the next poll; the old one is over.
    locked(&stage.word).epoch = 2;
    assert_eq!(stage.order(9, 2, Action::Renew).await.unwrap(), Answer::Done);
    stage.route(2, "east").await.unwrap();
    stage.until_log_in().await.ping().await.unwrap();
    assert_eq!(stage.order(10, 1, LONG).await.unwrap_err().status(), Some(409));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_version_is_in_the_account_and_a_stop_seals_it() {
    let mut stage = Stage::open(true).await;
    stage.route(1, "east").await.unwrap();
    let within = Duration::from_secs(10);
    let root = s3::client(stage.compute.files.clone(), &key(), within);
    poll::until("the store", Duration::from_secs(20), Duration::from_millis(50), || {
        root.create_bucket().bucket("sales").send()
    })
    .await
    .unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    root.put_bucket_versioning().bucket("sales").versioning_configuration(enabled).send().await.unwrap();
    let customer = s3::client(stage.doors.files_rw, &key(), within);
    poll::until("service", within, Duration::from_millis(20), || customer.head_bucket().bucket("sales").send())
        .await
        .unwrap();

    let mut expected = Vec::new();
    let mut note = |key: &str, version: Option<&str>, operation| {
        expected.push((key.to_owned(), version.unwrap().to_owned(), operation));
    };
    let put = |name: &'static str| customer.put_object().bucket("sales").key(name).body(b"x".to_vec().into()).send();
    let a = put("a b/ä").await.unwrap();
    note("a b/ä", a.version_id(), AccountOperation::Put);
    let b = put("b").await.unwrap();
    note("b", b.version_id(), AccountOperation::Put);
    let copied = customer.copy_object().bucket("sales").key("c").copy_source("sales/b").send().await.unwrap();
    note("c", copied.version_id(), AccountOperation::Put);
    let marked = customer.delete_object().bucket("sales").key("b").send().await.unwrap();
    note("b", marked.version_id(), AccountOperation::Mark);
    let purge = customer.delete_object().bucket("sales").key("b").set_version_id(b.version_id.clone());
    purge.send().await.unwrap();
    note("b", b.version_id(), AccountOperation::Purge);
    let upload = customer.create_multipart_upload().bucket("sales").key("parts").send().await.unwrap();
    let upload = upload.upload_id.unwrap();
    let part = customer.upload_part().bucket("sales").key("parts").upload_id(&upload).part_number(1);
    let part = part.body(b"part".to_vec().into()).send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let complete = customer.complete_multipart_upload().bucket("sales").key("parts").upload_id(upload);
    let complete = complete.multipart_upload(CompletedMultipartUpload::builder().parts(part).build());
    note("parts", complete.send().await.unwrap().version_id(), AccountOperation::Put);
    let many = |quiet: bool| {
        let object = |key: &str, version: Option<String>| {
            ObjectIdentifier::builder().key(key).set_version_id(version).build().unwrap()
        };
        let objects = vec![object("c", None), object("a b/ä", a.version_id.clone())];
        let delete = Delete::builder().set_objects(Some(objects)).quiet(quiet).build().unwrap();
        customer.delete_objects().bucket("sales").delete(delete).send()
    };
    assert_eq!(s3::classify(&many(true).await.unwrap_err()).to_string(), "400 InvalidRequest");
    let archive = customer.put_object().bucket("sales").key("many.tar").metadata("snowball-auto-extract", "true");
    assert_eq!(s3::classify(&archive.send().await.unwrap_err()).to_string(), "400 InvalidRequest");
    let deleted = many(false).await.unwrap();
    let marker = deleted.deleted().iter().find(|one| one.key() == Some("c")).unwrap();
    note("c", marker.delete_marker_version_id(), AccountOperation::Mark);
    note("a b/ä", a.version_id(), AccountOperation::Purge);
    // Neither reads nor what was refused is in it.
    customer.list_objects_v2().bucket("sales").send().await.unwrap();
    customer.get_object().bucket("sales").key("parts").send().await.unwrap();

    let pushed = stage.pushed(8).await;
    let mut found: Vec<_> =
        pushed.into_iter().map(|entry| (entry.object_key, entry.version_id, entry.operation)).collect();
    // The store answers for many in an order of its own.
    found[6..].sort_by_key(|(_, _, operation)| *operation);
    assert_eq!(found, expected);

    // The compute begins anew, its node too: what is not verified is told again, and numbers go on.
    {
        let mut word = locked(&stage.word);
        word.account.clear();
        word.verified = 0;
    }
    stage.restart().await;
    assert_eq!(stage.pushed(8).await.len(), 8);
    locked(&stage.word).verified = 8;
    poll::until("service", within, Duration::from_millis(20), || customer.head_bucket().bucket("sales").send())
        .await
        .unwrap();

    // Stopped in the middle of a load: what was acknowledged is in the account, all of it.
    let load: Vec<_> = (0..8)
        .map(|worker| {
            let client = s3::client(stage.doors.files_rw, &key(), within);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..10_000 {
                    let put = client.put_object().bucket("sales").key(format!("load/{worker}/{n}"));
                    match put.body(vec![7; 4096].into()).send().await {
                        Ok(done) => acknowledged.push(done.version_id.unwrap()),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    let Answer::Sealed { account, cut: 0 } = stage.order(3, 1, LONG).await.unwrap() else { panic!() };
    eprintln!("sealed under load in {:?} at {account}", started.elapsed());
    let mut acknowledged = Vec::new();
    for worker in load {
        acknowledged.extend(worker.await.unwrap());
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let pushed = stage.pushed(account).await;
    assert_eq!(pushed.last().unwrap().number, account);
    let pushed: std::collections::BTreeSet<String> = pushed.into_iter().map(|entry| entry.version_id).collect();
    assert!(acknowledged.iter().all(|version| pushed.contains(version)));
    let stored = stored(&root).await;
    assert!(stored.iter().all(|version| pushed.contains(version)), "the store has what the account has not");
    assert_eq!(stage.order(3, 1, LONG).await.unwrap(), Answer::Sealed { account, cut: 0 });
    customer.head_bucket().bucket("sales").send().await.unwrap_err();
}

/// Version ids of all that the load put.
async fn stored(root: &Client) -> Vec<String> {
    let mut all = Vec::new();
    let (mut key, mut version) = (None, None);
    loop {
        let page = root.list_object_versions().bucket("sales").prefix("load/").set_key_marker(key);
        let page = page.set_version_id_marker(version).send().await.unwrap();
        all.extend(page.versions().iter().map(|one| one.version_id().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            return all;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
}
