//! Runs with switches: what is lost is attributed to the event that lost it, once.

use proptest::prelude::*;

use super::world::*;
use crate::model::{
    Token,
    measure::{Integrity, LossKind, LostWrite},
    observation::*,
    operation::*,
    token::Seen,
};

fn tokens(lost: &[LostWrite], store: Store) -> Vec<Token> {
    lost.iter().filter(|lost| lost.store == store).map(|lost| lost.token).collect()
}

#[test]
fn a_failover_loses_the_tail_and_nothing_is_told_twice() {
    let mut world = World::new();
    for number in 0..20 {
        world.write(1, OpKind::Create, &format!("k{number}"), number % 2 == 0, Answer::Ok);
    }
    let cut = ms(world.now - 1);
    world.fail_over("failover-1", 3, 4);
    let first = world.write(2, OpKind::Create, "new", true, Answer::Ok);
    world.observe("failover-1");
    world.write(2, OpKind::Create, "newer", false, Answer::Ok);
    let measures = world.finish().verify();
    let event_1 = event(&measures, "failover-1");
    assert_eq!((event_1.from, event_1.to), (Some(Side(0)), Some(Side(1))));
    assert_eq!(event_1.cut, Some(cut));
    assert!(event_1.switched.is_some_and(|at| at > event_1.began));
    assert_eq!(event_1.sql.lost_create, 3);
    assert_eq!(event_1.files.lost_create, 4);
    let point = &event_1.recovery_point;
    assert!((point.sql_age_s - 0.006).abs() < 1e-9, "{point:?}");
    // Objects go with every second write: the fourth last of them is the eighth last write.
    assert!((point.files_age_s - 0.021).abs() < 1e-9, "{point:?}");
    assert_eq!(point.age_s, point.files_age_s);
    // The 16th write is the last one whose row and object, if it has one, are both there.
    assert!((point.tail_s - 0.012).abs() < 1e-9, "{point:?}");
    assert_eq!(point.operations, 6);
    assert_eq!(event_1.dangling_unmarked, 3);
    assert_eq!(found(&measures, Integrity::Hole), 0);
    assert!(!tokens(&event_1.lost, Store::Sql).contains(&first));
    assert_eq!(event_1.dose_s, Some(point.age_s));
    let end = event(&measures, "end");
    assert_eq!((end.sql.lost(), end.files.lost(), end.lost.len()), (0, 0, 0));
    assert_eq!(end.recovery_point.operations, 0);
    for counts in [&event_1.sql, &event_1.files, &end.sql, &end.files] {
        assert_balanced(counts);
    }
    assert!(measures.books.iter().all(|books| books.balanced));
}

#[test]
fn lost_overwrites_and_deletes_are_told_apart_though_the_load_goes_on() {
    let mut world = World::new();
    for key in ["a", "b", "c"] {
        world.write(1, OpKind::Create, key, false, Answer::Ok);
    }
    let overwrite = world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    let delete = world.write(1, OpKind::Delete, "b", false, Answer::Ok);
    let create = world.write(1, OpKind::Create, "d", false, Answer::Ok);
    world.fail_over("failover-1", 3, 0);
    for key in ["a", "b", "c", "d"] {
        world.write(2, OpKind::Overwrite, key, false, Answer::Ok);
    }
    world.observe("failover-1");
    let measures = world.finish().verify();
    let told: Vec<(Token, LossKind)> =
        event(&measures, "failover-1").lost.iter().map(|lost| (lost.token, lost.kind)).collect();
    use LossKind::*;
    assert_eq!(told, [(overwrite, Stale), (delete, ResurrectedDelete), (create, LostCreate)]);
    assert_eq!(measures.findings, []);
}

#[test]
fn what_was_lost_once_and_is_back_stays_lost() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.write(1, OpKind::Create, "b", false, Answer::Ok);
    let gone = world.rows.last().unwrap().clone();
    world.fail_over("failover-1", 1, 0);
    world.write(2, OpKind::Create, "c", false, Answer::Ok);
    world.observe("failover-1");
    world.rows.push(gone);
    let measures = world.finish().verify();
    assert_eq!(event(&measures, "failover-1").sql.lost(), 1);
    let end = event(&measures, "end");
    assert_eq!((end.sql.lost(), end.sql.lost_found, end.sql.intents), (0, 1, 2));
    assert_balanced(&end.sql);
}

