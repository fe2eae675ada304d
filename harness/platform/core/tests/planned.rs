//! The way there and back, in named cases.

use super::{
    chaos::{Chaos, Cut, Who},
    questions::{operation_of, order},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{OperationState, Scope, SwitchKind},
        environment::EnvironmentPhase,
        permit::Processors,
        role::Policy,
    },
    platform::core::{OrderAnswer, Record},
};

const PLANNED: [&str; 10] = [
    "failover.started",
    "failover.preflighted",
    "failover.notified",
    "failover.drained",
    "failover.handed-over",
    "failover.caught-up",
    "failover.switched",
    "failover.promoted",
    "failover.routed",
    "failover.completed",
];
const RETURN: [&str; 4] =
    ["environment.returning", "environment.secured", "environment.rejoined", "environment.protected"];

fn calm() -> Chaos {
    Chaos { delay_ms: 3, ..Chaos::default() }
}

fn deployed(chaos: Chaos, automatic_return: bool, at_once: u16, names: &[&str]) -> World {
    let mut world = World::new(chaos, Policy { automatic_return, at_once, ..Policy::default() });
    world.deploy(names);
    world.run_until(world.now + 1_000, |_| false);
    world
}

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

fn begun(world: &mut World, kind: SwitchKind, scope: Scope) -> u64 {
    match order(world, kind, scope) {
        Ok(OrderAnswer::Operation(view)) => view.id,
        Ok(_) => panic!("not an operation"),
        Err(refused) => panic!("{refused}"),
    }
}

fn one(name: &str) -> Scope {
    Scope::Environments(vec![environment(name)])
}

fn after_deployment(world: &World, name: &str) -> Vec<String> {
    let names: Vec<String> = world.events(name).into_iter().map(|event| event.name).collect();
    names.into_iter().skip_while(|name| name != "environment.deployed").skip(1).collect()
}

/// Phase, epoch and active region.
fn stands(world: &World, name: &str) -> (EnvironmentPhase, Epoch, String) {
    let environment = &world.core.as_ref().unwrap().state().environments[&environment(name)];
    (environment.phase, environment.epoch, environment.active.to_string())
}

#[test]
fn a_region_that_may_use_less_than_is_used_is_not_switched_to() {
    let told = |allowed_milli, used_milli| Some(Processors { allowed_milli, used_milli });
    let check = |here, there, moved: Scope, passes: bool| {
        let mut world = deployed(calm(), true, 2, &["sales", "books"]);
        world.processors = [here, there];
        run(&mut world, 1_000);
        let operation = begun(&mut world, SwitchKind::Planned, moved);
        run(&mut world, 5_000);
        let view = operation_of(&world, operation);
        let wanted = if passes { OperationState::Completed } else { OperationState::Aborted };
        assert_eq!(view.state, wanted, "{:?}", view.environments);
        if !passes {
            let why = view.why.as_deref().unwrap();
            assert!(why.contains("may use 0.30 processors, and east has used 0.50"), "{why}");
        }
    };
    let all = || Scope::Environments(vec![environment("sales"), environment("books")]);
    check(told(800, 500), told(300, 50), all(), false);
    check(told(800, 500), told(300, 50), Scope::Region(region(EAST)), false);
    check(told(800, 500), told(500, 50), all(), true);
    // What `sales` alone uses is not known.
    check(told(800, 500), told(300, 50), one("sales"), true);
    check(None, told(300, 50), all(), true);
    check(told(800, 500), None, all(), true);
}

#[test]
fn a_planned_failover_loses_nothing_and_the_other_side_comes_back() {
    let mut world = deployed(calm(), true, 2, &["sales"]);
    let operation = begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 5_000);
    assert_eq!(after_deployment(&world, "sales"), [&PLANNED[..], &RETURN[..]].concat());
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(2), "west".to_owned()));
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    world.is_whole("sales").unwrap();
    assert_eq!(world.lost("sales"), 0);
    // And back.
    let operation = begun(&mut world, SwitchKind::Failback, one("sales"));
    run(&mut world, 5_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(3), "east".to_owned()));
    world.is_whole("sales").unwrap();
}

#[test]
fn customers_wait_no_longer_than_the_calls_take() {
    let mut world = deployed(calm(), true, 2, &["sales"]);
    begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 5_000);
    let at = |name: &str| world.events("sales").iter().find(|event| event.name == name).unwrap().at_ms;
    // No poll of permits, no tick and no lifetime of a permit lies between the stop and the end.
    let ms = at("failover.completed") - at("failover.drained");
    println!("drained to completed: {ms} ms with calls of 2 to 6 ms");
    assert!(ms < 60, "{ms} ms");
}

