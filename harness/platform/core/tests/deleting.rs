//! Deletions, in named cases.

use super::{
    chaos::{Chaos, Cut, Who},
    questions::{began, convert, copy, credentials, delete, keep, operation_of, order, ticket},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{Deploy, OperationState, Scope, SwitchKind},
        environment::{EnvironmentKind, EnvironmentPhase},
        role::Policy,
    },
    platform::core::{Event, OrderAnswer, Refused},
};

fn calm() -> Chaos {
    Chaos { delay_ms: 3, ..Chaos::default() }
}

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

fn deployed(chaos: Chaos, kind: EnvironmentKind) -> World {
    let mut world = World::new(chaos, Policy::default());
    world.deploy_as(kind, &["sales"]);
    run(&mut world, 2_000);
    world
}

fn refusal(answer: Result<OrderAnswer, Refused>) -> (u16, String) {
    answer.err().map(|refused| (refused.status, refused.why)).expect("refused")
}

fn state(world: &World, operation: u64) -> OperationState {
    operation_of(world, operation).state
}

fn step(world: &World, name: &str) -> Option<&'static str> {
    let environments = &world.core.as_ref().unwrap().state().environments;
    environments.get(&environment(name))?.task.as_ref().map(|task| task.step.name())
}

/// An order to deploy `sales`.
fn deploy(world: &mut World, kind: EnvironmentKind) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let ask = world.ask();
    let order = Deploy { id: environment("sales"), kind, tenant: "contoso".to_owned(), region: region(EAST) };
    world.step(Event::DeployOrdered { ask, order, credentials: Box::new(credentials()) });
    world.answers.split_off(before).remove(0)
}

#[test]
fn of_every_kind_nothing_is_left_and_its_name_begins_anew_after_its_last_epoch() {
    for kind in EnvironmentKind::ALL {
        let mut world = deployed(calm(), kind);
        world.deploy(&["other"]);
        let operation = began(delete(&mut world, "sales"));
        run(&mut world, 3_000);
        assert_eq!((state(&world, operation), world.is_gone("sales")), (OperationState::Completed, Ok(())), "{kind}");
        let told = world.events("sales").into_iter().map(|event| event.name);
        let told: Vec<_> = told.filter(|name| name.starts_with("environment.")).collect();
        assert_eq!(told, ["deployed", "deleting", "closed", "deleted"].map(|name| format!("environment.{name}")));
        assert_eq!(world.is_whole("other"), Ok(()), "{kind}: the other environment did not notice");
        assert_eq!(refusal(delete(&mut world, "sales")), (404, "there is no environment `sales`".to_owned()));

        world.deploy_as(kind, &["sales"]);
        run(&mut world, 3_000);
        assert_eq!(world.has_begun_empty("sales"), Ok(()), "{kind}");
        let environment = &world.core.as_ref().unwrap().state().environments[&environment("sales")];
        assert_eq!(environment.epoch, Epoch(3));
        assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(3)));
        let is_served = if kind.has_replica() { world.is_whole("sales") } else { world.is_alone("sales") };
        assert_eq!(is_served, Ok(()), "{kind}");
    }
}

#[test]
fn its_back_ups_and_copies_go_with_it() {
    let mut world = deployed(calm(), EnvironmentKind::DataverseProduction);
    world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
    run(&mut world, 2_000);
    began(keep(&mut world, "test", false));
    run(&mut world, 3_000);
    began(copy(&mut world, "sales", "test"));
    run(&mut world, 3_000);
    began(delete(&mut world, "test"));
    run(&mut world, 3_000);
    assert_eq!((world.is_gone("test"), world.is_whole("sales")), (Ok(()), Ok(())));
    // A back-up of another environment is no back-up of this one.
    world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
    assert!(refusal(keep(&mut world, "test", true)).1.contains("no back-up of `test`"));
}