#[test]
fn what_was_seen_counts_as_acknowledged_from_then_on() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    world.write(2, OpKind::Create, "b", false, Answer::Ok);
    let doubtful = world.write(3, OpKind::Create, "c", false, Answer::Silent(true));
    world.observe("failover-1");
    world.fail_over("failover-2", 1, 0);
    world.write(2, OpKind::Create, "d", false, Answer::Ok);
    world.observe("failover-2");
    let measures = world.finish().verify();
    assert_eq!(event(&measures, "failover-1").sql.in_doubt_present, 1);
    let second = event(&measures, "failover-2");
    assert_eq!(second.lost, [LostWrite { token: doubtful, store: Store::Sql, kind: LossKind::LostCreate }]);
    assert_eq!((second.from, second.to), (Some(Side(1)), Some(Side(0))));
}

#[test]
fn a_write_under_way_at_a_boundary_is_in_doubt_there_and_plain_at_the_end() {
    for done_before in [false, true] {
        let mut world = World::new();
        world.write(1, OpKind::Create, "a", false, Answer::Ok);
        world.fail_over("failover-1", 0, 0);
        world.write(2, OpKind::Create, "b", false, Answer::Ok);
        if done_before {
            world.write(3, OpKind::Create, "c", true, Answer::Ok);
            // It was answered only after the reading had begun.
            world.now -= 2;
            world.observe("failover-1");
        } else {
            world.now += 1;
            let before = world.observation(Boundary::Event("failover-1".into()));
            world.now -= 1;
            world.write(3, OpKind::Create, "c", true, Answer::Ok);
            world.observations.push(before);
        }
        let measures = world.finish().verify();
        let boundary = event(&measures, "failover-1");
        let doubt = (boundary.sql.in_doubt_present, boundary.sql.in_doubt_absent);
        assert_eq!(doubt, if done_before { (1, 0) } else { (0, 1) });
        assert_eq!((boundary.sql.acked, boundary.sql.lost(), boundary.dangling_unmarked), (2, 0, 0));
        assert_eq!(event(&measures, "end").sql.intact, 3);
        assert_eq!(measures.findings, []);
        assert_balanced(&boundary.sql);
        assert_balanced(&boundary.files);
    }
}

#[test]
fn a_platform_that_never_switches_is_seen() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    world.side = 0;
    world.write(1, OpKind::Create, "b", false, Answer::Ok);
    let measures = world.finish().verify();
    let aborted = event(&measures, "failover-1");
    assert_eq!((aborted.switched, aborted.to), (None, None));
    assert!(aborted.unobserved.is_some());
    assert_eq!(aborted.phases, []);
}

#[test]
fn writes_that_the_old_side_took_after_the_new_one_are_zombies_or_late() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    let slow = world.token(9);
    let sent = ms(world.now);
    let switched = world.write(2, OpKind::Create, "b", false, Answer::Ok);
    let _ = switched;
    // Sent before the switch, answered after it, replicated by the old side in time.
    world.intents.push(Intent { token: slow, sent, key: "slow".into(), ..world.intents[0].clone() });
    let told = Told::Ok { side: Some(Side(0)), local_only: false, found: None };
    world.outcomes.push(Outcome { token: slow, at: ms(world.now + 1), file_acked: None, told });
    world.rows.push(Effect { token: slow, kind: OpKind::Create, key: "slow".into(), object: None, transfer: None });
    world.now += 2;
    // Sent after it, answered by the old side, gone.
    world.side = 0;
    let zombie = world.write(1, OpKind::Create, "zombie", false, Answer::Ok);
    let other = world.observation(Boundary::Final { pass: 1, serving: false });
    world.rows.pop();
    world.side = 1;
    world.observe("failover-1");
    world.observations.push(other);
    let measures = world.finish().verify();
    let switch = event(&measures, "failover-1");
    assert_eq!((switch.sql.zombie, switch.sql.late, switch.sql.lost()), (1, 1, 1));
    let finding = measures.findings.iter().find(|finding| finding.id == Integrity::SplitBrain).unwrap();
    assert_eq!((finding.count, &finding.examples[..]), (1, &[format!("{zombie} (only in the old region)")][..]));
    assert_eq!(event(&measures, "end").sql.zombie, 0);
}

#[test]
fn two_sides_that_both_serve_without_any_event_are_split_brain() {
    let mut world = World::new();
    for number in 0..6 {
        world.side = number % 2;
        world.write(u32::from(number % 2), OpKind::Create, &format!("k{number}"), false, Answer::Ok);
    }
    let measures = world.finish().verify();
    assert_eq!(event(&measures, "end").sql.zombie, 2);
    assert_eq!(found(&measures, Integrity::SplitBrain), 2);
}

#[test]
fn in_doubt_writes_that_are_absent_widen_the_interval_once() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.write(2, OpKind::Create, "b", false, Answer::Doubt(false));
    world.write(1, OpKind::Create, "c", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    world.write(1, OpKind::Create, "d", false, Answer::Ok);
    world.observe("failover-1");
    world.write(1, OpKind::Create, "e", false, Answer::Ok);
    let measures = world.finish().verify();
    let point = &event(&measures, "failover-1").recovery_point;
    assert_eq!((point.age_s, point.operations), (0.0, 0));
    // Sent at 13 ms; the last answer of the old side came at 18 ms.
    assert!((point.in_doubt_age_s - 0.005).abs() < 1e-9, "{point:?}");
    assert_eq!(event(&measures, "end").recovery_point.in_doubt_age_s, 0.0);
}

