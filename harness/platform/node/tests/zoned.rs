//! Zones on real servers: nothing acknowledged is lost with one, and the other region follows the next.

use std::time::Duration;

use sqlx::Connection;

use super::{log_in, number, run, stage::Stage, until_log_in};
use crate::{
    api::{
        Zone,
        node::{Action, Answer, Fork, Rejoin},
    },
    clients::poll,
    platform::actor::locked,
};

/// A zone's standby is made, and waited for.
async fn protect(stage: &Stage, by: Zone, seat: Zone, epoch: u64) {
    let second = stage.second.as_ref().unwrap();
    let (primary, standby) = if seat == Zone::FIRST { (&stage.east, second) } else { (second, &stage.east) };
    let make = Action::MakeZoneStandby { spec: super::spec(), source: seat };
    assert_eq!(standby.order(2, epoch, make).await.unwrap(), Answer::Done);
    let wait = Action::Synchronize { zone: Some(by) };
    assert_eq!(primary.order(3, epoch, wait).await.unwrap(), Answer::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_in_the_zone_that_takes_over_and_the_other_region_follows_it() {
    let mut stage = Stage::open_zones().await;
    stage.deploy_sql().await;
    let second = Zone(2);
    // A standby is no replica: nobody is let in, and its primary's own node says nothing of it.
    protect(&stage, second, Zone::FIRST, 1).await;
    log_in(&stage.second.as_ref().unwrap().config, "app").await.map(drop).unwrap_err();
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "CREATE TABLE doc (id int PRIMARY KEY)").await.unwrap();

    // While the standby does not answer, nothing is acknowledged; what its node does itself does not wait.
    let receiver = stage.second.as_ref().unwrap().process("walreceiver");
    receiver.signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    let write = tokio::time::timeout(Duration::from_millis(700), run(&mut app, "INSERT INTO doc VALUES (1)")).await;
    assert!(write.is_err(), "acknowledged without the standby");
    let nobody = Action::Synchronize { zone: None };
    assert_eq!(stage.east.order(4, 1, nobody).await.unwrap(), Answer::Done);
    let mut app = log_in(&stage.east.config, "app").await.unwrap();
    run(&mut app, "INSERT INTO doc VALUES (2)").await.unwrap();
    // An order that was overtaken changes nothing.
    stage.east.order(3, 1, Action::Synchronize { zone: Some(second) }).await.unwrap_err();
    receiver.signal(nix::sys::signal::Signal::SIGCONT).unwrap();
    let again = Action::Synchronize { zone: Some(second) };
    poll::until("the standby again", Duration::from_secs(20), Duration::from_millis(50), || {
        stage.east.order(5, 1, again.clone())
    })
    .await
    .unwrap();

    // The zone is lost under writes, and the next takes over.
    let writes = tokio::spawn(async move {
        let mut last = 9;
        while sqlx::query("INSERT INTO doc VALUES ($1)").bind(last + 1).execute(&mut app).await.is_ok() {
            last += 1;
        }
        last
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    stage.east.crash().await;
    let acknowledged = writes.await.unwrap();
    assert!(acknowledged > 10);
    stage.swap("east", 2);
    locked(&stage.word).zone = second;
    let standby = stage.second.as_ref().unwrap();
    let Answer::Promoted { timeline, fork_lsn } = standby.order(6, 2, Action::Promote).await.unwrap() else { panic!() };
    let mut app = until_log_in(&standby.config, "app").await;
    let kept = number(&mut app, "SELECT max(id)::bigint FROM doc").await;
    assert!(kept >= i64::from(acknowledged), "{acknowledged} was acknowledged, {kept} is there");

    // The other region follows, whatever it had of the old zone, and the old zone is made anew of the new one.
    let fork = Fork { timeline, lsn: fork_lsn };
    let followed = stage.west.order_beside(second, 7, 2, Action::FollowZone { fork }).await.unwrap();
    assert!(matches!(followed, Answer::Rejoined(_)), "{followed:?}");
    let again = stage.west.order_beside(second, 7, 2, Action::FollowZone { fork }).await.unwrap();
    assert_eq!(again, Answer::Rejoined(Rejoin::Followed));
    stage.east.start().await;
    protect(&stage, Zone::FIRST, second, 2).await;
    let mut app = until_log_in(&stage.second.as_ref().unwrap().config, "app").await;
    run(&mut app, "INSERT INTO doc VALUES (5)").await.unwrap();
    for side in [&stage.west, &stage.east] {
        poll::until("the row to cross", Duration::from_secs(5), Duration::from_millis(20), || async {
            let mut auditor = log_in(&side.config, "auditor").await.map_err(|failure| failure.to_string())?;
            let found = number(&mut auditor, "SELECT count(*) FROM doc WHERE id = 5").await;
            auditor.close().await.map_err(|error| error.to_string())?;
            if found == 1 { Ok(()) } else { Err("it has not".to_owned()) }
        })
        .await
        .unwrap();
    }
}
