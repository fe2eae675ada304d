//! Named cases, and a kill at every write to the journal.

use std::collections::BTreeMap;

use super::{
    chaos::{Chaos, Cut, Kill, Who},
    questions::{credentials, order},
    world::{EAST, WEST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{Failover, NoticeKind, OperationState, Scope, SwitchKind, Tenant},
        environment::{EnvironmentKind, EnvironmentPhase, Product},
        role::Policy,
    },
    platform::core::{AskId, Core, Event, NewNotice, OrderAnswer, Record, Refused},
};

const ENVIRONMENTS: [&str; 2] = ["sales", "books"];
/// An unplanned failover, event by event.
const FAILOVER: [&str; 8] = [
    "failover.started",
    "failover.notified",
    "failover.fenced",
    "failover.switched",
    "failover.promoted",
    "failover.reconciled",
    "failover.routed",
    "failover.completed",
];

fn calm() -> Chaos {
    Chaos { delay_ms: 3, ..Chaos::default() }
}

fn deployed(chaos: Chaos, automatic: bool) -> World {
    let mut world = World::new(chaos, Policy { automatic, automatic_return: false, ..Policy::default() });
    world.deploy(&ENVIRONMENTS);
    world
}

fn run(world: &mut World, ms: u64) {
    world.run_until(world.now + ms, |_| false);
}

/// Names of an environment's failover events.
fn failover_events(world: &World, name: &str) -> Vec<String> {
    let names = world.events(name).into_iter().map(|event| event.name);
    names.filter(|name| name.starts_with("failover.")).collect()
}

fn notices(world: &World) -> Vec<NewNotice> {
    let notice = |record: &Record| match record {
        Record::Notice(notice) => Some(notice.clone()),
        _ => None,
    };
    world.journal.iter().filter_map(notice).collect()
}

fn phase(world: &World, name: &str) -> (EnvironmentPhase, Epoch, String) {
    let environment = &world.core.as_ref().unwrap().state().environments[&environment(name)];
    (environment.phase, environment.epoch, environment.active.to_string())
}

fn status(result: Result<OrderAnswer, Refused>) -> u16 {
    match result {
        Ok(OrderAnswer::Operation(view)) if view.state == OperationState::Running => 202,
        Ok(_) => 200,
        Err(refused) => refused.status,
    }
}

#[test]
fn deployed_means_created_replicated_granted_and_routed() {
    let mut world = deployed(calm(), true);
    run(&mut world, 1_000);
    for name in ENVIRONMENTS {
        assert_eq!(phase(&world, name), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
        assert_eq!(world.holds(Who::Compute(EAST), name), Some(Epoch(1)));
        assert_eq!(world.holds(Who::Node(EAST), name), Some(Epoch(1)));
        assert_eq!(world.holds(Who::Compute(WEST), name), None);
        assert_eq!(world.routes[&environment(name)].region, region(EAST));
        assert!(world.core.as_ref().unwrap().environment_view(&environment(name)).unwrap().endpoints.is_some());
    }
}

#[test]
fn a_lost_region_is_failed_over_in_order_and_whole() {
    let mut world = deployed(calm(), true);
    run(&mut world, 1_000);
    world.lose(EAST);
    run(&mut world, 20_000);
    assert_eq!(world.region_events(EAST), ["region.suspected", "region.declared"]);
    for name in ENVIRONMENTS {
        assert_eq!(failover_events(&world, name), FAILOVER);
        assert_eq!(phase(&world, name), (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned()));
        assert_eq!(world.holds(Who::Compute(WEST), name), Some(Epoch(2)));
        assert_eq!(world.routes[&environment(name)].region, region(WEST));
        let epochs: Vec<u64> = world.events(name).iter().map(|event| event.epoch.unwrap().0).collect();
        assert!(epochs.is_sorted() && epochs.last() == Some(&2), "{epochs:?}");
    }
    let kinds: Vec<NoticeKind> = notices(&world).into_iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == NoticeKind::UnplannedFailover).count(), 2);
    assert_eq!(kinds.iter().filter(|kind| **kind == NoticeKind::Completed).count(), 2);
    world.return_region(EAST);
    run(&mut world, 5_000);
    assert_eq!(world.region_events(EAST).last().unwrap(), "region.returned");
    assert_eq!(world.holds(Who::Compute(EAST), "sales"), None);
}

