//! Stale and ghost reads.

use super::world::*;
use crate::model::{Token, measure::Integrity, operation::OpKind};

/// Stale reads of a run in which `a` was created, overwritten twice and read so.
fn stale<T>(script: impl Fn(&mut World, [Token; 3]) -> T) -> u64 {
    let mut world = World::new();
    let tokens =
        [OpKind::Create, OpKind::Overwrite, OpKind::Overwrite].map(|kind| world.write(1, kind, "a", false, Answer::Ok));
    script(&mut world, tokens);
    let measures = world.finish().verify();
    assert_eq!(found(&measures, Integrity::GhostRead), 0);
    found(&measures, Integrity::StaleRead)
}

#[test]
fn an_older_link_is_stale_and_the_latest_is_not() {
    assert_eq!(stale(|world, t| world.read(9, "a", Some(t[2]))), 0);
    assert_eq!(stale(|world, t| world.read(9, "a", Some(t[1]))), 1);
    assert_eq!(stale(|world, t| [0, 1, 2].map(|n| world.read(9, "a", Some(t[n])))), 2);
    assert_eq!(stale(|world, _| world.read(9, "a", None)), 1);
    assert_eq!(stale(|world, _| world.read(9, "never written", None)), 0);
}

#[test]
fn a_read_sent_before_the_acknowledgement_may_return_either() {
    for (back, expected) in [(3, 0), (0, 1)] {
        assert_eq!(
            stale(|world, t| {
                world.now -= back;
                world.read(9, "a", Some(t[1]));
            }),
            expected
        );
    }
}

#[test]
fn deletes_explain_nothing_found_and_nothing_else() {
    let deleted = |world: &mut World| world.write(1, OpKind::Delete, "a", false, Answer::Ok);
    assert_eq!(
        stale(|world, _| {
            deleted(world);
            world.read(9, "a", None);
        }),
        0
    );
    assert_eq!(
        stale(|world, t| {
            deleted(world);
            world.read(9, "a", Some(t[2]));
        }),
        1
    );
    assert_eq!(
        stale(|world, _| {
            deleted(world);
            world.write(1, OpKind::Create, "a", false, Answer::Ok);
            world.read(9, "a", None);
        }),
        1
    );
}

#[test]
fn writes_in_doubt_are_never_older_than_anything() {
    assert_eq!(
        stale(|world, t| {
            let doubt = world.write(2, OpKind::Overwrite, "a", false, Answer::Doubt(true));
            world.read(9, "a", Some(doubt));
            world.read(9, "a", Some(t[2]));
        }),
        0
    );
    assert_eq!(
        stale(|world, _| {
            world.write(2, OpKind::Delete, "a", false, Answer::Silent(false));
            world.read(9, "a", None);
        }),
        0
    );
}

#[test]
fn after_a_switch_an_older_link_is_loss_and_a_lost_one_a_ghost() {
    let mut world = World::new();
    let kept = world.write(1, OpKind::Create, "a", false, Answer::Ok);
    let lost = world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    world.read(9, "a", Some(lost));
    world.fail_over("failover-1", 1, 0);
    world.write(2, OpKind::Create, "b", false, Answer::Ok);
    world.read(9, "a", Some(kept));
    let ghost = world.read(9, "a", Some(lost));
    world.observe("failover-1");
    let measures = world.finish().verify();
    assert_eq!(found(&measures, Integrity::StaleRead), 0);
    let finding = measures.findings.iter().find(|finding| finding.id == Integrity::GhostRead).unwrap();
    assert_eq!((finding.count, &*finding.event), (1, "failover-1"));
    assert_eq!(finding.examples, [ghost.to_string()]);
}

#[test]
fn a_stale_read_is_told_in_the_event_that_was_under_way() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.fail_over("failover-1", 0, 0);
    let old = world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    world.write(1, OpKind::Overwrite, "a", false, Answer::Ok);
    world.read(9, "a", Some(old));
    world.observe("failover-1");
    let measures = world.finish().verify();
    assert_eq!(measures.findings.len(), 1);
    assert_eq!((measures.findings[0].id, &*measures.findings[0].event), (Integrity::StaleRead, "failover-1"));
}
