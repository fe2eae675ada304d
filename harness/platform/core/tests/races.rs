//! Orders that meet, at every moment at which they can: one is served, the other refused with its reason or served after it.
//! Nothing is lost that must not be, and in the end everything is in order.

use super::{
    chaos::Chaos,
    questions::{convert, copy, credentials, keep, order},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{Deploy, Scope, SwitchKind},
        environment::EnvironmentKind,
        role::Policy,
    },
    platform::core::{Event, OrderAnswer, Refused},
};

const BOTH: [&str; 2] = ["books", "sales"];
/// Moments at which the second comes, and what lies between them.
const MOMENTS: u64 = 40;
const APART_MS: u64 = 100;

/// Two production environments in the east, at rest.
fn deployed() -> World {
    let chaos = Chaos { delay_ms: 20, drift: true, ..Chaos::default() };
    let mut world = World::new(chaos, Policy { automatic_return: true, ..Policy::default() });
    world.deploy(&BOTH);
    run(&mut world, 2_000);
    world
}

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

fn one(name: &str) -> Scope {
    Scope::Environments(vec![environment(name)])
}

/// Whether an order was taken; one that was not names its reason.
fn is_taken(result: Result<OrderAnswer, Refused>) -> bool {
    let refused = match result {
        Ok(_) => return true,
        Err(refused) => refused,
    };
    assert!(matches!(refused.status, 409 | 422) && !refused.why.is_empty(), "{refused}");
    false
}

/// How often it was switched.
fn switches(world: &World, name: &str) -> u64 {
    world.core.as_ref().unwrap().state().environments[&environment(name)].epoch.0 - Epoch::FIRST.0
}

fn lost(world: &World) -> usize {
    BOTH.iter().map(|name| world.lost(name)).sum()
}

fn settle(world: &mut World, names: &[&str]) {
    world.until("in order", |world| world.is_in_order(names));
}

#[test]
fn of_two_orders_at_the_same_instant_the_second_is_refused_where_they_concern_the_same() {
    use SwitchKind::{Planned, Unplanned};
    let scopes = [one("sales"), one("books"), Scope::Region(region(EAST))];
    for (first, second) in [(Planned, Planned), (Planned, Unplanned), (Unplanned, Planned), (Unplanned, Unplanned)] {
        for (index, scope) in scopes.iter().enumerate() {
            for (other_index, other) in scopes.iter().enumerate() {
                let mut world = deployed();
                order(&mut world, first, scope.clone()).unwrap();
                let answer = order(&mut world, second, other.clone());
                let is_apart = index < 2 && other_index < 2 && index != other_index;
                match &answer {
                    Ok(_) => assert!(is_apart, "{first:?} {scope:?}, {second:?} {other:?}"),
                    Err(refused) => {
                        assert!(
                            !is_apart && refused.status == 409,
                            "{first:?} {scope:?}, {second:?} {other:?}: {refused}"
                        );
                        assert!(refused.why.contains("is under way"), "{refused}");
                    }
                }
                settle(&mut world, &BOTH);
                let wanted = match (is_apart, index) {
                    (true, _) | (_, 2) => [1, 1],
                    (false, 0) => [0, 1],
                    (false, _) => [1, 0],
                };
                assert_eq!(
                    BOTH.map(|name| switches(&world, name)),
                    wanted,
                    "{first:?} {scope:?}, {second:?} {other:?}"
                );
                if [first, second] == [Planned, Planned] {
                    assert_eq!(lost(&world), 0);
                }
            }
        }
    }
}

