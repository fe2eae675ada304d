//! A sandbox that holds a copy of production at the end is held against what production's customers were told.

use super::world::*;
use crate::model::{event::What, measure::Integrity, observation::*, operation::*, token::Seen};

const SALES: EnvironmentIndex = EnvironmentIndex(0);
const TEST: EnvironmentIndex = EnvironmentIndex(1);

/// A run in which `sales` was failed over with a loss, and then copied into `test`, which had data of its own.
fn copied(bend: impl Fn(&mut SqlSnapshot, &mut FilesSnapshot)) -> Finished {
    let mut world = World::new();
    for number in 0..10 {
        world.write(1, OpKind::Create, &format!("a{number}"), number % 2 == 0, Answer::Ok);
    }
    world.fail_over("failover-1", 3, 1);
    for number in 0..10 {
        world.write(2, OpKind::Overwrite, &format!("a{}", number % 4), number % 3 == 0, Answer::Ok);
    }
    world.write(2, OpKind::Delete, "a1", false, Answer::Ok);
    world.write(3, OpKind::Create, "doubt", true, Answer::Doubt(true));
    world.observe("failover-1");
    let (rows, objects) = (world.rows.len(), world.objects.len());
    world.write(4, OpKind::Create, "own", true, Answer::Ok);
    world.intents.last_mut().unwrap().environment = TEST;
    world.rows.truncate(rows);
    world.objects.truncate(objects);
    world.event(What::Copied { environment: TEST, source: SALES, took_s: 1.0 });
    let mut finished = world.finish();
    let finals = finished.observations.iter().filter(|one| matches!(one.boundary, Boundary::Final { .. })).cloned();
    let mut copies: Vec<Observation> = finals.map(|one| Observation { environment: TEST, ..one }).collect();
    for copy in &mut copies {
        if let (Reading::Whole(rows), Reading::Whole(versions)) = (&mut copy.sql, &mut copy.files) {
            bend(rows, versions);
        }
    }
    finished.observations.extend(copies);
    finished
}

/// Lost rows and objects of the copy, and what was found of it.
fn told(bend: impl Fn(&mut SqlSnapshot, &mut FilesSnapshot)) -> ([u64; 2], Vec<Integrity>) {
    let measures = copied(bend).verify_all(&["sales", "test"]);
    let mut ends = measures.events.iter().filter(|event| event.id == "end");
    let (sales, test) = (ends.next().unwrap(), ends.next().unwrap());
    assert_eq!((sales.environment, test.environment), (SALES, TEST));
    assert_eq!(sales.sql.lost() + sales.files.lost(), 0);
    assert_eq!((test.sql.acked, test.files.acked), (sales.sql.acked, sales.files.acked));
    [&test.sql, &test.files].into_iter().for_each(assert_balanced);
    let found = measures.findings.iter().filter(|finding| finding.environment == TEST);
    ([test.sql.lost(), test.files.lost()], found.map(|finding| finding.id).collect())
}

#[test]
fn a_copy_owes_what_production_owed_then_and_nothing_of_the_sandboxs_own() {
    assert_eq!(told(|_, _| {}), ([0, 0], vec![]));
}

#[test]
fn what_a_copy_lacks_is_lost_and_what_the_sandbox_had_before_is_nobodys() {
    let (lost, found) = told(|rows, _| {
        let last = rows.data.pop().unwrap();
        rows.history.retain(|row| row.token != last.token);
    });
    assert_eq!(lost, [1, 0], "{found:?}");
    let (lost, found) = told(|_, versions| versions.versions.retain(|one| one.content == Content::DeleteMarker));
    assert!(lost[0] == 0 && lost[1] > 0 && found.contains(&Integrity::DanglingUnmarked), "{lost:?} {found:?}");
    let (lost, found) = told(|rows, _| {
        let token = Seen::Token(crate::model::Token { run: RUN, stream: 4, sequence: 0, epoch: 1 });
        rows.history.push(HistoryRow { token, key: "own".into(), prev: None });
    });
    assert_eq!((lost, found), ([0, 0], vec![Integrity::Phantom]));
}
