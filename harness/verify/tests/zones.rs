//! A zone is lost and another one of the region takes over, under the region's name.

use super::world::*;
use crate::model::{RunTime, Zone, event::What, measure::*, operation::*, token::Seen};

fn writes(world: &mut World, from: usize, count: usize) {
    for number in from..from + count {
        world.write(1, OpKind::Create, &format!("k{number}"), false, Answer::Ok);
    }
}

/// So many writes before the zone is lost with so many of them, and some after.
fn run(before: usize, lost: usize, script: impl Fn(&mut World)) -> Measures {
    let mut world = World::new();
    writes(&mut world, 0, before);
    world.lose_zone("lost", [1, 2], lost);
    writes(&mut world, before, 3);
    world.observe("lost");
    script(&mut world);
    writes(&mut world, before + 3, 3);
    world.finish().verify()
}

#[test]
fn nothing_lost_is_an_event_of_its_kind_and_no_switch() {
    let measures = run(8, 0, |_| {});
    assert_eq!(findings(&measures), []);
    let event = event(&measures, "lost");
    assert_eq!((event.kind, event.switch(), event.switched), (Some(EventKind::Zone), None, None));
    assert_eq!((event.from, event.to, event.recovery_point.operations), (Some(EAST), None, 0));
    assert!(event.moved.is_some_and(|moved| moved > event.began) && event.cut < event.moved, "{event:?}");
    assert_eq!(event.old_side, Some(OldSideAsked::default()));
    assert_balanced(&event.sql);
}

#[test]
fn a_tail_that_is_lost_is_a_loss_and_neither_a_hole_nor_a_stale_read() {
    // Keys that the lost writes had changed are read as they were before.
    let mut world = World::new();
    let first = world.write(1, OpKind::Create, "a", false, Answer::Ok);
    writes(&mut world, 0, 5);
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    writes(&mut world, 5, 2);
    world.lose_zone("lost", [1, 2], 3);
    world.read(9, "a", Some(first));
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    writes(&mut world, 7, 3);
    world.observe("lost");
    let measures = world.finish().verify();
    assert_eq!(findings(&measures), []);
    let lost = event(&measures, "lost");
    assert_eq!((lost.sql.lost(), lost.sql.hole, lost.recovery_point.operations), (3, 0, 3));
    // The cut is the old seat's last answer, three writes after the first that is lost.
    assert!((lost.recovery_point.age_s - 0.006).abs() < 1e-9, "{lost:?}");
    assert_eq!(event(&measures, "end").sql.lost(), 0, "told once");
    assert!(measures.books.iter().all(|books| books.balanced), "{:?}", measures.books);
}

#[test]
fn what_one_seat_loses_from_the_middle_of_its_log_is_a_hole_all_the_same() {
    let mut world = World::new();
    writes(&mut world, 0, 6);
    world.rows.remove(3);
    world.lose_zone("lost", [1, 2], 0);
    writes(&mut world, 6, 3);
    world.observe("lost");
    let measures = world.finish().verify();
    assert_eq!(event(&measures, "lost").sql.hole, 1);
}

#[test]
fn a_zone_that_held_nothing_moves_nothing() {
    let mut world = World::new();
    writes(&mut world, 0, 4);
    world.event(What::ZoneLost { event: "lost".into(), environment: EnvironmentIndex(0), cause: ms(world.now) });
    writes(&mut world, 4, 4);
    world.observe("lost");
    let measures = world.finish().verify();
    let event = event(&measures, "lost");
    assert_eq!((event.moved, event.old_side, event.sql.lost()), (None, None, 0));
    assert_eq!(findings(&measures), []);
}

fn ok(side: Option<Side>, found: Option<Seen>) -> Told {
    Told::Ok { side, local_only: false, found }
}

fn refused() -> Told {
    Told::Fail { code: "door: refused no permit".into() }
}

#[test]
fn whatever_the_old_seat_still_answers_is_two_that_answer() {
    let found = |told: fn(&mut World)| findings(&run(8, 0, told));
    assert_eq!(
        found(|world| world.ask_old_side("k1", Store::Sql, Access::Write, ok(Some(EAST), None), false)),
        [(Integrity::SplitBrain, Some(Store::Sql), 1)]
    );
    assert_eq!(
        found(|world| world.ask_old_side("k1", Store::Files, Access::Write, refused(), true)),
        [(Integrity::SplitBrain, Some(Store::Files), 1)]
    );
    assert_eq!(
        found(|world| world.ask_old_side("k1", Store::Sql, Access::Read, ok(Some(EAST), None), false)),
        [(Integrity::StaleRead, Some(Store::Sql), 1)]
    );
    assert_eq!(
        found(|world| world.ask_old_side("k1", Store::Files, Access::Read, ok(None, None), false)),
        [(Integrity::StaleRead, Some(Store::Files), 1)]
    );
}

#[test]
fn what_the_old_seat_refuses_is_counted_and_customers_of_the_region_are_not_its_own() {
    let measures = run(8, 0, |world| {
        world.ask_old_side("k1", Store::Sql, Access::Write, refused(), false);
        world.ask_old_side("k1", Store::Files, Access::Read, refused(), false);
        let newest = world.intents.iter().find(|intent| intent.key == "k1").map(|intent| intent.token);
        world.read(9, "k1", newest);
    });
    assert_eq!(findings(&measures), []);
    assert_eq!(event(&measures, "lost").old_side, Some(OldSideAsked { asked: 2, answered: 0, in_doubt: 0 }));
}

#[test]
fn a_seat_that_was_seen_to_follow_may_answer_reads_again() {
    let measures = run(8, 0, |world| {
        let follows = What::SeatFollows { environment: EnvironmentIndex(0), side: EAST, zone: Zone(1) };
        world.event(follows);
        world.now += 10;
        world.ask_old_side("k1", Store::Files, Access::Read, ok(None, None), false);
    });
    assert_eq!(findings(&measures), []);
}

#[test]
fn one_zone_after_another_is_an_event_each_with_its_own_old_seat() {
    let mut world = World::new();
    writes(&mut world, 0, 5);
    world.lose_zone("first", [1, 2], 1);
    writes(&mut world, 5, 5);
    world.observe("first");
    world.lose_zone("second", [2, 3], 2);
    writes(&mut world, 10, 5);
    world.ask_old_side("k1", Store::Sql, Access::Write, ok(Some(EAST), None), false);
    writes(&mut world, 15, 2);
    world.observe("second");
    let measures = world.finish().verify();
    let lost = |id: &str| event(&measures, id).recovery_point.operations;
    assert_eq!((lost("first"), lost("second")), (1, 3), "what the old seat acknowledged is nowhere");
    assert_eq!(event(&measures, "first").sql.zombie, 0);
    assert_eq!(event(&measures, "second").sql.zombie, 1);
    let moved: Vec<Option<RunTime>> = ["first", "second"].iter().map(|id| event(&measures, id).moved).collect();
    assert!(moved[0].is_some() && moved[0] < moved[1], "{moved:?}");
}