#[test]
fn the_notices_tell_the_estimated_loss() {
    let mut world = deployed(calm(), true);
    run(&mut world, 5_000);
    world.lose(EAST);
    run(&mut world, 20_000);
    // Everything has arrived up to what the nodes said last: what may be lost is what a permit of that message allowed, and
    // the time back to the answer that the primary's node had before it looked.
    let texts: Vec<String> = notices(&world).into_iter().map(|notice| notice.text).collect();
    assert_eq!(texts.len(), 4);
    for text in &texts {
        let (_, rest) = text.split_once("at most the last ").unwrap_or_else(|| panic!("{text}"));
        let seconds: f64 = rest.split_once(' ').unwrap().0.parse().unwrap();
        assert!((0.5..=2.2).contains(&seconds), "{text}");
    }
}

#[test]
fn what_has_no_replica_any_more_is_left_where_it_is_with_a_warning() {
    let mut world = deployed(calm(), true);
    world.lose(EAST);
    run(&mut world, 20_000);
    world.return_region(EAST);
    run(&mut world, 5_000);
    world.lose(WEST);
    run(&mut world, 20_000);
    assert_eq!(world.region_events(WEST), ["region.suspected", "region.declared"]);
    assert_eq!(failover_events(&world, "sales").len(), FAILOVER.len());
    let warned = notices(&world).into_iter().filter(|notice| notice.kind == NoticeKind::Warning);
    assert_eq!(warned.map(|notice| notice.environment.to_string()).collect::<Vec<_>>(), ["books", "sales"]);
}

#[test]
fn without_the_policy_a_declared_region_waits_for_an_operator() {
    let mut world = deployed(calm(), false);
    world.lose(EAST);
    run(&mut world, 20_000);
    assert_eq!(world.region_events(EAST), ["region.suspected", "region.declared"]);
    assert!(failover_events(&world, "sales").is_empty());
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Region(region(EAST)))), 202);
    run(&mut world, 20_000);
    assert_eq!(failover_events(&world, "sales"), FAILOVER);
    assert_eq!(world.region_events(EAST).len(), 2);
}

#[test]
fn an_outage_shorter_than_the_grace_causes_no_failover() {
    let mut world = deployed(calm(), true);
    world.lose(EAST);
    run(&mut world, 5_000);
    world.return_region(EAST);
    run(&mut world, 20_000);
    assert_eq!(world.region_events(EAST), ["region.suspected", "region.cleared"]);
    assert!(failover_events(&world, "sales").is_empty());
    assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)));
}

#[test]
fn one_vantage_point_alone_makes_no_suspicion() {
    let east = [Who::Node(EAST), Who::Compute(EAST)];
    for witness in [Who::Control, Who::Node(WEST), Who::Edge] {
        let both_ways = |who: Who| [(who, witness), (witness, who)];
        let cuts =
            east.into_iter().flat_map(both_ways).map(|(from, to)| Cut { from, to, begin_ms: 20_000, end_ms: 60_000 });
        let mut world = deployed(Chaos { cuts: cuts.collect(), ..calm() }, true);
        assert!(world.now < 20_000);
        world.run_until(70_000, |_| false);
        assert!(world.region_events(EAST).is_empty(), "{witness:?}: {:?}", world.region_events(EAST));
        assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)), "{witness:?}");
    }
}

