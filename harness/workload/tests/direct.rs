//! The load straight against one Postgres and one MinIO.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Row;
use tokio::time::{Instant, sleep};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    books::Books,
    servers::{Servers, auditor, cpu_s, free_port},
};
use crate::{
    clients::poll,
    model::{
        observation::{FilesSnapshot, SqlSnapshot},
        operation::{Access, Connection, Lane, OpKind, Store, Told},
        plan::{Mix, Workload},
        token::Seen,
    },
    workload::{
        Clock, Journal, Load, LoadSpec,
        drive::{Rates, Stopped, prepare::seeded_object},
        prepare, read,
    },
};

pub const RUN: u32 = 0xD811;
const WITHIN: Duration = Duration::from_secs(30);

pub fn workload(rate_per_s: f64, writers: u16) -> Workload {
    Workload {
        rate_per_s,
        writers,
        mix: Mix { create: 60, overwrite: 25, delete: 10, transfer: 5 },
        file_share: 0.2,
        file_bytes: 4096,
        prefill: 0,
        deadline: Duration::from_secs(1),
        probe_period: Duration::from_millis(100),
        warm_up: Duration::ZERO,
        settle: Duration::ZERO,
        min_acked: 0,
    }
}

/// Prepares and starts a load.
pub async fn start(servers: &Servers, workload: Workload) -> (Load, Arc<Books>, Clock) {
    let (books, clock) = (Arc::new(Books::default()), Clock::start());
    let journal: Arc<dyn Journal> = books.clone();
    prepare(&servers.target(), RUN, clock, &journal, Duration::from_secs(5)).await.unwrap();
    let spec = LoadSpec { targets: vec![servers.target()], workload, seed: 7, run: RUN, clock, journal };
    (Load::start(spec), books, clock)
}

