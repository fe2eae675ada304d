//! Planned switches on real servers: there, back, and undone.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    log_in, number, run,
    stage::{PERMIT_MS, Side, Stage},
    until_log_in,
};
use crate::{
    api::{
        node::{Action, Answer, Fork, LogEnd, Rejoin},
        permit::SqlRole,
    },
    platform::actor::locked,
};

/// A second, in milliseconds.
const SECOND: u64 = 1000;

async fn handed_over(side: &Side, operation: u64, epoch: u64) -> LogEnd {
    match side.order(operation, epoch, Action::HandOver).await.unwrap() {
        Answer::HandedOver(end) => end,
        other => panic!("{other:?}"),
    }
}

async fn unmet(side: &Side, epoch: u64, action: Action) -> String {
    match side.order(9, epoch, action).await.unwrap() {
        Answer::Unmet { why } => why,
        other => panic!("{other:?}"),
    }
}

/// A whole planned switch of the log; the new epoch is the old one's successor.
pub(super) async fn switch(stage: &Stage, from: &str, to: &str, operation: u64, epoch: u64) -> Fork {
    let (old, new) = (stage.side(from), stage.side(to));
    assert_eq!(old.order(operation, epoch, Action::PreflightPrimary).await.unwrap(), Answer::Done);
    assert_eq!(new.order(operation, epoch, Action::PreflightStandby).await.unwrap(), Answer::Done);
    for side in [old, new] {
        assert_eq!(side.order(operation, epoch, Action::Checkpoint).await.unwrap(), Answer::Done);
    }
    let began = Instant::now();
    let end = handed_over(old, operation, epoch).await;
    let handed = began.elapsed();
    let Answer::Stopped { .. } = new.order(operation, epoch, Action::StopGranting).await.unwrap() else { panic!() };
    let wait = Action::AwaitLog { end: end.clone(), within_ms: 10 * SECOND };
    assert_eq!(new.order(operation, epoch, wait).await.unwrap(), Answer::Done);
    let waited = began.elapsed();
    let fork = stage.promote(to, operation, epoch + 1).await;
    eprintln!("{from} -> {to}: handed over {handed:?}, caught up {waited:?}, promoted {:?}", began.elapsed());
    assert_eq!(fork, Fork { timeline: end.timeline + 1, lsn: end.lsn });
    fork
}

