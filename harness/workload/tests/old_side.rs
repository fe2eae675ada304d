//! A side that goes on answering after another one has, asked at a door that lets in whoever comes with one of two epochs:
//! real stores behind it.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{
    direct::{start, workload},
    servers::{Servers, free_port},
};
use crate::{
    api::{Epoch, route::Preamble},
    model::operation::{Access, Intent, Lane, Outcome, Side, Store, Told},
    workload::OldDoors,
};

/// The epoch that it lets in, and the one that it refuses.
const EPOCHS: [Epoch; 2] = [Epoch(1), Epoch(2)];

/// A compute that lets in the first epoch for ever; its port.
async fn door(store: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut line = Vec::new();
                while line.last() != Some(&b'\n') {
                    line.push(client.read_u8().await.unwrap());
                }
                let preamble: Preamble = serde_json::from_slice(&line).unwrap();
                if preamble.epoch != EPOCHS[0] {
                    return client.write_all(b"refused epoch 2 has not been granted\n").await;
                }
                client.write_all(b"ok\n").await?;
                let mut store = TcpStream::connect(("127.0.0.1", store)).await?;
                copy_bidirectional(&mut client, &mut store).await.map(drop)
            });
        }
    });
    port
}

/// What was asked of the old side in a second, of a load that was told of another side meanwhile.
async fn asked(sql: u16, files: u16, servers: &Servers) -> Vec<(Intent, Outcome)> {
    let (mut load, books, clock) = start(servers, workload(20.0, 1)).await;
    let environment = "sales".parse().unwrap();
    let doors = OldDoors { side: Side(0), sql, files, environment, epochs: EPOCHS.to_vec() };
    load.ask_old_sides(&(Arc::new(move |_, _, changes: u32| (changes > 0).then(|| doors.clone())) as _));
    sleep(Duration::from_millis(500)).await;
    let is_asked = |intent: &Intent| matches!(intent.lane, Lane::OldSide { .. });
    assert!(!books.pairs().iter().any(|(intent, _)| is_asked(intent)), "nobody is asked before a switch was seen");
    let (_, _, sides) = load.pulses().remove(0);
    sides.acknowledged(Side(1), clock.now(), clock.now());
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(load.stop().await.problem, None);
    let asked = books.pairs().into_iter().filter(|(intent, _)| is_asked(intent));
    asked.map(|(intent, outcome)| (intent, outcome.expect("every one has an outcome"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_side_answers_is_in_the_ledger_and_so_is_every_refusal() {
    let servers = Servers::start(true).await;
    let asked = asked(door(servers.sql_port).await, door(servers.files_port).await, &servers).await;
    for (store, access) in [
        (Store::Sql, Access::Write),
        (Store::Sql, Access::Read),
        (Store::Files, Access::Write),
        (Store::Files, Access::Read),
    ] {
        let of = |lane: Lane| matches!(lane, Lane::OldSide { store: s, access: a, .. } if (s, a) == (store, access));
        let of: Vec<_> = asked.iter().filter(|(intent, _)| of(intent.lane)).collect();
        let answered = of.iter().filter(|(_, outcome)| outcome.told.is_ok()).count();
        let refused = of.iter().filter(|(_, outcome)| match &outcome.told {
            Told::Fail { code } => code.contains("not been granted"),
            _ => false,
        });
        println!("{store:?} {access:?}: {} asked, {answered} answered", of.len());
        assert!(answered >= 2 && refused.count() >= 2, "{of:#?}");
        for (_, outcome) in of.iter().filter(|(_, outcome)| outcome.told.is_ok()) {
            let Told::Ok { side, found, .. } = &outcome.told else { unreachable!() };
            let by_object = (store, access) == (Store::Files, Access::Read);
            assert_eq!(*side, (!by_object).then_some(Side(0)), "a row tells which server answered");
            assert!(access == Access::Write || found.is_some());
            assert_eq!(outcome.file_acked.is_some(), (store, access) == (Store::Files, Access::Write));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_is_gone_proves_that_nothing_was_done() {
    let servers = Servers::start(true).await;
    // Nobody listens there.
    let asked = asked(free_port(), free_port(), &servers).await;
    assert!(asked.len() >= 8, "{asked:#?}");
    for (intent, outcome) in asked {
        assert!(matches!(&outcome.told, Told::Fail { .. }) && outcome.file_acked.is_none(), "{intent:?} {outcome:?}");
    }
}