#[test]
fn without_a_healthy_other_region_nothing_is_failed_over() {
    let mut world = deployed(calm(), true);
    world.lose(WEST);
    world.lose(EAST);
    run(&mut world, 20_000);
    assert!(failover_events(&world, "sales").is_empty());
    assert_eq!(phase(&world, "sales").0, EnvironmentPhase::Protected);
    // It comes back while the lost one is still missed: only now.
    world.return_region(WEST);
    run(&mut world, 20_000);
    assert_eq!(failover_events(&world, "sales"), FAILOVER);
}

#[test]
fn a_grantor_that_does_not_confirm_aborts_the_failover_and_the_old_side_goes_on() {
    let cut = Cut { from: Who::Control, to: Who::Node(WEST), begin_ms: 20_000, end_ms: 40_000 };
    let mut world = deployed(Chaos { cuts: vec![cut], ..calm() }, true);
    world.run_until(20_100, |_| false);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Environments(vec![environment("sales")]))), 202);
    // Aborted: the command never arrives. (The answers to the node's own questions are cut too, so it looks unready.)
    world.run_until(39_000, |_| false);
    assert_eq!(failover_events(&world, "sales"), ["failover.started", "failover.aborted"]);
    assert_eq!(phase(&world, "sales"), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
    assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)));
    assert!(!world.core.as_ref().unwrap().state().environments[&environment("sales")].peer_granting);
    assert!(failover_events(&world, "books").is_empty());
    // Reachable again: the second grantor is told.
    world.run_until(45_000, |_| false);
    assert!(world.core.as_ref().unwrap().state().environments[&environment("sales")].peer_granting);
}

#[test]
fn control_alone_being_down_stops_failovers_and_no_writes() {
    let mut world = deployed(calm(), true);
    run(&mut world, 1_000);
    world.hold_control_down(30_000);
    for _ in 0..25 {
        run(&mut world, 1_000);
        assert!(world.core.is_none());
        assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)));
    }
}

#[test]
fn orders_are_refused_with_their_reason() {
    let mut world = deployed(calm(), false);
    let one = |name: &str| Scope::Environments(vec![environment(name)]);
    assert_eq!(status(order(&mut world, SwitchKind::Failback, one("sales"))), 409);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, one("nobody"))), 404);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Region("north".parse().unwrap()))), 404);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Environments(vec![]))), 409);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, one("sales"))), 202);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, one("sales"))), 409);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Region(region(EAST)))), 409);
    run(&mut world, 20_000);
    assert_eq!(failover_events(&world, "sales"), FAILOVER);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, one("sales"))), 422);
    // The other environment was not touched, and can still be switched with its region.
    assert_eq!(phase(&world, "books"), (EnvironmentPhase::Protected, Epoch(1), "east".to_owned()));
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, Scope::Region(region(EAST)))), 202);
    run(&mut world, 20_000);
    assert_eq!(phase(&world, "books").2, "west");
    // The operator's statement, once; the vantage points have none to make.
    assert_eq!(world.region_events(EAST), ["region.declared"]);
}

#[test]
fn deployments_are_refused_with_their_reason() {
    use crate::api::control::Deploy;
    let check = |kind, tenant: &str, name: &str, at: &str, expected: u16| {
        let mut world = deployed(calm(), true);
        let tenant = tenant.to_owned();
        let order = Deploy { id: environment(name), kind, tenant, region: at.parse().unwrap() };
        let credentials = Box::new(credentials());
        world.step(Event::DeployOrdered { ask: AskId(u64::MAX), order, credentials });
        let answer = world.answers.pop().unwrap();
        let why = answer.as_ref().err().map(ToString::to_string);
        assert_eq!(status(answer), expected, "{why:?}");
    };
    check(EnvironmentKind::DataverseProduction, "contoso", "fresh", "west", 202);
    check(EnvironmentKind::DataverseProduction, "nobody", "fresh", "west", 422);
    check(EnvironmentKind::FinopsProduction, "contoso", "fresh", "west", 422);
    check(EnvironmentKind::DataverseTeams, "contoso", "fresh", "west", 202);
    check(EnvironmentKind::FinopsSandbox, "contoso", "fresh", "west", 422);
    check(EnvironmentKind::DataverseProduction, "contoso", "sales", "west", 409);
    check(EnvironmentKind::DataverseProduction, "contoso", "fresh", "north", 404);
}

