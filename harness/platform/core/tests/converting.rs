//! Environments without a replica, and their conversion to production, in named cases.

use super::{
    chaos::{Chaos, Who},
    questions::{convert, operation_of, order},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{NoticeKind, OperationState, Scope, SwitchKind},
        environment::{EnvironmentKind, EnvironmentPhase},
        role::Policy,
    },
    platform::core::{OrderAnswer, Record},
};

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

/// `sales`, a production environment, beside `talk`, which is of this kind.
fn deployed(chaos: Chaos, kind: EnvironmentKind) -> World {
    let mut world = World::new(chaos, Policy::default());
    world.deploy(&["sales"]);
    world.deploy_as(kind, &["talk"]);
    run(&mut world, 2_000);
    world
}

fn calm(kind: EnvironmentKind) -> World {
    deployed(Chaos { delay_ms: 3, ..Chaos::default() }, kind)
}

fn one(name: &str) -> Scope {
    Scope::Environments(vec![environment(name)])
}

/// Phase, kind, epoch and active region.
fn stands(world: &World, name: &str) -> (EnvironmentPhase, EnvironmentKind, Epoch, String) {
    let view = world.core.as_ref().unwrap().environment_view(&environment(name)).unwrap();
    (view.phase, view.kind, view.epoch, view.active.to_string())
}

fn told(world: &World) -> Vec<String> {
    world.events("talk").into_iter().map(|event| event.name).filter(|name| name.starts_with("environment.")).collect()
}

fn begun(world: &mut World) -> u64 {
    match convert(world, "talk") {
        Ok(OrderAnswer::Operation(view)) => view.id,
        Ok(_) => panic!("not an operation"),
        Err(refused) => panic!("{refused}"),
    }
}

#[test]
fn what_has_no_replica_is_served_and_there_is_nothing_of_it_in_the_other_region() {
    for kind in [EnvironmentKind::DataverseTeams, EnvironmentKind::DataverseSandbox] {
        let world = calm(kind);
        assert_eq!(stands(&world, "talk"), (EnvironmentPhase::Unprotected, kind, Epoch(1), "east".to_owned()));
        assert_eq!(world.is_alone("talk"), Ok(()));
        assert_eq!(world.holds(Who::Compute(EAST), "talk"), Some(Epoch(1)));
        assert_eq!((world.holds(Who::Compute(WEST), "talk"), world.holds(Who::Node(WEST), "talk")), (None, None));
        let view = world.core.as_ref().unwrap().environment_view(&environment("talk")).unwrap();
        assert!(view.why.is_some_and(|why| why.contains("have no replica")) && view.endpoints.is_some());
    }
}

#[test]
fn it_is_deployed_though_the_other_region_is_lost() {
    let mut world = World::new(Chaos { delay_ms: 3, ..Chaos::default() }, Policy::default());
    run(&mut world, 2_000);
    world.lose(WEST);
    world.deploy_as(EnvironmentKind::DataverseSandbox, &["talk"]);
    run(&mut world, 2_000);
    assert_eq!(world.is_alone("talk"), Ok(()));
}

#[test]
fn its_failover_is_refused_with_the_reason() {
    use EnvironmentKind::{DataverseSandbox, DataverseTeams};
    for (kind, words) in [(DataverseTeams, "until they are converted"), (DataverseSandbox, "have none")] {
        let mut world = calm(kind);
        for switch in [SwitchKind::Unplanned, SwitchKind::Planned, SwitchKind::Failback] {
            let refused = order(&mut world, switch, one("talk")).unwrap_err();
            assert!(refused.status == 409 && refused.why.contains(words), "{switch:?}: {refused}");
        }
        // Beside one that could be switched: neither is, by half.
        let both = Scope::Environments(vec![environment("sales"), environment("talk")]);
        assert_eq!(order(&mut world, SwitchKind::Planned, both).unwrap_err().status, 409);
        run(&mut world, 5_000);
        assert_eq!((stands(&world, "sales").2, stands(&world, "talk").2), (Epoch(1), Epoch(1)));
    }
}

#[test]
fn a_region_that_is_switched_leaves_it_where_it_is_and_serves_it_on() {
    let mut world = calm(EnvironmentKind::DataverseSandbox);
    order(&mut world, SwitchKind::Planned, Scope::Region(region(EAST))).unwrap();
    run(&mut world, 5_000);
    assert_eq!((stands(&world, "sales").3, stands(&world, "talk").3), ("west".to_owned(), "east".to_owned()));
    assert_eq!(world.is_alone("talk"), Ok(()));
    order(&mut world, SwitchKind::Failback, Scope::Region(region(EAST))).unwrap();
    run(&mut world, 5_000);
    assert_eq!(stands(&world, "sales").3, "east");
    assert_eq!(world.is_alone("talk"), Ok(()));
}

#[test]
fn with_its_region_it_is_lost_and_is_back_with_it_and_customers_are_told() {
    let mut world = calm(EnvironmentKind::DataverseSandbox);
    world.lose(EAST);
    run(&mut world, 20_000);
    assert_eq!((stands(&world, "sales").3, stands(&world, "talk").3), ("west".to_owned(), "east".to_owned()));
    let why = world.core.as_ref().unwrap().environment_view(&environment("talk")).unwrap().why.unwrap();
    assert!(why.contains("it is not served"), "{why}");
    let warned = world.journal.iter().any(|record| match record {
        Record::Notice(notice) => notice.kind == NoticeKind::Warning && notice.environment == environment("talk"),
        _ => false,
    });
    assert!(warned && world.is_alone("talk").is_err());
    world.return_region(EAST);
    run(&mut world, 5_000);
    assert_eq!(world.is_alone("talk"), Ok(()));
}