#[test]
fn tokens_of_another_environment_are_foreign_here() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.write(1, OpKind::Create, "b", false, Answer::Ok);
    world.intents[1].environment = EnvironmentIndex(1);
    let measures = world.finish().verify();
    assert_eq!(event(&measures, "end").sql.foreign, 1);
}

#[test]
fn forks_breaks_and_circles_of_a_chain_are_seen() {
    let contended = || {
        let mut world = World::new();
        let tokens: Vec<Token> =
            (0..4).map(|stream| world.write(stream, OpKind::Overwrite, "hot", false, Answer::Ok)).collect();
        let doubt = world.write(7, OpKind::Overwrite, "other", false, Answer::Doubt(false));
        (tokens, doubt, world.finish())
    };
    type Before<'a> = &'a dyn Fn(&[Token], Token) -> [Option<Token>; 4];
    let hole = |prev: Before<'_>| {
        let (tokens, doubt, mut run) = contended();
        let prev = prev(&tokens, doubt);
        run.tamper(|rows, _| {
            for (row, prev) in rows.history.iter_mut().zip(prev) {
                row.prev = prev.map(Seen::Token);
            }
        });
        found(&run.verify(), Integrity::Hole)
    };
    assert_eq!(hole(&|t, _| [None, Some(t[0]), Some(t[1]), Some(t[2])]), 0);
    assert_eq!(hole(&|t, _| [None, Some(t[0]), Some(t[0]), Some(t[2])]), 1, "a fork");
    assert_eq!(hole(&|t, _| [None, None, Some(t[1]), Some(t[2])]), 1, "two beginnings");
    assert_eq!(hole(&|t, d| [None, Some(d), Some(t[1]), Some(t[2])]), 1, "follows what never was");
    assert_eq!(hole(&|t, _| [None, Some(t[2]), Some(t[0]), Some(t[1])]), 1, "1 follows 2, which was sent after it");
    assert!(hole(&|t, _| [Some(t[3]), Some(t[0]), Some(t[1]), Some(t[2])]) >= 1, "a circle");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any number of switches, each losing any tails: every lost token is told in its event and in no other.
    #[test]
    fn losses_of_many_switches_are_attributed_exactly(
        legs in proptest::collection::vec((1usize..12, 0usize..6, 0usize..4, any::<bool>()), 1..5),
    ) {
        let mut world = World::new();
        let mut expected = Vec::new();
        for (place, (writes, rows, objects, observed)) in legs.iter().enumerate() {
            for number in 0..*writes {
                world.write(place as u32, OpKind::Create, &format!("{place}-{number}"), number % 2 == 0, Answer::Ok);
            }
            let lost_rows: Vec<Token> = world.rows.iter().rev().take(*rows).map(|effect| effect.token).collect();
            let token_of = |version: &ObjectVersion| match &version.content {
                Content::Body { token: Some(Seen::Token(token)), .. } => *token,
                _ => unreachable!("no deletes here"),
            };
            let lost_objects: Vec<Token> = world.objects.iter().rev().take(*objects).map(token_of).collect();
            let id = format!("failover-{place}");
            world.fail_over(&id, *rows, *objects);
            world.write(100 + place as u32, OpKind::Create, &format!("after-{place}"), false, Answer::Ok);
            if *observed {
                world.observe(&id);
            }
            expected.push((id, lost_rows, lost_objects, *observed));
        }
        let measures = world.finish().verify();
        // Without a reading of its own, an event's loss is found by the next reading.
        let (mut open_rows, mut open_objects) = (Vec::new(), Vec::new());
        expected.push(("end".into(), vec![], vec![], true));
        for (id, rows, objects, observed) in expected {
            open_rows.extend(rows);
            open_objects.extend(objects);
            let event = event(&measures, &id);
            prop_assert_eq!(event.unobserved.is_none(), observed);
            if observed {
                open_rows.sort_unstable();
                open_objects.sort_unstable();
                prop_assert_eq!(tokens(&event.lost, Store::Sql), std::mem::take(&mut open_rows));
                prop_assert_eq!(tokens(&event.lost, Store::Files), std::mem::take(&mut open_objects));
                assert_balanced(&event.sql);
                assert_balanced(&event.files);
            } else {
                prop_assert!(event.lost.is_empty());
            }
        }
        prop_assert!(measures.books.iter().all(|books| books.balanced));
    }
}
