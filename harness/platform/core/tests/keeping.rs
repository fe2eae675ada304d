//! Back-up and restore of what has no replica, in named cases.

use super::{
    chaos::{Chaos, Who},
    questions::{began, convert, copy, credentials, keep, operation_of, order},
    world::{EAST, World, environment, region},
};
use crate::{
    api::{
        control::{Deploy, OperationState, Scope, SwitchKind, Tenant},
        environment::{EnvironmentKind, Product},
        role::Policy,
    },
    platform::core::{Event, OrderAnswer, Refused},
};

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

fn deployed() -> World {
    let mut world = World::new(Chaos { delay_ms: 3, ..Chaos::default() }, Policy::default());
    world.deploy(&["sales"]);
    world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
    run(&mut world, 2_000);
    world
}

fn state(world: &World, operation: u64) -> OperationState {
    operation_of(world, operation).state
}

#[test]
fn what_was_written_after_a_back_up_is_given_up_by_its_restore_and_nothing_else_is() {
    let mut world = deployed();
    let backup = began(keep(&mut world, "talk", false));
    run(&mut world, 3_000);
    assert_eq!(state(&world, backup), OperationState::Completed);
    assert_eq!(world.is_alone("talk"), Ok(()), "customers are served on");
    let restore = began(keep(&mut world, "talk", true));
    run(&mut world, 3_000);
    assert_eq!(state(&world, restore), OperationState::Completed);
    assert_eq!(world.is_alone("talk"), Ok(()));
    assert_eq!(world.is_whole("sales"), Ok(()), "the other environment did not notice");
}

#[test]
fn each_refusal_has_its_reason() {
    let mut world = deployed();
    let why = |answer: Result<OrderAnswer, Refused>| answer.err().map(|refused| refused.to_string()).expect("refused");
    assert!(why(keep(&mut world, "sales", false)).contains("its replica protects"));
    assert!(why(keep(&mut world, "nobody", false)).contains("no environment"));
    assert!(why(keep(&mut world, "talk", true)).contains("no back-up of `talk`"));
    let backup = began(keep(&mut world, "talk", false));
    for restores in [false, true] {
        assert!(
            why(keep(&mut world, "talk", restores)).contains(&format!("operation {backup} (back-up) is under way"))
        );
    }
    assert!(why(convert(&mut world, "talk")).contains("(back-up) is under way"));
}

#[test]
fn a_back_up_that_cannot_be_made_is_given_up_and_a_restore_that_has_begun_is_finished() {
    let mut world = deployed();
    let backup = began(keep(&mut world, "talk", false));
    run(&mut world, 3_000);
    // The region is lost as soon as the back-up is to be put back, and for longer than any step of another operation may take.
    let restore = began(keep(&mut world, "talk", true));
    let is_putting_back = |world: &World| {
        world.core.as_ref().unwrap().state().environments[&"talk".parse().unwrap()]
            .task
            .as_ref()
            .is_some_and(|task| task.step.name() == "putting-back")
    };
    assert!(world.run_until(world.now + 3_000, is_putting_back));
    world.lose(EAST);
    run(&mut world, 400_000);
    assert_eq!(state(&world, restore), OperationState::Running);
    world.return_region(EAST);
    run(&mut world, 10_000);
    assert_eq!((state(&world, backup), state(&world, restore)), (OperationState::Completed, OperationState::Completed));
    assert!(world.holds(Who::Compute(EAST), "talk").is_some());

    world.lose(EAST);
    let given_up = began(keep(&mut world, "talk", false));
    run(&mut world, 400_000);
    assert_eq!(state(&world, given_up), OperationState::Running, "it is undone once somebody can be told");
    world.return_region(EAST);
    run(&mut world, 10_000);
    assert_eq!(state(&world, given_up), OperationState::Aborted);
    assert_eq!(world.is_alone("talk"), Ok(()));
}

/// `sales` with a sandbox of its product.
fn with_sandbox() -> World {
    let mut world = deployed();
    world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
    run(&mut world, 2_000);
    world
}

fn step(world: &World, name: &str) -> Option<&'static str> {
    world.core.as_ref().unwrap().state().environments[&environment(name)].task.as_ref().map(|task| task.step.name())
}