#[test]
fn converted_it_has_everything_that_was_written_before_and_is_switched_without_loss() {
    let mut world = calm(EnvironmentKind::DataverseTeams);
    run(&mut world, 5_000);
    let operation = begun(&mut world);
    let refused = convert(&mut world, "talk").unwrap_err();
    assert!(refused.status == 409 && refused.why.contains("(convert) is under way"), "{refused}");
    run(&mut world, 3_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!(told(&world), ["environment.deployed", "environment.converting", "environment.converted"]);
    let production = EnvironmentKind::DataverseProduction;
    assert_eq!(stands(&world, "talk"), (EnvironmentPhase::Protected, production, Epoch(1), "east".to_owned()));
    world.is_whole("talk").unwrap();
    // And back, without loss.
    for (switch, at) in [(SwitchKind::Planned, "west"), (SwitchKind::Failback, "east")] {
        order(&mut world, switch, one("talk")).unwrap();
        run(&mut world, 6_000);
        assert_eq!(stands(&world, "talk").3, at);
        world.is_whole("talk").unwrap();
    }
    assert_eq!(world.lost("talk"), 0);
    // A region lost takes it along with the others now.
    world.lose(EAST);
    run(&mut world, 20_000);
    assert_eq!((stands(&world, "sales").3, stands(&world, "talk").3), ("west".to_owned(), "west".to_owned()));
}

#[test]
fn conversions_are_refused_with_their_reason() {
    let check = |world: &mut World, name: &str, status: u16, words: &str| {
        let refused = convert(world, name).unwrap_err();
        assert!(refused.status == status && refused.why.contains(words), "{refused}");
    };
    let mut world = calm(EnvironmentKind::DataverseSandbox);
    check(&mut world, "nobody", 404, "no environment `nobody`");
    check(&mut world, "sales", 422, "is a dataverse-production already");
    check(&mut world, "talk", 422, "no upgrade");
    let mut world = calm(EnvironmentKind::DataverseTeams);
    world.lose(WEST);
    run(&mut world, 20_000);
    check(&mut world, "talk", 409, "region west is not fit for a replica of `talk`: it is declared lost");
}

#[test]
fn a_conversion_that_cannot_be_done_is_undone_and_can_be_ordered_again() {
    let lose_at = Some(("creating-replica", WEST));
    let chaos = || Chaos { delay_ms: 3, ..Chaos::default() };
    // Ordered before the deployment's own steps are over, it would be lost at the deployment's.
    let mut world = deployed(chaos(), EnvironmentKind::DataverseTeams);
    world.chaos.lose_at = lose_at;
    let operation = begun(&mut world);
    run(&mut world, 20_000);
    // Nothing is said to be undone before it is: the other region has not been heard.
    let view = operation_of(&world, operation);
    assert_eq!((view.state, view.environments[0].step.as_str()), (OperationState::Running, "withdrawing"));
    world.return_region(WEST);
    run(&mut world, 5_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Aborted);
    assert_eq!(world.is_alone("talk"), Ok(()));
    assert_eq!(stands(&world, "talk").1, EnvironmentKind::DataverseTeams);
    begun(&mut world);
    run(&mut world, 5_000);
    assert_eq!(stands(&world, "talk").1, EnvironmentKind::DataverseProduction);
    world.is_whole("talk").unwrap();
    let rest = ["converting", "not-converted", "converting", "converted"].map(|name| format!("environment.{name}"));
    assert_eq!(told(&world)[1..], rest);
}

#[test]
fn its_region_is_switched_without_waiting_for_its_conversion() {
    let mut world = calm(EnvironmentKind::DataverseTeams);
    let operation = begun(&mut world);
    order(&mut world, SwitchKind::Planned, Scope::Region(region(EAST))).unwrap();
    run(&mut world, 6_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!((stands(&world, "sales").3, stands(&world, "talk").3), ("west".to_owned(), "east".to_owned()));
    world.is_whole("sales").unwrap();
    world.is_whole("talk").unwrap();
}

#[test]
fn orders_that_are_late_neither_make_a_replica_nor_unmake_one() {
    for seed in 0..40 {
        let chaos = Chaos { seed, repeated: 100, delay_ms: 3, drift: true, ..Chaos::default() };
        let mut world = deployed(chaos, EnvironmentKind::DataverseTeams);
        world.chaos.failing = 100;
        begun(&mut world);
        run(&mut world, 18_000);
        world.chaos.failing = 0;
        assert!(world.run_until(world.now + 5_000, |world| told(world).len() == 3), "seed {seed}: {:?}", told(&world));
        // Ordered again while what was sent for the first is still on its way.
        begun(&mut world);
        run(&mut world, 8_000);
        assert_eq!(stands(&world, "talk").0, EnvironmentPhase::Protected, "seed {seed}: {:?}", told(&world));
        assert_eq!(world.is_whole("talk"), Ok(()), "seed {seed}");
    }
}
