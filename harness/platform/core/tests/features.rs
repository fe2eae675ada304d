//! Features and support tickets, in named cases.

use super::{
    chaos::{Chaos, Cut, Who},
    questions::{operation_of, order, ticket},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        control::{OperationState, Scope, SwitchKind},
        environment::EnvironmentKind,
        reports::Feature,
        role::Policy,
    },
    platform::core::OrderAnswer,
};

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

/// `books`, which has features, beside `sales`, which has none.
fn deployed(cuts: Vec<Cut>) -> World {
    let mut world = World::new(Chaos { delay_ms: 3, cuts, ..Chaos::default() }, Policy::default());
    world.deploy(&["sales"]);
    world.deploy_as(EnvironmentKind::FinopsProduction, &["books"]);
    run(&mut world, 2_000);
    world
}

fn switch(world: &mut World, kind: SwitchKind) {
    order(world, kind, Scope::Environments(vec![environment("books")])).unwrap();
    run(world, 6_000);
}

fn opened(world: &mut World) -> u64 {
    match ticket(world, "books") {
        Ok(OrderAnswer::Operation(view)) => view.id,
        Ok(_) => panic!("not an operation"),
        Err(refused) => panic!("{refused}"),
    }
}

/// What is not available, as an operator sees it.
fn missing(world: &World, name: &str) -> Vec<String> {
    let status = world.core.as_ref().unwrap().status(world.now);
    let found = status.environments.into_iter().find(|status| status.id == environment(name)).unwrap();
    found.features.into_iter().filter_map(|status| status.unavailable).collect()
}

fn told(world: &World) -> Vec<String> {
    world.events("books").into_iter().map(|event| event.name).filter(|name| name.starts_with("features.")).collect()
}

#[test]
fn features_go_with_a_planned_switch_one_comes_by_ticket_and_all_come_back_at_home() {
    let mut world = deployed(vec![]);
    assert_eq!(world.offers(EAST, "books"), Some(Feature::ALL.to_vec()));
    assert_eq!(missing(&world, "books"), Vec::<String>::new());
    switch(&mut world, SwitchKind::Planned);
    assert_eq!((world.offers(WEST, "books"), world.offers(EAST, "books")), (Some(vec![]), None));
    let why = missing(&world, "books");
    assert_eq!(why.len(), 2);
    assert!(why.iter().all(|why| why.contains("not available in the secondary region west")), "{why:?}");
    let operation = opened(&mut world);
    run(&mut world, 100);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!(world.offers(WEST, "books"), Some(vec![Feature::FinancialReporting]));
    assert_eq!(missing(&world, "books").len(), 1);
    switch(&mut world, SwitchKind::Failback);
    assert_eq!((world.offers(EAST, "books"), world.offers(WEST, "books")), (Some(Feature::ALL.to_vec()), None));
    let names = ["provided", "degraded", "requested", "provided", "degraded", "provided"];
    assert_eq!(told(&world), names.map(|name| format!("features.{name}")));
    // The next switch takes them again: a ticket is good for one.
    switch(&mut world, SwitchKind::Planned);
    assert_eq!(world.offers(WEST, "books"), Some(vec![]));
    assert_eq!(missing(&world, "books").len(), 2);
}

#[test]
fn where_there_are_no_features_nothing_is_said_of_any() {
    let mut world = deployed(vec![]);
    order(&mut world, SwitchKind::Planned, Scope::Region(region(EAST))).unwrap();
    run(&mut world, 6_000);
    assert_eq!((world.offers(EAST, "sales"), world.offers(WEST, "sales")), (None, None));
    assert!(missing(&world, "sales").is_empty());
    assert!(!world.events("sales").iter().any(|event| event.name.starts_with("features.")));
}

#[test]
fn tickets_are_refused_with_their_reason() {
    let mut world = deployed(vec![]);
    let check = |world: &mut World, name: &str, status: u16, words: &str| {
        let refused = ticket(world, name).unwrap_err();
        assert!(refused.status == status && refused.why.contains(words), "{refused}");
    };
    check(&mut world, "nobody", 404, "no environment `nobody`");
    check(&mut world, "sales", 422, "has no feature to restore");
    check(&mut world, "books", 409, "is at home in east");
    order(&mut world, SwitchKind::Planned, Scope::Environments(vec![environment("books")])).unwrap();
    let is_draining = |world: &World| {
        let state = world.core.as_ref().unwrap().state();
        state.environments[&environment("books")].task.as_ref().is_some_and(|task| task.step.is_stopped())
    };
    assert!(world.run_until(world.now + 6_000, is_draining));
    check(&mut world, "books", 409, "(planned-failover) is not over");
    run(&mut world, 6_000);
    opened(&mut world);
    check(&mut world, "books", 409, "is open");
    run(&mut world, 100);
    check(&mut world, "books", 409, "has restored");
}

#[test]
fn a_ticket_is_open_until_the_compute_is_reached() {
    let cut = Cut { from: Who::Control, to: Who::Compute(WEST), begin_ms: 40_000, end_ms: 60_000 };
    let mut world = deployed(vec![cut]);
    switch(&mut world, SwitchKind::Planned);
    assert!(world.now < 40_000);
    world.run_until(41_000, |_| false);
    let operation = opened(&mut world);
    world.run_until(59_000, |_| false);
    assert_eq!(operation_of(&world, operation).state, OperationState::Running);
    assert_eq!(world.offers(WEST, "books"), Some(vec![]));
    run(&mut world, 5_000);
    assert_eq!(operation_of(&world, operation).state, OperationState::Completed);
    assert_eq!(world.offers(WEST, "books"), Some(vec![Feature::FinancialReporting]));
}

#[test]
fn a_switch_overtakes_a_ticket_that_is_open() {
    let cut = Cut { from: Who::Control, to: Who::Compute(WEST), begin_ms: 40_000, end_ms: 80_000 };
    let mut world = deployed(vec![cut]);
    switch(&mut world, SwitchKind::Planned);
    world.run_until(41_000, |_| false);
    let operation = opened(&mut world);
    run(&mut world, 1_000);
    world.lose(WEST);
    run(&mut world, 20_000);
    let view = operation_of(&world, operation);
    assert_eq!(view.state, OperationState::Aborted);
    assert!(view.why.is_some_and(|why| why.contains("was switched to east")));
    assert_eq!(world.offers(EAST, "books"), Some(Feature::ALL.to_vec()));
    assert!(missing(&world, "books").is_empty());
}

#[test]
fn words_that_come_late_change_nothing() {
    for seed in 0..40 {
        let chaos = Chaos { seed, repeated: 100, delay_ms: 3, drift: true, ..Chaos::default() };
        let mut world = World::new(chaos, Policy::default());
        world.deploy_as(EnvironmentKind::FinopsProduction, &["books"]);
        run(&mut world, 2_000);
        switch(&mut world, SwitchKind::Planned);
        let operation = opened(&mut world);
        run(&mut world, 5_000);
        assert_eq!(operation_of(&world, operation).state, OperationState::Completed, "seed {seed}");
        assert_eq!(world.offers(WEST, "books"), Some(vec![Feature::FinancialReporting]), "seed {seed}");
    }
}