#[test]
fn a_copy_is_what_production_had_and_production_did_not_notice() {
    let mut world = with_sandbox();
    for _ in 0..2 {
        let operation = began(copy(&mut world, "sales", "test"));
        run(&mut world, 3_000);
        assert_eq!(state(&world, operation), OperationState::Completed);
        assert_eq!((world.is_copy_of("test", "sales"), world.is_alone("test")), (Ok(()), Ok(())));
        assert_eq!(world.is_whole("sales"), Ok(()));
    }
}

#[test]
fn each_refusal_of_a_copy_has_its_reason() {
    let mut world = with_sandbox();
    world.deploy_as(EnvironmentKind::FinopsSandbox, &["trial"]);
    let why = |answer: Result<OrderAnswer, Refused>| answer.err().map(|refused| refused.to_string()).expect("refused");
    for (from, to, reason) in [
        ("sales", "talk", "into a sandbox alone"),
        ("sales", "sales", "into a sandbox alone"),
        ("talk", "test", "`talk` is a dataverse-teams"),
        ("sales", "trial", "a production environment of finops"),
        ("nobody", "test", "no environment `nobody`"),
        ("sales", "nobody", "no environment `nobody`"),
    ] {
        assert!(why(copy(&mut world, from, to)).contains(reason), "{from} {to}");
    }
    let operation = began(copy(&mut world, "sales", "test"));
    assert!(why(copy(&mut world, "sales", "test")).contains(&format!("operation {operation} (copy) is under way")));
    assert!(why(keep(&mut world, "test", false)).contains("(copy) is under way"));
    let planned = |world: &mut World, scope| why(order(world, SwitchKind::Planned, scope));
    for scope in [Scope::Region(region(EAST)), Scope::Environments(vec![environment("sales")])] {
        assert!(planned(&mut world, scope).contains(&format!("operation {operation} (copy) reads `sales` for `test`")));
    }
    run(&mut world, 3_000);
    began(order(&mut world, SwitchKind::Planned, Scope::Region(region(EAST))));
    assert!(why(copy(&mut world, "sales", "test")).contains("(planned-failover) is under way for `sales`"));
    run(&mut world, 5_000);
    assert!(why(copy(&mut world, "sales", "test")).contains("a copy is made within a region"));
}

#[test]
fn what_is_one_tenants_is_not_copied_to_another() {
    let mut world = deployed();
    let (ask, tenant) = (world.ask(), "fabrikam".to_owned());
    world.step(Event::TenantPut { ask, name: tenant.clone(), tenant: Tenant { licences: vec![Product::Dataverse] } });
    let (ask, id, kind) = (world.ask(), environment("theirs"), EnvironmentKind::DataverseSandbox);
    let order = Deploy { id, kind, tenant, region: region(EAST) };
    world.step(Event::DeployOrdered { ask, order, credentials: Box::new(credentials()) });
    run(&mut world, 2_000);
    let refused = copy(&mut world, "sales", "theirs").expect_err("refused");
    assert_eq!((refused.status, refused.why.contains("not of one tenant")), (422, true), "{refused}");
}

#[test]
fn a_disaster_goes_before_a_copy_and_what_has_begun_to_be_put_in_is_finished() {
    let mut world = with_sandbox();
    let operation = began(copy(&mut world, "sales", "test"));
    assert_eq!(step(&world, "test"), Some("copying"));
    began(order(&mut world, SwitchKind::Unplanned, Scope::Environments(vec![environment("sales")])));
    assert_eq!((step(&world, "test"), state(&world, operation)), (None, OperationState::Aborted));
    run(&mut world, 3_000);
    assert_eq!(world.is_alone("test"), Ok(()), "it holds what it held, and is served");
    assert!(world.is_copy_of("test", "sales").is_err());

    let mut world = with_sandbox();
    let operation = began(copy(&mut world, "sales", "test"));
    assert!(world.run_until(world.now + 3_000, |world| step(world, "test") == Some("putting-in")));
    world.lose(EAST);
    run(&mut world, 400_000);
    assert_eq!(state(&world, operation), OperationState::Running);
    world.return_region(EAST);
    run(&mut world, 20_000);
    assert_eq!(state(&world, operation), OperationState::Completed);
    assert_eq!((world.is_copy_of("test", "sales"), world.is_alone("test")), (Ok(()), Ok(())));

    let mut world = with_sandbox();
    world.lose(EAST);
    let operation = began(copy(&mut world, "sales", "test"));
    run(&mut world, 400_000);
    assert_eq!(
        state(&world, operation),
        OperationState::Aborted,
        "nothing was touched that somebody has to be told of"
    );
}