#[test]
fn a_step_that_keeps_failing_after_the_switch_waits_for_an_operator_and_goes_on_when_asked() {
    let mut world = deployed(calm(), true);
    world.lose(EAST);
    let is_switched = |world: &World| world.events("sales").iter().any(|event| event.name == "failover.switched");
    assert!(world.run_until(world.now + 20_000, is_switched));
    world.chaos.failing = 100;
    run(&mut world, 70_000);
    assert_eq!(phase(&world, "sales").0, EnvironmentPhase::Failed);
    assert_eq!(failover_events(&world, "sales").last().unwrap(), "failover.failed");
    assert_eq!(world.holds(Who::Compute(WEST), "sales"), None);
    world.chaos.failing = 0;
    let scope = Scope::Environments(vec![environment("sales"), environment("books")]);
    assert_eq!(status(order(&mut world, SwitchKind::Unplanned, scope)), 202);
    run(&mut world, 5_000);
    assert_eq!(phase(&world, "sales"), (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned()));
    assert_eq!(world.holds(Who::Compute(WEST), "sales"), Some(Epoch(2)));
}

#[test]
fn what_is_recovered_is_what_was() {
    let mut world = deployed(calm(), true);
    world.lose(EAST);
    run(&mut world, 20_000);
    let core = world.core.as_ref().unwrap();
    let text: Vec<String> = world.journal.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    let read: Vec<Record> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let recovered = Core::recover(world.settings(), &read);
    assert!(recovered.state() == core.state());
}

#[test]
fn a_tenant_is_named_and_licensed() {
    let mut world = World::new(calm(), Policy::default());
    run(&mut world, 100);
    let put = |name: &str| Event::TenantPut {
        ask: AskId(u64::MAX),
        name: name.to_owned(),
        tenant: Tenant { licences: vec![Product::Finops] },
    };
    world.step(put("contoso"));
    assert!(matches!(world.answers.pop(), Some(Ok(OrderAnswer::Tenant(_)))));
    world.step(put("Contoso Ltd"));
    assert_eq!(status(world.answers.pop().unwrap()), 400);
}

/// The whole story, from nothing to a region failed over, with control killed at the given writes.
fn story(kills: BTreeMap<usize, Kill>, seed: u64) -> World {
    let mut world = deployed(Chaos { kills, seed, drift: true, delay_ms: 20, ..Chaos::default() }, true);
    run(&mut world, 500);
    world.lose(EAST);
    run(&mut world, 60_000);
    world
}

#[test]
fn killed_at_any_write_control_finishes_what_it_began() {
    let writes = story(BTreeMap::new(), 1).writes;
    let mut cases = 0;
    for write in 1..=writes {
        for kill in [Kill::BeforeWrite, Kill::AfterWrite] {
            let world = story(BTreeMap::from([(write, kill)]), 1);
            cases += 1;
            for name in ENVIRONMENTS {
                assert_eq!(failover_events(&world, name), FAILOVER, "killed {kill:?} {write}");
                let expected = (EnvironmentPhase::Unprotected, Epoch(2), "west".to_owned());
                assert_eq!(phase(&world, name), expected, "killed {kill:?} {write}");
                assert_eq!(world.holds(Who::Compute(WEST), name), Some(Epoch(2)), "killed {kill:?} {write}");
            }
            let core = world.core.as_ref().unwrap();
            for operation in core.state().operations.values() {
                assert_eq!(operation.state(), OperationState::Completed, "killed {kill:?} {write}");
            }
        }
    }
    println!("{cases} kills at {writes} writes, every one finished");
    assert!(cases > 40);
}