/// The old side comes back, and grants again.
pub(super) async fn come_back(stage: &Stage, old: &str, new: &str, operation: u64, epoch: u64, fork: Fork) {
    let side = stage.side(old);
    let secured = side.order(operation, epoch, Action::Secure { fork }).await.unwrap();
    assert_eq!(secured, Answer::Secured { diverged: false, rows: 0, objects: 0 });
    let began = Instant::now();
    let rejoined = side.order(operation, epoch, Action::Rejoin { fork }).await.unwrap();
    eprintln!("{old} followed within {:?}", began.elapsed());
    assert_eq!(rejoined, Answer::Rejoined(Rejoin::Followed));
    let primary = new.parse().unwrap();
    assert_eq!(
        side.order(operation, epoch, Action::AllowGranting { primary, guard: None }).await.unwrap(),
        Answer::Done
    );
    stage.claimed(old, |claim| claim.sql == SqlRole::Standby && claim.streaming && claim.epoch.0 == epoch).await;
    stage.claimed(new, |claim| claim.sql == SqlRole::Primary && claim.streaming && claim.epoch.0 == epoch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_twice_nothing_is_lost_and_nothing_rewound() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY)").await.unwrap();
    drop(app);
    let mut rows = 0;
    for round in 1..=4_u64 {
        let (from, to) = if round % 2 == 1 { ("east", "west") } else { ("west", "east") };
        let mut app = until_log_in(&stage.side(from).config, "app").await;
        run(&mut app, "INSERT INTO doc SELECT coalesce(max(id), 0) + 1 FROM doc").await.unwrap();
        rows += 1;
        let operation = 10 * round;
        let fork = switch(&stage, from, to, operation, round).await;
        log_in(&stage.side(from).config, "app").await.map(drop).unwrap_err();
        let mut app = log_in(&stage.side(to).config, "app").await.unwrap();
        assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, rows);
        // What was of the old epoch is over.
        stage.claimed(from, |claim| claim.epoch.0 == round + 1 && claim.sql == SqlRole::Quarantined).await;
        let late = stage.side(from).order(operation, round, Action::TakeBack).await.unwrap_err();
        assert_eq!(late.status(), Some(409));
        let mut app = until_log_in(&stage.side(to).config, "app").await;
        run(&mut app, "INSERT INTO doc SELECT max(id) + 1 FROM doc").await.unwrap();
        rows += 1;
        come_back(&stage, from, to, operation + 1, round + 1, fork).await;
        // Every step of the way back may be repeated.
        come_back(&stage, from, to, operation + 1, round + 1, fork).await;
        // The returned side's permits alone keep the primary open.
        locked(&stage.word).grants = false;
        tokio::time::sleep(Duration::from_millis(PERMIT_MS + PERMIT_MS / 2)).await;
        app = log_in(&stage.side(to).config, "app").await.unwrap();
        locked(&stage.word).grants = true;
        assert_eq!(number(&mut app, "SELECT count(*) FROM pg_replication_slots WHERE active").await, 1);
        let mut auditor = log_in(&stage.side(from).config, "auditor").await.unwrap();
        assert_eq!(number(&mut auditor, "SELECT count(*) FROM pg_replication_slots").await, 0);
        assert_eq!(number(&mut auditor, "SELECT count(*) FROM doc").await, rows);
    }
    stage.east.end().await;
    stage.west.end().await;
    assert_eq!((stage.east.postgres(), stage.west.postgres()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_over_a_stalled_link_is_found_short_and_taken_back_with_every_row() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY)").await.unwrap();
    let mut auditor = log_in(&stage.west.config, "auditor").await.unwrap();
    run(&mut auditor, "SELECT pg_wal_replay_pause()").await.unwrap();
    let why = unmet(&stage.west, 1, Action::PreflightStandby).await;
    assert!(why.contains("replay is paused"), "{why}");
    run(&mut app, "INSERT INTO doc SELECT generate_series(1, 100)").await.unwrap();
    let why = unmet(&stage.east, 1, Action::PreflightPrimary).await;
    assert!(why.contains("bytes of log behind"), "{why}");
    run(&mut auditor, "SELECT pg_wal_replay_resume()").await.unwrap();
    assert_eq!(stage.east.order(9, 1, Action::PreflightPrimary).await.unwrap(), Answer::Done);
    assert_eq!(stage.west.order(9, 1, Action::PreflightStandby).await.unwrap(), Answer::Done);
    let why = unmet(&stage.west, 1, Action::PreflightPrimary).await;
    assert!(why.contains("primary of epoch 1 is not here"), "{why}");

    let receiver = stage.west.process("walreceiver");
    receiver.signal(Signal::SIGSTOP).unwrap();
    run(&mut app, "INSERT INTO doc SELECT generate_series(101, 1100)").await.unwrap();
    let end = handed_over(&stage.east, 20, 1).await;
    assert_eq!(stage.east.postgres(), []);
    // The same again, by a node that was killed meanwhile: it starts nothing, and knows the same end.
    stage.east.kill().await;
    stage.east.start().await;
    stage.claimed("east", |claim| claim.sql == SqlRole::Down).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.east.postgres(), []);
    assert_eq!(handed_over(&stage.east, 20, 1).await, end);
    let why = unmet(&stage.west, 1, Action::AwaitLog { end: end.clone(), within_ms: 3 * SECOND }).await;
    assert!(why.contains("bytes short of"), "{why}");
    let other = LogEnd { system_id: "1".to_owned(), ..end };
    let why = unmet(&stage.west, 1, Action::AwaitLog { end: other, within_ms: SECOND }).await;
    assert!(why.contains("of system"), "{why}");

    // An older operation may not take back; the one that handed over may, and more than once.
    assert_eq!(stage.east.order(19, 1, Action::TakeBack).await.unwrap_err().status(), Some(409));
    for _ in 0..2 {
        assert_eq!(stage.east.order(20, 1, Action::TakeBack).await.unwrap(), Answer::Done);
    }
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 1100);
    // A hand-over that was delayed on its way stops nothing.
    assert_eq!(stage.east.order(20, 1, Action::HandOver).await.unwrap_err().status(), Some(409));
    run(&mut app, "INSERT INTO doc VALUES (1101)").await.unwrap();

    // A later operation succeeds once the log flows.
    receiver.signal(Signal::SIGCONT).unwrap();
    stage.claimed("west", |claim| claim.streaming).await;
    stage.claimed("east", |claim| claim.streaming && claim.sql == SqlRole::Primary).await;
    let fork = switch(&stage, "east", "west", 30, 1).await;
    let mut app = log_in(&stage.west.config, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 1101);
    come_back(&stage, "east", "west", 31, 2, fork).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_while_it_is_handed_over_is_never_called_clean() {
    let mut stage = Stage::open(None).await;
    stage.deploy_sql().await;
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY)").await.unwrap();
    // The hand-over hangs at a checkpoint that is never written; the server is killed meanwhile.
    stage.east.process("checkpointer").signal(Signal::SIGSTOP).unwrap();
    run(&mut app, "INSERT INTO doc VALUES (1)").await.unwrap();
    let [server] = stage.east.postgres()[..] else { panic!() };
    let (handed, ()) = tokio::join!(stage.east.order(20, 1, Action::HandOver), async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.signal_tree(Signal::SIGKILL).unwrap();
    });
    assert_eq!(handed.unwrap_err().status(), Some(409));
    assert_eq!(stage.east.order(20, 1, Action::HandOver).await.unwrap_err().status(), Some(409));
    stage.east.crash().await;
    stage.east.start().await;
    assert_eq!(stage.east.order(20, 1, Action::TakeBack).await.unwrap(), Answer::Done);
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    assert_eq!(number(&mut app, "SELECT count(*) FROM doc").await, 1);
}
