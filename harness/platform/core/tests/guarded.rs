//! The data-loss guard, in named cases.

use super::{
    chaos::{Chaos, Who},
    guarding::expose,
    questions::order,
    world::{EAST, World, environment},
};
use crate::{
    api::{
        Epoch,
        control::{Exposure, Failover, GuardState, GuardStatus, NoticeKind, Scope, SwitchKind},
        environment::EnvironmentPhase,
        guard::{Guard, GuardLevel, GuardMode},
        role::Policy,
    },
    platform::core::{AskId, Event, OrderAnswer, Record},
};

const BOUND_MS: u64 = 9_000;

fn deployed(mode: GuardMode) -> World {
    let guard = Guard { mode, bound_ms: BOUND_MS };
    let chaos = Chaos { delay_ms: 3, drift: true, ..Chaos::default() };
    let mut world = World::new(chaos, Policy { guard, ..Policy::default() });
    world.deploy(&["sales"]);
    run(&mut world, 3_000);
    world
}

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

fn one() -> Scope {
    Scope::Environments(vec![environment("sales")])
}

/// The guard's events so far.
fn told(world: &World) -> Vec<String> {
    let names = world.events("sales").into_iter().map(|event| event.name);
    names.filter_map(|name| name.strip_prefix("guard.").map(str::to_owned)).collect()
}

fn warnings(world: &World) -> Vec<String> {
    let of = |record: &Record| match record {
        Record::Notice(notice) if notice.kind == NoticeKind::Warning => Some(notice.text.clone()),
        _ => None,
    };
    world.journal.iter().filter_map(of).collect()
}

fn guard(world: &World) -> GuardStatus {
    let core = world.core.as_ref().expect("control runs");
    core.status(world.clock(Who::Control) - world.started_ms).environments[0].guard.clone()
}

fn epoch(world: &World) -> Epoch {
    world.core.as_ref().unwrap().state().environments[&environment("sales")].epoch
}

fn is_served(world: &World) -> bool {
    world.now - world.last_ack_ms("sales") < 200
}

#[test]
fn while_the_other_region_follows_nothing_is_told_or_withheld() {
    let mut world = deployed(GuardMode::Enforce);
    run(&mut world, 60_000);
    assert!(told(&world).is_empty() && is_served(&world), "{:?}", told(&world));
    let status = guard(&world);
    assert_eq!((status.state, status.level), (GuardState::Enforcing, GuardLevel::Clear));
    assert!(status.guaranteed && status.automatic && status.exposure_ms.is_some_and(|ms| ms < 1_500), "{status:?}");
}

#[test]
fn what_is_held_back_is_told_slowed_withheld_and_released_once_it_has_arrived() {
    let mut world = deployed(GuardMode::Enforce);
    world.chaos.stalled = true;
    let began = world.now;
    run(&mut world, 30_000);
    assert_eq!(told(&world), ["alerted", "throttled", "withheld"]);
    let served = world.last_ack_ms("sales") - began;
    assert!((BOUND_MS / 2..=BOUND_MS).contains(&served), "writes went on for {served} ms");
    // The door for reading stays open.
    assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)));
    assert!(guard(&world).exposure_ms.is_some_and(|ms| ms > 29_000));
    let texts = warnings(&world);
    assert!(texts.len() == 3 && texts[2].contains("writes are withheld"), "{texts:?}");
    world.chaos.stalled = false;
    run(&mut world, 3_000);
    assert_eq!(told(&world)[3..], ["released"]);
    assert!(is_served(&world));
    world.is_whole("sales").unwrap();
}

#[test]
fn files_that_do_not_arrive_are_withheld_for_as_rows_are() {
    let mut world = deployed(GuardMode::Enforce);
    world.chaos.files_stalled = true;
    run(&mut world, 30_000);
    assert_eq!(told(&world), ["alerted", "throttled", "withheld"]);
    let status = guard(&world);
    assert!(status.sql_ms < status.files_ms && !is_served(&world), "{status:?}");
    world.chaos.files_stalled = false;
    run(&mut world, 3_000);
    assert!(is_served(&world));
}

#[test]
fn who_only_observes_alerts_and_loses_as_much_as_was_held_back() {
    let lost = [5_000, 10_000, 20_000].map(|held_ms| {
        let mut world = deployed(GuardMode::Observe);
        world.chaos.stalled = true;
        run(&mut world, held_ms);
        assert!(is_served(&world));
        world.lose(EAST);
        run(&mut world, 20_000);
        assert_eq!(told(&world), ["alerted"]);
        world.longest_loss_ms("sales")
    });
    for (lost_ms, held_ms) in lost.into_iter().zip([5_000, 10_000, 20_000]) {
        assert!(lost_ms.abs_diff(held_ms) <= 200, "{lost_ms} of {held_ms} ms");
    }
}

#[test]
fn an_enforced_bound_is_not_passed_however_long_the_link_is_held_back() {
    for held_ms in [5_000, 10_000, 20_000] {
        let mut world = deployed(GuardMode::Enforce);
        world.chaos.stalled = true;
        run(&mut world, held_ms);
        world.lose(EAST);
        run(&mut world, 20_000);
        // Switched by itself: that no more is lost than the bound is known.
        assert_eq!(epoch(&world), Epoch(2));
        let lost_ms = world.longest_loss_ms("sales");
        println!("held back for {held_ms} ms: the last {lost_ms} ms lost, of {BOUND_MS} ms");
        assert!(lost_ms <= BOUND_MS && lost_ms + 200 >= held_ms.min(BOUND_MS / 2), "{lost_ms} of {held_ms} ms");
    }
}