/// A failover that cannot go on, since the second grantor does not hear, with control killed at the given writes.
fn undone(kills: BTreeMap<usize, Kill>) -> World {
    let cut = Cut { from: Who::Control, to: Who::Node(WEST), begin_ms: 20_000, end_ms: 60_000 };
    let mut world = deployed(Chaos { kills, drift: true, delay_ms: 20, cuts: vec![cut], ..Chaos::default() }, false);
    world.run_until(20_100, |_| false);
    let order = Failover {
        kind: SwitchKind::Unplanned,
        scope: Scope::Environments(vec![environment("sales")]),
        accept_data_loss: false,
    };
    world.step(Event::FailoverOrdered { ask: AskId(u64::MAX), order });
    world.run_until(50_000, |_| false);
    world
}

#[test]
fn killed_at_any_write_control_undoes_what_cannot_go_on() {
    let writes = undone(BTreeMap::new()).writes;
    let mut cases = 0;
    for write in 1..=writes {
        for kill in [Kill::BeforeWrite, Kill::AfterWrite] {
            let world = undone(BTreeMap::from([(write, kill)]));
            cases += 1;
            let expected = (EnvironmentPhase::Protected, Epoch(1), "east".to_owned());
            assert_eq!(phase(&world, "sales"), expected, "killed {kill:?} {write}");
            assert_eq!(world.holds(Who::Compute(EAST), "sales"), Some(Epoch(1)), "killed {kill:?} {write}");
            let events = failover_events(&world, "sales");
            // Killed before the order was written, there was none.
            assert!(events.is_empty() || events == ["failover.started", "failover.aborted"], "{events:?}");
            let state = world.core.as_ref().unwrap().state();
            assert!(state.operations.values().all(|operation| operation.state() != OperationState::Running));
        }
    }
    println!("{cases} kills at {writes} writes, every one undone");
    assert!(cases > 20);
}

/// A failover ordered while the old side is alive and control alone grants to it.
fn ordered(kills: BTreeMap<usize, Kill>, seed: u64) -> World {
    let east = [Who::Node(EAST), Who::Compute(EAST)];
    let cut = |from| Cut { from, to: Who::Node(WEST), begin_ms: 15_000, end_ms: 90_000 };
    let cuts = east.into_iter().map(cut).collect();
    let mut world = deployed(Chaos { kills, seed, drift: true, delay_ms: 5, cuts, ..Chaos::default() }, false);
    world.run_until(20_100, |_| false);
    let scope = Scope::Environments(vec![environment("sales")]);
    let order = Failover { kind: SwitchKind::Unplanned, scope, accept_data_loss: false };
    world.step(Event::FailoverOrdered { ask: AskId(u64::MAX), order });
    world.run_until(40_000, |_| false);
    world
}

#[test]
fn killed_while_fencing_control_supposes_that_it_granted_until_its_start() {
    let mut switched = 0;
    let mut cases = 0;
    for seed in 0..12 {
        let writes = ordered(BTreeMap::new(), seed).writes;
        // The deployments' writes come first; the world panics if a permit outlives its fence.
        for write in writes.saturating_sub(8)..=writes {
            let world = ordered(BTreeMap::from([(write, Kill::AfterWrite)]), seed);
            cases += 1;
            switched += u32::from(failover_events(&world, "sales") == FAILOVER);
        }
    }
    println!("{cases} kills, {switched} switched");
    assert!(switched > cases / 2, "{switched} of {cases}");
}

#[test]
fn a_leave_delayed_on_its_way_cannot_open_what_was_stopped() {
    for seed in 0..40 {
        let mut world = deployed(Chaos { seed, repeated: 100, delay_ms: 3, ..Chaos::default() }, false);
        let scope = Scope::Environments(vec![environment("sales")]);
        assert_eq!(status(order(&mut world, SwitchKind::Unplanned, scope)), 202);
        run(&mut world, 10_000);
        assert_eq!(failover_events(&world, "sales"), FAILOVER, "seed {seed}");
    }
}