#[test]
fn whatever_is_under_way_is_waited_for_and_each_refusal_says_for_what() {
    let check = |world: &mut World, name: &str, status: u16, words: &str| {
        let (told, why) = refusal(delete(world, name));
        assert!(told == status && why.contains(words), "{told} {why}");
    };
    let one = || Scope::Environments(vec![environment("sales")]);
    let production = EnvironmentKind::DataverseProduction;
    for (kind, words) in [
        (SwitchKind::Planned, "(planned-failover) is under way for `sales`"),
        (SwitchKind::Unplanned, "(failover) is under way for `sales`"),
    ] {
        let mut world = deployed(calm(), production);
        check(&mut world, "nobody", 404, "no environment `nobody`");
        began(order(&mut world, kind, one()));
        check(&mut world, "sales", 409, words);
    }
    let mut world = deployed(calm(), production);
    began(order(&mut world, SwitchKind::Planned, one()));
    run(&mut world, 5_000);
    began(order(&mut world, SwitchKind::Failback, one()));
    check(&mut world, "sales", 409, "(failback) is under way for `sales`");

    let mut world = deployed(calm(), production);
    world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
    run(&mut world, 2_000);
    let operation = began(copy(&mut world, "sales", "test"));
    check(&mut world, "test", 409, "(copy) is under way for `test`");
    check(&mut world, "sales", 409, &format!("operation {operation} (copy) reads `sales` for `test`"));

    let mut world = deployed(calm(), EnvironmentKind::DataverseTeams);
    began(convert(&mut world, "sales"));
    check(&mut world, "sales", 409, "(convert) is under way for `sales`");
    for (restores, words) in [(false, "(back-up) is under way"), (true, "(restore) is under way")] {
        let mut world = deployed(calm(), EnvironmentKind::DataverseTeams);
        if restores {
            began(keep(&mut world, "sales", false));
            run(&mut world, 3_000);
        }
        began(keep(&mut world, "sales", restores));
        check(&mut world, "sales", 409, words);
    }
    let mut world = World::new(calm(), Policy::default());
    world.deploy(&["other"]);
    began(deploy(&mut world, production));
    check(&mut world, "sales", 409, "(deploy) is under way for `sales`");
}

#[test]
fn while_it_goes_on_everything_else_is_refused_and_asked_again_it_is_the_same() {
    let mut world = deployed(calm(), EnvironmentKind::DataverseProduction);
    world.lose(WEST);
    let operation = began(delete(&mut world, "sales"));
    for _ in 0..2 {
        run(&mut world, 3_000);
        assert_eq!(began(delete(&mut world, "sales")), operation);
    }
    let view = world.core.as_ref().unwrap().environment_view(&environment("sales")).unwrap();
    assert_eq!((view.phase, view.endpoints.is_some()), (EnvironmentPhase::Deleting, false));
    let words = format!("operation {operation} (delete) is under way for `sales`");
    let one = || Scope::Environments(vec![environment("sales")]);
    for kind in [SwitchKind::Planned, SwitchKind::Unplanned, SwitchKind::Failback] {
        assert!(refusal(order(&mut world, kind, one())).1.contains(&words), "{kind:?}");
    }
    // Its region is switched without it.
    let region = Scope::Region(region(EAST));
    assert!(refusal(order(&mut world, SwitchKind::Planned, region)).1.contains("no environment with a replica"));
    let again = refusal(deploy(&mut world, EnvironmentKind::DataverseTeams));
    assert!(again.0 == 409 && again.1.contains(&format!("once operation {operation} is completed")), "{again:?}");
    run(&mut world, 20_000);
    let view = world.core.as_ref().unwrap().environment_view(&environment("sales")).unwrap();
    assert_eq!(view.why.as_deref(), Some("what region west has of it is removed when it returns"));
    assert_eq!(state(&world, operation), OperationState::Running);
}

#[test]
fn a_region_that_is_lost_meanwhile_keeps_nobody_served_and_serves_nothing_when_it_returns() {
    for lost in [EAST, WEST] {
        for at in ["closing", "deleting"] {
            let mut world = deployed(calm(), EnvironmentKind::DataverseProduction);
            world.deploy(&["other"]);
            run(&mut world, 2_000);
            world.chaos.lose_at = Some((at, lost));
            let operation = began(delete(&mut world, "sales"));
            run(&mut world, 15_000);
            let what = format!("{lost} lost while {at}");
            assert_eq!(
                (step(&world, "sales"), state(&world, operation)),
                (Some("deleting"), OperationState::Running),
                "{what}"
            );
            for who in [Who::Compute(EAST), Who::Compute(WEST), Who::Node(EAST), Who::Node(WEST)] {
                assert_eq!(world.holds(who, "sales"), None, "{what}: {who:?}");
            }
            // What else is in the lost region is failed over, and has its replica back, as ever.
            world.return_region(lost);
            run(&mut world, 15_000);
            assert_eq!(
                (state(&world, operation), world.is_gone("sales")),
                (OperationState::Completed, Ok(())),
                "{what}"
            );
            assert_eq!(world.is_whole("other"), Ok(()), "{what}");
            world.deploy(&["sales"]);
            run(&mut world, 3_000);
            assert_eq!((world.has_begun_empty("sales"), world.is_whole("sales")), (Ok(()), Ok(())), "{what}");
        }
    }
}