#[test]
fn after_an_unplanned_failover_a_failback_brings_the_replica_back_first() {
    for automatic_return in [false, true] {
        let mut world = deployed(calm(), automatic_return, 2, &["sales"]);
        world.lose(EAST);
        run(&mut world, 20_000);
        assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned()));
        let why = order(&mut world, SwitchKind::Failback, one("sales")).unwrap_err();
        assert!(why.status == 409 && why.why.contains("declared lost"), "{why}");
        world.return_region(EAST);
        run(&mut world, 3_000);
        let operation = begun(&mut world, SwitchKind::Failback, one("sales"));
        run(&mut world, 10_000);
        assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
        let expected = if automatic_return { EnvironmentPhase::Protected } else { EnvironmentPhase::Unprotected };
        assert_eq!(stands(&world, "sales"), (expected, Epoch(3), "east".to_owned()));
        let secured = |world: &World| world.events("sales").iter().any(|event| event.name == "environment.secured");
        assert!(secured(&world));
    }
}

#[test]
fn a_failback_goes_on_with_a_return_under_way() {
    let mut world = deployed(calm(), true, 2, &["sales"]);
    world.lose(EAST);
    run(&mut world, 20_000);
    world.return_region(EAST);
    let is_returning = |world: &World| world.events("sales").iter().any(|event| event.name == "environment.secured");
    assert!(world.run_until(world.now + 20_000, is_returning));
    let why = order(&mut world, SwitchKind::Unplanned, one("sales")).unwrap_err();
    assert!(why.status == 409 && why.why.contains("(return) is under way"), "{why}");
    let operation = begun(&mut world, SwitchKind::Failback, one("sales"));
    let taken = operation_of(&world, operation - 1);
    assert_eq!((taken.kind.as_str(), taken.state), ("return", OperationState::Completed));
    assert!(taken.why.unwrap().contains(&format!("operation {operation} goes on with it")));
    run(&mut world, 10_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(3), "east".to_owned()));
    // Secured once before the switch and once after it: nothing was asked for twice.
    assert_eq!(after_deployment(&world, "sales").iter().filter(|name| *name == "environment.secured").count(), 2);
}

#[test]
fn a_stalled_receiver_costs_a_switch_and_no_harm() {
    let mut world = deployed(Chaos { stall_at: Some("draining"), ..calm() }, true, 2, &["sales"]);
    let operation = begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 10_000);
    let view = operation_of(&world, operation);
    assert_eq!(view.state, OperationState::Aborted);
    let events = after_deployment(&world, "sales");
    assert_eq!(events.iter().filter(|name| *name == "failover.retried").count(), 1, "{events:?}");
    assert_eq!(events.last().unwrap(), "failover.aborted");
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
    world.chaos.stalled = false;
    run(&mut world, 1_000);
    world.is_whole("sales").unwrap();
}

#[test]
fn an_old_side_that_dies_in_the_middle_is_failed_over_and_what_is_owed_is_told_later() {
    let mut world = deployed(Chaos { lose_at: Some(("catching-up", EAST)), ..calm() }, true, 2, &["sales"]);
    // The standby hears, the old side is dead: the gate is met and the switch goes on without it.
    let operation = begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 30_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    let mut world = deployed(Chaos { lose_at: Some(("draining", EAST)), ..calm() }, true, 2, &["sales"]);
    let operation = begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 40_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Aborted);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned()));
    world.return_region(EAST);
    run(&mut world, 10_000);
    world.is_whole("sales").unwrap();
}

#[test]
fn without_a_failover_the_old_side_is_told_to_go_on_once_it_is_heard_again() {
    let mut world = World::new(
        Chaos { lose_at: Some(("draining", EAST)), ..calm() },
        Policy { automatic: false, ..Policy::default() },
    );
    world.deploy(&["sales"]);
    run(&mut world, 1_000);
    begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 20_000);
    let halted = |world: &World| world.core.as_ref().unwrap().state().environments[&environment("sales")].halted_ms;
    assert!(halted(&world).is_some());
    assert_eq!(stands(&world, "sales").0, EnvironmentPhase::Protected);
    world.return_region(EAST);
    run(&mut world, 5_000);
    assert!(halted(&world).is_none());
    world.is_whole("sales").unwrap();
}

#[test]
fn writes_are_not_held_back_longer_than_allowed() {
    let cut = Cut { from: Who::Control, to: Who::Compute(EAST), begin_ms: 10_000, end_ms: 200_000 };
    let mut world = deployed(Chaos { cuts: vec![cut], ..calm() }, true, 2, &["sales"]);
    world.run_until(10_100, |_| false);
    let operation = begun(&mut world, SwitchKind::Planned, one("sales"));
    let dragged = world.settings().timers.stopped_ms + 3_000;
    let is_restoring =
        |world: &World| operation_of(world, operation).environments.iter().any(|step| step.step == "restoring");
    assert!(world.run_until(world.now + dragged, is_restoring));
    run(&mut world, 60_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Aborted);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
}