#[test]
fn a_second_failover_close_upon_the_first_is_refused_or_served_after_it() {
    let (mut taken, mut refused) = (0, 0);
    for kind in [SwitchKind::Failback, SwitchKind::Planned, SwitchKind::Unplanned] {
        for moment in 0..MOMENTS {
            let mut world = deployed();
            order(&mut world, SwitchKind::Planned, one("sales")).unwrap();
            run(&mut world, moment * APART_MS);
            let is_second = is_taken(order(&mut world, kind, one("sales")));
            settle(&mut world, &BOTH);
            assert_eq!(switches(&world, "sales"), 1 + u64::from(is_second), "{kind:?} after {moment}");
            if kind != SwitchKind::Unplanned {
                assert_eq!(lost(&world), 0, "{kind:?} after {moment}");
            }
            if is_second { taken += 1 } else { refused += 1 }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: both must be met");
}

#[test]
fn the_other_region_lost_close_upon_a_failover_to_it_leaves_nobody_in_between() {
    for moment in 0..MOMENTS {
        let mut world = deployed();
        world.lose(EAST);
        world.until("switched", |world| world.events("sales").iter().any(|event| event.name == "failover.switched"));
        world.return_region(EAST);
        run(&mut world, moment * APART_MS);
        world.lose(WEST);
        run(&mut world, 15_000);
        world.return_region(WEST);
        settle(&mut world, &BOTH);
        for name in BOTH {
            assert!((1..=2).contains(&switches(&world, name)), "{name} after {moment}");
        }
    }
}

#[test]
fn a_failover_during_a_deployment_is_refused_or_leaves_the_deployment_to_its_end() {
    for kind in [SwitchKind::Planned, SwitchKind::Unplanned] {
        for scope in [Scope::Region(region(EAST)), one("fresh")] {
            for moment in 0..MOMENTS / 2 {
                let mut world = deployed();
                let deploy = Deploy {
                    id: environment("fresh"),
                    kind: EnvironmentKind::DataverseProduction,
                    tenant: "contoso".to_owned(),
                    region: region(EAST),
                };
                let ask = world.ask();
                world.step(Event::DeployOrdered { ask, order: deploy, credentials: Box::new(credentials()) });
                run(&mut world, moment * APART_MS / 2);
                let is_switched = is_taken(order(&mut world, kind, scope.clone()));
                settle(&mut world, &["books", "fresh", "sales"]);
                let is_region = matches!(scope, Scope::Region(_));
                assert_eq!(
                    switches(&world, "sales"),
                    u64::from(is_switched && is_region),
                    "{kind:?} {scope:?} {moment}"
                );
                if !is_switched {
                    assert_eq!(switches(&world, "fresh"), 0);
                }
                if kind == SwitchKind::Planned {
                    assert_eq!(lost(&world) + world.lost("fresh"), 0, "{scope:?} after {moment}");
                }
            }
        }
    }
}

#[test]
fn a_conversion_and_a_failover_that_meet_are_both_whole_in_the_end() {
    for is_converted_first in [true, false] {
        for scope in [Scope::Region(region(EAST)), one("talk")] {
            for moment in 0..MOMENTS {
                let mut world = deployed();
                world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
                run(&mut world, 2_000);
                let convert = |world: &mut World| is_taken(convert(world, "talk"));
                let switch = |world: &mut World| is_taken(order(world, SwitchKind::Planned, scope.clone()));
                let (is_converted, is_switched) = if is_converted_first {
                    let is_converted = convert(&mut world);
                    run(&mut world, moment * APART_MS);
                    (is_converted, switch(&mut world))
                } else {
                    let is_switched = switch(&mut world);
                    run(&mut world, moment * APART_MS);
                    (convert(&mut world), is_switched)
                };
                assert!(is_converted || !is_converted_first);
                let converted: &[&str] = if is_converted { &["books", "sales", "talk"] } else { &BOTH };
                settle(&mut world, converted);
                let wanted = u64::from(is_switched && matches!(scope, Scope::Region(_)));
                assert_eq!(switches(&world, "sales"), wanted, "{is_converted_first} {scope:?} after {moment}");
                assert_eq!(lost(&world) + world.lost("talk"), 0, "{is_converted_first} {scope:?} after {moment}");
                if !is_converted {
                    assert_eq!(world.is_alone("talk"), Ok(()), "{is_converted_first} {scope:?} after {moment}");
                }
            }
        }
    }
}

#[test]
fn a_back_up_or_a_restore_that_meets_a_failover_or_a_failback_is_done_and_so_is_the_switch() {
    for (restores, kind) in [
        (false, SwitchKind::Planned),
        (true, SwitchKind::Planned),
        (false, SwitchKind::Failback),
        (true, SwitchKind::Failback),
    ] {
        for moment in 0..MOMENTS / 2 {
            let mut world = deployed();
            world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
            run(&mut world, 2_000);
            let told = |world: &World, name: &str| world.events("talk").iter().any(|event| event.name == name);
            if restores {
                assert!(is_taken(keep(&mut world, "talk", false)));
                world.until("backed up", |world| told(world, "environment.backed-up"));
            }
            if kind == SwitchKind::Failback {
                assert!(is_taken(order(&mut world, SwitchKind::Planned, Scope::Region(region(EAST)))));
                settle(&mut world, &BOTH);
                // The home region has to have been well for a while.
                let dwell_ms = world.settings.timers.dwell_ms;
                run(&mut world, 2 * dwell_ms);
            }
            let before = switches(&world, "sales");
            assert!(is_taken(order(&mut world, kind, Scope::Region(region(EAST)))), "{kind:?}");
            run(&mut world, moment * APART_MS);
            assert!(is_taken(keep(&mut world, "talk", restores)), "{kind:?} after {moment}");
            settle(&mut world, &BOTH);
            let wanted = if restores { "environment.restored" } else { "environment.backed-up" };
            world.until("kept", |world| told(world, wanted) && world.is_alone("talk").is_ok());
            assert_eq!((switches(&world, "sales"), lost(&world)), (before + 1, 0), "{kind:?} after {moment}");
        }
    }
}

#[test]
fn a_back_up_and_a_conversion_that_meet_are_served_one_after_the_other() {
    let (mut taken, mut refused) = (0, 0);
    for is_kept_first in [true, false] {
        for moment in 0..MOMENTS {
            let mut world = deployed();
            world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
            run(&mut world, 2_000);
            let both = |world: &mut World, is_first: bool| match is_first == is_kept_first {
                true => is_taken(keep(world, "talk", false)),
                false => is_taken(convert(world, "talk")),
            };
            assert!(both(&mut world, true));
            run(&mut world, moment * APART_MS);
            let is_second = both(&mut world, false);
            if is_second {
                taken += 1
            } else {
                refused += 1
            }
            let is_converted = is_second || !is_kept_first;
            settle(&mut world, if is_converted { &["books", "sales", "talk"] } else { &BOTH });
            assert_eq!(lost(&world) + world.lost("talk"), 0, "{is_kept_first} after {moment}");
            if !is_converted {
                world.until("served", |world| world.is_alone("talk").is_ok());
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: both must be met");
}

#[test]
fn a_switch_of_production_waits_for_no_copy_in_a_disaster_and_is_refused_or_served_beside_it_otherwise() {
    let (mut taken, mut refused) = (0, 0);
    for is_copied_first in [true, false] {
        for kind in [SwitchKind::Planned, SwitchKind::Unplanned] {
            for scope in [Scope::Region(region(EAST)), one("sales")] {
                for moment in 0..MOMENTS / 2 {
                    let mut world = deployed();
                    world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
                    run(&mut world, 2_000);
                    let both = |world: &mut World, is_first: bool| match is_first == is_copied_first {
                        true => is_taken(copy(world, "sales", "test")),
                        false => is_taken(order(world, kind, scope.clone())),
                    };
                    assert!(both(&mut world, true));
                    run(&mut world, moment * APART_MS / 10);
                    let is_second = both(&mut world, false);
                    assert!(
                        is_second || !is_copied_first || kind == SwitchKind::Planned,
                        "a disaster waits for nobody"
                    );
                    if is_second {
                        taken += 1
                    } else {
                        refused += 1
                    }
                    settle(&mut world, &BOTH);
                    world.until("served", |world| world.is_alone("test").is_ok());
                    let case = format!("{is_copied_first} {kind:?} {scope:?} after {moment}");
                    assert_eq!(switches(&world, "sales"), u64::from(is_second || !is_copied_first), "{case}");
                    if kind == SwitchKind::Planned {
                        assert_eq!(lost(&world), 0, "{case}");
                    }
                }
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: both must be met");
}

#[test]
fn what_is_under_way_for_a_sandbox_keeps_no_region_from_being_failed_over() {
    for kind in [SwitchKind::Planned, SwitchKind::Unplanned] {
        for moment in 0..MOMENTS / 2 {
            let mut world = deployed();
            world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
            run(&mut world, 2_000);
            assert!(is_taken(keep(&mut world, "talk", false)));
            run(&mut world, moment * APART_MS / 10);
            assert!(is_taken(order(&mut world, kind, Scope::Region(region(EAST)))), "{kind:?} after {moment}");
            settle(&mut world, &BOTH);
            world.until("served", |world| world.is_alone("talk").is_ok());
        }
    }
}