#[test]
fn without_control_the_other_node_guards_by_what_it_has_received() {
    let mut world = deployed(GuardMode::Enforce);
    world.hold_control_down(60_000);
    run(&mut world, 20_000);
    assert!(world.core.is_none() && is_served(&world), "nothing is held back: writes go on");
    world.chaos.stalled = true;
    let began = world.now;
    run(&mut world, 20_000);
    let served = world.last_ack_ms("sales") - began;
    assert!((BOUND_MS / 2..=BOUND_MS).contains(&served), "writes went on for {served} ms");
    assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)));
    world.chaos.stalled = false;
    run(&mut world, 3_000);
    assert!(world.core.is_none() && is_served(&world));
}

#[test]
fn a_control_plane_that_has_just_started_withholds_nothing_that_the_other_node_knows_of() {
    let mut world = deployed(GuardMode::Enforce);
    for _ in 0..20 {
        world.kill_control();
        let end = world.now + 4_000;
        while world.now < end {
            run(&mut world, 40);
            assert!(world.now - world.last_ack_ms("sales") < 400, "a gap at {}", world.now);
        }
    }
}

#[test]
fn exposure_that_an_operator_grants_voids_the_guarantee_and_disarms_the_automatic_failover() {
    let mut world = deployed(GuardMode::Enforce);
    world.chaos.stalled = true;
    run(&mut world, 20_000);
    assert!(!is_served(&world));
    assert_eq!(expose(&mut world, "sales", true), Ok(OrderAnswer::Exposure(Exposure { granted: true })));
    run(&mut world, 2_000);
    assert!(is_served(&world));
    let status = guard(&world);
    assert_eq!((status.state, status.guaranteed, status.automatic), (GuardState::Exposed, false, false));
    world.lose(EAST);
    run(&mut world, 20_000);
    assert_eq!((epoch(&world), world.region_events(EAST).last().unwrap().as_str()), (Epoch(1), "region.declared"));
    assert!(warnings(&world).last().unwrap().contains("is not switched without one"), "{:?}", warnings(&world));
    // An operator may, if in so many words.
    let refused = order(&mut world, SwitchKind::Unplanned, one()).unwrap_err();
    assert!(refused.status == 409 && refused.why.contains("more than the 9.0 s of the enforced bound"), "{refused}");
    world.is_loss_accepted = true;
    let order = Failover { kind: SwitchKind::Unplanned, scope: one(), accept_data_loss: true };
    world.step(Event::FailoverOrdered { ask: AskId(u64::MAX), order });
    run(&mut world, 10_000);
    assert_eq!((epoch(&world), guard(&world).state), (Epoch(2), GuardState::Suspended));
    assert!(world.longest_loss_ms("sales") > 20_000);
    // Nothing is guarded, and nothing withheld, until a replica streams; then it is again, and nobody is exposed.
    assert!(is_served(&world) && told(&world).last().unwrap() == "suspended", "{:?}", told(&world));
    world.chaos.stalled = false;
    world.return_region(EAST);
    run(&mut world, 10_000);
    let status = guard(&world);
    assert_eq!((status.state, status.guaranteed), (GuardState::Enforcing, true));
    assert!(told(&world).last().unwrap() == "resumed" && is_served(&world), "{:?}", told(&world));
}

#[test]
fn an_exposure_that_is_ended_is_guaranteed_again_once_the_other_region_has_caught_up() {
    let mut world = deployed(GuardMode::Enforce);
    world.chaos.stalled = true;
    run(&mut world, 20_000);
    expose(&mut world, "sales", true).unwrap();
    run(&mut world, 5_000);
    expose(&mut world, "sales", false).unwrap();
    run(&mut world, 3_000);
    assert_eq!(
        (guard(&world).state, guard(&world).automatic, is_served(&world)),
        (GuardState::Restoring, false, false)
    );
    world.chaos.stalled = false;
    run(&mut world, 3_000);
    assert_eq!((guard(&world).state, guard(&world).automatic, is_served(&world)), (GuardState::Enforcing, true, true));
    // The other node has been told both times: it guards again.
    world.hold_control_down(60_000);
    world.chaos.stalled = true;
    run(&mut world, 20_000);
    assert!(!is_served(&world));
}

#[test]
fn exposure_is_refused_where_nothing_is_withheld() {
    let check = |world: &mut World, name: &str, status: u16, words: &str| {
        let refused = expose(world, name, true).unwrap_err();
        assert!(refused.status == status && refused.why.contains(words), "{refused}");
    };
    check(&mut deployed(GuardMode::Observe), "sales", 422, "only observes");
    let mut world = deployed(GuardMode::Enforce);
    check(&mut world, "nobody", 404, "no environment `nobody`");
    world.lose(EAST);
    run(&mut world, 20_000);
    let phase = world.core.as_ref().unwrap().state().environments[&environment("sales")].phase;
    assert_eq!(phase, EnvironmentPhase::Unprotected);
    check(&mut world, "sales", 409, "is suspended until one streams");
}

#[test]
fn a_policy_that_has_changed_is_told_to_the_other_node_before_anything_is_guaranteed() {
    let mut world = deployed(GuardMode::Observe);
    world.settings.policy.guard.mode = GuardMode::Enforce;
    world.kill_control();
    assert!(world.run_until(world.now + 20_000, |world| told(world) == ["resumed"]), "{:?}", told(&world));
    world.hold_control_down(60_000);
    world.chaos.stalled = true;
    run(&mut world, 20_000);
    assert!(!is_served(&world), "the other node guards");
}
