//! The side that served before, asked past the edge after a switch.

use super::world::*;
use crate::model::{Token, event::What, measure::*, operation::*, token::Seen};

/// A run in which `a` was written, the east was lost without loss, and the west has acknowledged a write; then what the script
/// does.
fn after_a_failover(script: impl Fn(&mut World)) -> Measures {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    script(&mut world);
    world.observe("failover-1");
    world.finish().verify()
}

fn ok(side: Option<Side>) -> Told {
    Told::Ok { side, local_only: false, found: None }
}

/// An answer with what stands there.
fn with(token: Token, side: Side) -> Told {
    Told::Ok { side: Some(side), local_only: false, found: Some(Seen::Token(token)) }
}

fn refused() -> Told {
    Told::Fail { code: "door: refused no permit".into() }
}

#[test]
fn what_is_refused_is_counted_and_harms_nothing() {
    let measures = after_a_failover(|world| {
        for access in [Access::Read, Access::Write] {
            world.ask_old_side("a", Store::Sql, access, refused(), false);
            world.ask_old_side("a", Store::Files, access, refused(), false);
        }
        world.ask_old_side("a", Store::Sql, Access::Write, Told::InDoubt { code: "reset".into() }, false);
    });
    assert_eq!(findings(&measures), []);
    let event = event(&measures, "failover-1");
    assert_eq!(event.old_side, Some(OldSideAsked { asked: 5, answered: 0, in_doubt: 1 }));
    assert_eq!(event.recovery_point.operations, 0);
    assert!(measures.books.iter().all(|books| books.balanced), "{:?}", measures.books);
    assert_balanced(&event.sql);
    assert_balanced(&event.files);
}

#[test]
fn a_write_that_it_acknowledges_is_split_brain_and_no_sign_of_service() {
    let told = |world: &mut World| world.ask_old_side("a", Store::Sql, Access::Write, ok(Some(EAST)), false);
    let measures = after_a_failover(told);
    assert_eq!(found(&measures, Integrity::SplitBrain), 1);
    let event = event(&measures, "failover-1");
    assert_eq!((event.sql.zombie, event.to), (1, Some(Side(1))));
    assert_eq!(event.old_side, Some(OldSideAsked { asked: 1, answered: 1, in_doubt: 0 }));
    // The cut is the last that customers were told, long before.
    assert!(event.cut < event.switched, "{event:?}");
    assert_eq!(event.sql.lost(), 1, "it is not in the region that serves");
}

#[test]
fn an_object_that_it_acknowledges_is_split_brain_though_its_row_is_refused() {
    let measures = after_a_failover(|world| world.ask_old_side("a", Store::Files, Access::Write, refused(), true));
    assert_eq!(findings(&measures), [(Integrity::SplitBrain, Some(Store::Files), 1)]);
    let event = event(&measures, "failover-1");
    assert_eq!((event.sql.zombie, event.files.zombie), (0, 1));
}

#[test]
fn a_read_that_it_answers_is_stale_whatever_it_returns() {
    for (store, side) in [(Store::Sql, Some(EAST)), (Store::Files, None)] {
        let measures = after_a_failover(|world| world.ask_old_side("a", store, Access::Read, ok(side), false));
        assert_eq!(findings(&measures), [(Integrity::StaleRead, Some(store), 1)]);
    }
}

#[test]
fn a_customer_whom_it_answers_has_a_stale_read_too() {
    let read = |world: &mut World| {
        let newest = world.intents.last().map(|intent| intent.token);
        world.side = 0;
        world.read(9, "a", newest);
        world.side = 1;
    };
    assert_eq!(findings(&after_a_failover(read)), [(Integrity::StaleRead, Some(Store::Sql), 1)]);
}

#[test]
fn once_it_was_seen_to_follow_it_may_answer_reads_and_still_no_writes() {
    let protected =
        |seen: bool| What::Protected { environment: EnvironmentIndex(0), replica: EAST, seen, detail: "".into() };
    for (seen, stale) in [(true, 0), (false, 1)] {
        let measures = after_a_failover(|world| {
            world.event(protected(seen));
            world.now += 1;
            world.ask_old_side("a", Store::Sql, Access::Read, ok(Some(EAST)), false);
            world.ask_old_side("a", Store::Sql, Access::Write, ok(Some(EAST)), false);
        });
        assert_eq!(found(&measures, Integrity::StaleRead), stale);
        assert_eq!(found(&measures, Integrity::SplitBrain), 1);
    }
}

#[test]
fn what_was_sent_before_the_new_sides_first_answer_may_be_answered() {
    let mut world = World::new();
    let first = world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    world.ask_old_side("a", Store::Sql, Access::Read, with(first, EAST), false);
    world.side = 0;
    world.read(9, "a", Some(first));
    world.side = 1;
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    world.observe("failover-1");
    let measures = world.finish().verify();
    assert_eq!(findings(&measures), []);
    assert_eq!(event(&measures, "failover-1").old_side, Some(OldSideAsked::default()));
}

#[test]
fn after_the_way_back_the_other_side_is_the_old_one() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("there", 0, 0);
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    world.observe("there");
    world.fail_over("back", 0, 0);
    let newest = world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    // The east serves again: its answers are as they should be, and the west's are not.
    world.ask_old_side("a", Store::Sql, Access::Read, with(newest, EAST), false);
    world.ask_old_side("a", Store::Sql, Access::Read, with(newest, Side(1)), false);
    world.observe("back");
    let measures = world.finish().verify();
    let stale = measures.findings.iter().filter(|finding| finding.id == Integrity::StaleRead);
    assert_eq!(stale.map(|finding| (&*finding.event, finding.count)).collect::<Vec<_>>(), [("back", 1)]);
}

/// Its doors may open to those who come directly a moment before customers are sent there.
#[test]
fn the_first_whom_a_returning_side_answers_may_be_one_that_came_past_the_edge() {
    let run = |zombie: bool| {
        let mut world = World::new();
        world.write(1, OpKind::Create, "a", false, Answer::Ok);
        world.fail_over("there", 0, 0);
        world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
        world.observe("there");
        world.fail_over("back", 0, 0);
        world.ask_old_side("a", Store::Sql, Access::Write, ok(Some(EAST)), false);
        if zombie {
            // The west still takes a customer's write, sent after the east has acknowledged another.
            world.side = 1;
            world.write(2, OpKind::Create, "b", false, Answer::Ok);
            world.side = 0;
        }
        world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
        world.observe("back");
        let measures = world.finish().verify();
        let brains = measures.findings.iter().filter(|finding| finding.id == Integrity::SplitBrain);
        brains.map(|finding| (finding.event.clone(), finding.count)).collect::<Vec<_>>()
    };
    assert_eq!(run(false), []);
    assert_eq!(run(true), [("back".to_owned(), 1)]);
}