#[test]
fn what_was_switched_away_from_a_region_that_is_lost_is_deleted_before_the_region_returns_to_it() {
    let mut world = deployed(calm(), EnvironmentKind::DataverseProduction);
    world.lose(EAST);
    let is_switched = |world: &World| world.events("sales").iter().any(|event| event.name == "failover.completed");
    assert!(world.run_until(world.now + 30_000, is_switched));
    let operation = began(delete(&mut world, "sales"));
    run(&mut world, 5_000);
    assert_eq!((step(&world, "sales"), state(&world, operation)), (Some("deleting"), OperationState::Running));
    world.return_region(EAST);
    run(&mut world, 10_000);
    assert_eq!((state(&world, operation), world.is_gone("sales")), (OperationState::Completed, Ok(())));
    let returned = world.events("sales").iter().any(|event| event.name == "environment.returning");
    assert!(!returned, "an old side is no side of what is deleted");
}

#[test]
fn nothing_is_removed_while_nobody_knows_whether_somebody_is_answered() {
    // Control reaches neither grantor nor compute, and they go on granting to one another.
    let cut = |to| Cut { from: Who::Control, to, begin_ms: 20_000, end_ms: 60_000 };
    let cuts = [Who::Node(EAST), Who::Compute(EAST), Who::Node(WEST)].map(cut).to_vec();
    let mut world = deployed(Chaos { cuts, ..calm() }, EnvironmentKind::DataverseProduction);
    world.run_until(20_500, |_| false);
    let operation = began(delete(&mut world, "sales"));
    world.run_until(59_000, |_| false);
    assert_eq!(step(&world, "sales"), Some("closing"));
    assert!(world.routes[&environment("sales")].withdrawn, "customers are led there no more");
    world.run_until(70_000, |_| false);
    assert_eq!((state(&world, operation), world.is_gone("sales")), (OperationState::Completed, Ok(())));
}

#[test]
fn what_has_failed_is_deleted() {
    let mut world = World::new(calm(), Policy::default());
    world.deploy(&["other"]);
    world.chaos.failing = 100;
    let deployment = began(deploy(&mut world, EnvironmentKind::DataverseProduction));
    run(&mut world, 120_000);
    assert_eq!(state(&world, deployment), OperationState::Failed);
    world.chaos.failing = 0;
    let operation = began(delete(&mut world, "sales"));
    run(&mut world, 5_000);
    assert_eq!((state(&world, operation), world.is_gone("sales")), (OperationState::Completed, Ok(())));
    world.deploy(&["sales"]);
    run(&mut world, 3_000);
    assert_eq!(world.is_whole("sales"), Ok(()));
}

#[test]
fn an_open_support_ticket_ends_with_it() {
    let mut world = deployed(calm(), EnvironmentKind::FinopsProduction);
    world.lose(EAST);
    let is_switched = |world: &World| world.events("sales").iter().any(|event| event.name == "failover.completed");
    assert!(world.run_until(world.now + 30_000, is_switched));
    world.chaos.failing = 100;
    let opened = began(ticket(&mut world, "sales"));
    let operation = began(delete(&mut world, "sales"));
    assert_eq!(state(&world, opened), OperationState::Aborted);
    world.chaos.failing = 0;
    world.return_region(EAST);
    run(&mut world, 10_000);
    assert_eq!((state(&world, operation), world.is_gone("sales")), (OperationState::Completed, Ok(())));
}

#[test]
fn orders_that_are_late_bring_nothing_back() {
    for seed in 0..40 {
        let chaos = Chaos { seed, repeated: 100, delay_ms: 3, drift: true, ..Chaos::default() };
        let mut world = World::new(chaos, Policy::default());
        world.deploy(&["sales"]);
        // While what made it is still on its way a second time.
        let operation = began(delete(&mut world, "sales"));
        let is_over = |world: &World| state(world, operation) == OperationState::Completed;
        assert!(world.run_until(world.now + 20_000, is_over), "seed {seed}");
        run(&mut world, 5_000);
        assert_eq!(world.is_gone("sales"), Ok(()), "seed {seed}");
        world.deploy(&["sales"]);
        // And what removed it.
        run(&mut world, 8_000);
        assert_eq!((world.has_begun_empty("sales"), world.is_whole("sales")), (Ok(()), Ok(())), "seed {seed}");
    }
}
