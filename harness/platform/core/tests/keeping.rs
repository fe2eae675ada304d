//! Back-up and restore of what has no replica, in named cases.

use super::{
    chaos::{Chaos, Who},
    questions::{convert, keep, operation_of},
    world::{EAST, World},
};
use crate::{
    api::{control::OperationState, environment::EnvironmentKind, role::Policy},
    platform::core::{OrderAnswer, Refused},
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

fn began(answer: Result<OrderAnswer, Refused>) -> u64 {
    match answer {
        Ok(OrderAnswer::Operation(view)) => view.id,
        Ok(_) => panic!("not an operation"),
        Err(refused) => panic!("{refused}"),
    }
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