#[test]
fn before_the_first_stop_one_that_fails_stops_all() {
    let mut world = deployed(calm(), true, 2, &["books", "sales", "team"]);
    world.break_replica("sales");
    let operation = begun(&mut world, SwitchKind::Planned, Scope::Region(region(EAST)));
    run(&mut world, 10_000);
    let view = operation_of(&world, operation);
    assert_eq!(view.state, OperationState::Aborted, "{view:?}");
    for name in ["books", "sales", "team"] {
        assert_eq!(stands(&world, name), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
        assert!(!after_deployment(&world, name).contains(&"failover.notified".to_owned()), "{name}");
    }
    assert!(view.why.unwrap().contains("`sales` of the same operation has not passed"));
}

#[test]
fn after_the_first_stop_one_that_fails_stays_and_the_others_go() {
    let mut world = deployed(calm(), true, 1, &["books", "sales", "team"]);
    let operation = begun(&mut world, SwitchKind::Planned, Scope::Region(region(EAST)));
    let books_stop = |world: &World| after_deployment(world, "books").contains(&"failover.notified".to_owned());
    assert!(world.run_until(world.now + 10_000, books_stop));
    world.break_replica("sales");
    run(&mut world, 15_000);
    let view = operation_of(&world, operation);
    assert_eq!(view.state, OperationState::Partial, "{view:?}");
    assert_eq!(stands(&world, "sales").2, "east");
    assert_eq!((stands(&world, "books").2, stands(&world, "team").2), ("west".to_owned(), "west".to_owned()));
}

#[test]
fn a_region_is_switched_by_a_bounded_number_at_once_after_all_have_passed() {
    for at_once in [1, 2, 4] {
        let names = ["books", "press", "sales", "team"];
        let mut world = deployed(Chaos { delay_ms: 20, ..calm() }, true, at_once, &names);
        let operation = begun(&mut world, SwitchKind::Planned, Scope::Region(region(EAST)));
        run(&mut world, 20_000);
        assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
        let (mut passed, mut stopped, mut most) = (0, 0, 0_u16);
        for record in &world.journal {
            match record {
                Record::Event(event) if event.operation == Some(operation) => match event.name.as_str() {
                    "failover.preflighted" => passed += 1,
                    "failover.completed" => stopped -= 1,
                    _ => {}
                },
                Record::Entered { operation: by, step, .. } if *by == operation && step.name() == "notifying" => {
                    assert_eq!(passed, names.len(), "all pass before the first is announced");
                    stopped += 1;
                    most = most.max(stopped);
                }
                _ => {}
            }
        }
        assert_eq!(most, at_once);
        names.iter().for_each(|name| world.is_whole(name).unwrap());
    }
}

#[test]
fn it_works_both_ways_without_a_plan_too() {
    let mut world = deployed(calm(), true, 2, &["sales"]);
    begun(&mut world, SwitchKind::Planned, one("sales"));
    run(&mut world, 6_000);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(2), "west".to_owned()));
    world.lose(WEST);
    run(&mut world, 20_000);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Unprotected, Epoch(3), "east".to_owned()));
    world.return_region(WEST);
    run(&mut world, 10_000);
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Protected, Epoch(3), "east".to_owned()));
    world.is_whole("sales").unwrap();
}

#[test]
fn rows_that_lacked_their_files_are_repaired_from_the_returning_side() {
    let mut world = deployed(Chaos { files_stalled: true, ..calm() }, true, 2, &["sales"]);
    run(&mut world, 2_000);
    world.lose(EAST);
    run(&mut world, 20_000);
    let dangling =
        |world: &World| world.core.as_ref().unwrap().dangling(&environment("sales")).unwrap().references.len();
    assert!(dangling(&world) > 10, "{}", dangling(&world));
    world.chaos.files_stalled = false;
    world.return_region(EAST);
    run(&mut world, 10_000);
    assert_eq!(stands(&world, "sales").0, EnvironmentPhase::Protected);
    assert_eq!(dangling(&world), 0);
}

#[test]
fn a_return_that_fails_is_tried_again_with_growing_pauses_and_not_for_ever() {
    let mut world = deployed(calm(), true, 2, &["sales"]);
    begun(&mut world, SwitchKind::Planned, one("sales"));
    let is_done = |world: &World| world.events("sales").iter().any(|event| event.name == "failover.completed");
    assert!(world.run_until(world.now + 10_000, is_done));
    world.chaos.failing = 100;
    world.run_until(world.now + 600_000, |_| false);
    let failed: Vec<u64> = (world.events("sales").iter())
        .filter(|event| event.name == "environment.return-failed")
        .map(|event| event.at_ms)
        .collect();
    assert_eq!(failed.len(), 8);
    let pauses: Vec<u64> = failed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] + 1_500 >= pair[0]), "{pauses:?}");
    assert!(pauses[6] > pauses[0] + 30_000, "{pauses:?}");
    assert_eq!(stands(&world, "sales"), (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned()));
}