async fn agree(servers: &Servers, books: &Books) {
    let sql = read::read_sql(servers.sql_port, "sales", &auditor(), WITHIN).await.unwrap();
    let mut bodies = read::Bodies::default();
    let mut files = read::read_files(servers.files_port, "sales", &auditor(), WITHIN, read::READERS, &mut bodies)
        .await
        .unwrap()
        .snapshot;
    books.agree(&sql, Some(&files));
    // Once more, from what was read.
    let mut again = read::read_files(servers.files_port, "sales", &auditor(), WITHIN, read::READERS, &mut bodies)
        .await
        .unwrap()
        .snapshot;
    for files in [&mut files, &mut again] {
        files.versions.sort_by(|a, b| a.version_id.cmp(&b.version_id));
    }
    assert_eq!(files, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_were_told_is_what_is_found() {
    let servers = Servers::start(true).await;
    let (load, books, _) = start(&servers, workload(200.0, 8)).await;
    let mut stalls = load.stalls();
    let (began, own, (postgres, minio)) = (Instant::now(), cpu_s(std::process::id()), servers.cpu_s());
    sleep(Duration::from_secs(3)).await;
    let (took, own) = (began.elapsed().as_secs_f64(), cpu_s(std::process::id()) - own);
    let (postgres, minio) = (servers.cpu_s().0 - postgres, servers.cpu_s().1 - minio);
    let Stopped { rates, problem } = load.stop().await;
    assert_eq!(problem, None);
    let mut stalled = 0;
    while stalls.try_recv().is_ok() {
        stalled += 1;
    }
    println!(
        "{rates:?} in {took:.2} s; stalls {stalled}; CPU own {own:.2} s, Postgres {postgres:.2}, MinIO {minio:.2}"
    );
    println!("{:#?}", books.counts());
    println!("{:?}", books.codes());
    agree(&servers, &books).await;

    let Rates { acked_total, failed_total, in_doubt_total, unsent_total, .. } = rates;
    let offered = (acked_total + failed_total + in_doubt_total + unsent_total) as f64;
    let due = 200.0 * began.elapsed().as_secs_f64();
    // On a busy machine, up to a deadline's worth may still be waiting at the end.
    assert!(offered > 400.0 && offered < due + 20.0, "200/s for at least 3 s: {offered} of {due}");
    assert_eq!(failed_total, 0, "{:?}", books.codes());
    assert_eq!(books.counts().len(), 9, "writers and every kind of probe");
    for (intent, outcome) in books.pairs() {
        let Told::Ok { found, .. } = outcome.unwrap().told else { continue };
        match intent.kind {
            OpKind::ReadSql => assert!(matches!(found, Some(Seen::Token(_))), "{intent:?}"),
            OpKind::ReadFile => assert_eq!(found, Some(Seen::Token(seeded_object(RUN, intent.environment).1))),
            _ => {}
        }
    }
}

#[tokio::test]
async fn stores_without_table_or_bucket_are_read_as_empty() {
    let servers = Servers::start(true).await;
    let sql = read::read_sql(servers.sql_port, "sales", &auditor(), WITHIN).await;
    assert_eq!(sql, Ok(SqlSnapshot::default()));
    let files = read::read_files(
        servers.files_port,
        "nowhere",
        &auditor(),
        WITHIN,
        read::READERS,
        &mut read::Bodies::default(),
    )
    .await;
    assert_eq!(files.map(|read| read.snapshot), Ok(FilesSnapshot::default()));
    let nobody = read::read_sql(free_port(), "sales", &auditor(), WITHIN).await;
    assert!(nobody.is_err_and(|why| why.contains("refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_contended_keys_do_not_fork() {
    let servers = Servers::start(true).await;
    let mix = Mix { create: 0, overwrite: 40, delete: 0, transfer: 60 };
    // A deadline past Postgres's own for a deadlock, or one would look like mere slowness.
    let deadline = Duration::from_secs(5);
    let hurried = Workload { mix, file_share: 0.0, deadline, ..workload(3000.0, 24) };
    let (load, books, _) = start(&servers, hurried).await;
    sleep(Duration::from_secs(3)).await;
    println!("{:?}", load.stop().await);
    println!("{:?}", books.codes());
    agree(&servers, &books).await;
    assert!(!books.codes().iter().any(|code| code.contains("40P01")), "deadlocks: {:?}", books.codes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_leaves_failed_and_doubtful_operations_and_loses_none() {
    let mut servers = Servers::start(true).await;
    let (load, books, _) = start(&servers, workload(400.0, 8)).await;
    sleep(Duration::from_secs(1)).await;
    servers.kill_postgres();
    sleep(Duration::from_millis(500)).await;
    servers.start_postgres().await;
    sleep(Duration::from_secs(1)).await;
    println!("{:?}", load.stop().await);
    println!("{:#?} {:#?}", books.counts(), books.codes());
    agree(&servers, &books).await;
    let counts = books.counts();
    let writers = &counts["writer"];
    assert!(writers.fail > 50 && writers.in_doubt >= 1, "{writers:?}");
    assert_eq!(counts["Files Read Fresh"].fail + counts["Files Read Fresh"].in_doubt, 0, "files were well");
    let objects = |(intent, outcome): &(_, Option<_>)| {
        let (intent, outcome): (&crate::model::operation::Intent, &crate::model::operation::Outcome) =
            (intent, outcome.as_ref().unwrap());
        intent.file.is_some() && !outcome.told.is_ok() && outcome.file_acked.is_some()
    };
    assert!(books.pairs().iter().any(objects), "objects put whose rows did not come about");
    // A stream ends with its first operation in doubt.
    let mut doubtful = std::collections::BTreeSet::new();
    for (intent, outcome) in books.pairs() {
        assert!(!doubtful.contains(&intent.token.stream), "{intent:?}");
        if matches!(outcome.unwrap().told, Told::InDoubt { .. }) {
            doubtful.insert(intent.token.stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_database_holds_nobody_longer_than_the_deadline() {
    let servers = Servers::start(true).await;
    let deadline = Duration::from_millis(500);
    let (load, books, clock) = start(&servers, Workload { deadline, ..workload(200.0, 4) }).await;
    sleep(Duration::from_millis(500)).await;
    servers.signal_postgres(Signal::SIGSTOP);
    let stalled = clock.now();
    sleep(Duration::from_millis(2500)).await;
    let stopping = Instant::now();
    let stopped = load.stop().await;
    assert!(stopping.elapsed() < deadline * 3, "{:?}", stopping.elapsed());
    servers.signal_postgres(Signal::SIGCONT);
    println!("{stopped:?} {:#?} {:?}", books.counts(), books.codes());
    assert!(stopped.rates.unsent_total > 100, "what is overdue is not sent: {stopped:?}");
    for (intent, outcome) in books.pairs() {
        let took = outcome.unwrap().at.since(intent.sent);
        assert!(took < deadline + Duration::from_millis(400), "{took:?} {intent:?}");
    }
    // A lane of several hands goes on while those before still wait: four for each deadline.
    for (store, connection) in [(Store::Sql, Connection::Fresh), (Store::Files, Connection::LongLived)] {
        let lane = Lane::Probe { store, access: Access::Write, connection };
        let sent = books.pairs().iter().filter(|(intent, _)| intent.lane == lane && intent.sent > stalled).count();
        assert!((16..=24).contains(&sent), "{sent} of {lane:?} in 2.5 s");
    }
    // What was in doubt may be carried out only now.
    sleep(Duration::from_millis(500)).await;
    agree(&servers, &books).await;
}

#[tokio::test]
async fn a_commit_that_is_local_only_is_marked() {
    // One thread, so that its subscriber sees what the load does.
    let subscriber = tracing_subscriber::registry().with(crate::workload::notices::layer());
    let _guard = tracing::subscriber::set_default(subscriber);
    let servers = Servers::start(true).await;
    let quiet = Workload { deadline: Duration::from_secs(5), file_share: 0.0, ..workload(20.0, 1) };
    let (load, books, _) = start(&servers, quiet).await;
    let mut open = servers.auditor_connection("sales").await;
    sleep(Duration::from_millis(300)).await;
    for statement in ["ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut open).await.unwrap();
    }
    let waiting =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'geodrill writer'";
    let mut open = poll::until("a commit that waits", WITHIN, Duration::from_millis(20), || async {
        let mut open = servers.auditor_connection("sales").await;
        let pid = sqlx::raw_sql(waiting).fetch_one(&mut open).await?.try_get::<i32, _>("pid")?;
        sqlx::query("SELECT pg_cancel_backend($1)").bind(pid).execute(&mut open).await?;
        Ok::<_, sqlx::Error>(open)
    })
    .await
    .unwrap();
    for statement in ["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut open).await.unwrap();
    }
    let _ = load.stop().await;
    let local = books
        .pairs()
        .into_iter()
        .filter(|(_, outcome)| matches!(outcome.as_ref().unwrap().told, Told::Ok { local_only: true, .. }));
    assert_eq!(local.count(), 1, "{:?}", books.codes());
    agree(&servers, &books).await;
}
