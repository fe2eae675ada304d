//! Random trouble. The world itself panics if two regions hold live permits under different epochs, if a promotion comes
//! before its fence, if a switch loses more than an enforced bound, or if a register does not grow by one; here it is checked that nothing is left half done.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    chaos::{Chaos, Cut, Kill, Who},
    world::World,
};
use crate::{
    api::{
        control::SwitchKind,
        environment::{EnvironmentKind, EnvironmentPhase},
        guard::{Guard, GuardMode},
        reports::Feature,
        role::Policy,
    },
    platform::core::{Operation, OperationKind, Outcome},
};

/// Trouble begins after the deployment and has ended by then.
const CALM_FROM: u64 = 70_000;

prop_compose! {
    fn cut()(link in 0..World::links().len(), begin_ms in 10_000_u64..60_000, ms in 100_u64..15_000) -> Cut {
        let (from, to) = World::links()[link];
        Cut { from, to, begin_ms, end_ms: (begin_ms + ms).min(CALM_FROM) }
    }
}

prop_compose! {
    fn outage()(region in 0..2_usize, begin in 10_000_u64..50_000, ms in 100_u64..20_000) -> (usize, u64, u64) {
        (region, begin, begin + ms)
    }
}

prop_compose! {
    fn chaos()(
        seed: u64,
        delay_ms in prop_oneof![Just(3_u64), 3_u64..400],
        lost in 0_u32..10,
        repeated in 0_u32..20,
        failing in 0_u32..20,
        kills in prop::collection::btree_map(8_usize..80, prop_oneof![Just(Kill::BeforeWrite), Just(Kill::AfterWrite)], 0..5),
        cuts in prop::collection::vec(cut(), 0..6),
        outages in prop::collection::vec(outage(), 0..3),
        node_restarts in prop::collection::vec((0..2_usize, 10_000_u64..60_000), 0..3),
        orders in prop::collection::vec((0..2_usize, 10_000_u64..60_000), 0..3),
        conversions in prop::collection::vec(10_000_u64..60_000, 0..3),
        tickets in prop::collection::vec(10_000_u64..60_000, 0..4),
        ordered in prop_oneof![Just(SwitchKind::Unplanned), Just(SwitchKind::Planned), Just(SwitchKind::Failback)],
        stalls in prop::collection::vec((10_000_u64..60_000, 100_u64..15_000), 0..3),
        unheeded in prop::option::weighted(0.3, (0..2_usize, 10_000_u64..50_000)),
    ) -> Chaos {
        let kills: BTreeMap<usize, Kill> = kills;
        let stalls: Vec<(u64, u64)> = stalls;
        let stalls = stalls.into_iter().map(|(begin, ms)| (begin, (begin + ms).min(CALM_FROM))).collect();
        let (mut cuts, mut orders): (Vec<Cut>, Vec<(usize, u64)>) = (cuts, orders);
        if let Some((region, at)) = unheeded {
            // A failover is ordered while the second grantor speaks but does not hear.
            cuts.push(Cut { from: Who::Control, to: Who::Node(1 - region), begin_ms: at, end_ms: at + 8_000 });
            orders.push((region, at + 200));
        }
        Chaos {
            seed, delay_ms, lost, repeated, drift: true, kills, cuts, outages, node_restarts, orders, conversions, tickets,
            ordered,
            failing, stalls,
            ..Chaos::default()
        }
    }
}

static CASES: AtomicU32 = AtomicU32::new(0);
static SWITCHED: AtomicU32 = AtomicU32::new(0);
static WHOLE: AtomicU32 = AtomicU32::new(0);
static ABORTED: AtomicU32 = AtomicU32::new(0);
static CONVERTED: AtomicU32 = AtomicU32::new(0);
static RESTORED: AtomicU32 = AtomicU32::new(0);
static NOT_CONVERTED: AtomicU32 = AtomicU32::new(0);

/// Overlapping outages of one region would return it too early; the second is dropped.
fn without_overlaps(mut chaos: Chaos) -> Chaos {
    chaos.outages.sort_by_key(|(region, begin, _)| (*region, *begin));
    chaos.outages.dedup_by(|later, earlier| later.0 == earlier.0 && later.1 <= earlier.2);
    chaos
}

fn is_settled(world: &World) -> bool {
    world.core.as_ref().is_some_and(|core| {
        core.state().environments.values().all(|environment| match environment.phase {
            EnvironmentPhase::Protected => environment.task.is_none() && environment.halted_ms.is_none(),
            EnvironmentPhase::Unprotected if !environment.given.kind.has_replica() => environment.task.is_none(),
            phase => phase == EnvironmentPhase::Failed,
        })
    })
}

fn check(chaos: Chaos, guard: GuardMode) {
    let guard = Guard { mode: guard, bound_ms: 8_000 };
    let mut world = World::new(without_overlaps(chaos), Policy { guard, ..Policy::default() });
    world.deploy(&["sales"]);
    world.deploy_as(EnvironmentKind::FinopsProduction, &["books"]);
    world.deploy_as(EnvironmentKind::DataverseTeams, &["talk"]);
    world.run_until(CALM_FROM, |_| false);
    world.chaos.lost = 0;
    world.chaos.repeated = 0;
    world.chaos.failing = 0;
    world.chaos.delay_ms = 20;
    world.chaos.kills.clear();
    world.chaos.stalled = false;
    // In order as soon as may be; what has failed at its end stays so.
    while world.now < CALM_FROM + 130_000 && !is_settled(&world) {
        world.run_until(world.now + 2_000, |_| false);
    }
    world.run_until(world.now + 3_000, |_| false);
    let state = world.core.as_ref().unwrap().state();
    for (id, environment) in &state.environments {
        let is_half = environment.task.as_ref().is_some_and(|task| !task.stalled);
        assert!(!is_half, "{id} is left in {:?}", environment.task);
        let is_known = matches!(
            environment.phase,
            EnvironmentPhase::Protected | EnvironmentPhase::Unprotected | EnvironmentPhase::Failed
        );
        assert!(is_known, "{id} is {:?}", environment.phase);
        // Whoever serves is granted and routed to.
        if environment.phase != EnvironmentPhase::Failed {
            let region = usize::from(environment.active.as_str() == "west");
            let held = world.holds(Who::Compute(region), id.as_str());
            assert_eq!(held, Some(environment.epoch), "{id} in {}", environment.active);
            assert_eq!(world.routes[id].epoch, environment.epoch);
            assert_eq!(world.routes[id].region, environment.active);
            assert!(environment.is_provided(), "{id} in {} is not told of its features", environment.active);
            let wanted: &[Feature] = match environment.features.ticket {
                _ if environment.active == environment.given.home => environment.given.kind.features(),
                Some(_) => &[Feature::FinancialReporting],
                None => &[],
            };
            assert_eq!(world.offers(region, id.as_str()).unwrap_or_default(), wanted, "{id} in {}", environment.active);
        }
        if environment.phase == EnvironmentPhase::Protected {
            assert_eq!(world.is_whole(id.as_str()), Ok(()), "{id} in {}", environment.active);
            WHOLE.fetch_add(1, Ordering::Relaxed);
        }
        if !environment.given.kind.has_replica() {
            assert_eq!(environment.phase, EnvironmentPhase::Unprotected, "{id}");
            assert_eq!(world.is_alone(id.as_str()), Ok(()), "{id}");
        }
    }
    let outcomes = || {
        let of = |operation: &Operation| -> Vec<_> {
            operation.items.iter().map(|item| (operation.kind, item.outcome)).collect()
        };
        state.operations.values().flat_map(of)
    };
    assert!(outcomes().all(|(_, outcome)| outcome.is_some()), "every operation has ended");
    let count = |is_meant: fn(OperationKind) -> bool, outcome| {
        let found = outcomes().filter(|(kind, other)| is_meant(*kind) && *other == Some(outcome)).count();
        u32::try_from(found).unwrap()
    };
    let is_switch =
        |kind| !matches!(kind, OperationKind::Deploy | OperationKind::Convert | OperationKind::SupportTicket);
    let is_conversion = |kind| kind == OperationKind::Convert;
    let is_ticket = |kind| kind == OperationKind::SupportTicket;
    RESTORED.fetch_add(count(is_ticket, Outcome::Completed), Ordering::Relaxed);
    CASES.fetch_add(1, Ordering::Relaxed);
    SWITCHED.fetch_add(count(is_switch, Outcome::Completed), Ordering::Relaxed);
    ABORTED.fetch_add(count(is_switch, Outcome::Aborted), Ordering::Relaxed);
    CONVERTED.fetch_add(count(is_conversion, Outcome::Completed), Ordering::Relaxed);
    NOT_CONVERTED.fetch_add(count(is_conversion, Outcome::Aborted), Ordering::Relaxed);
}

#[test]
fn whatever_happens_one_region_serves_under_one_epoch_and_nothing_is_left_half_done() {
    // The same cases every time, for below it is asserted how much they cover; `PROPTEST_RNG_SEED` draws others.
    let mut config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    let guard = || prop_oneof![Just(GuardMode::Observe), Just(GuardMode::Enforce)];
    proptest!(config, |(chaos in chaos(), guard in guard())| check(chaos, guard));
    let [cases, switched, aborted, whole, converted, not_converted, restored] =
        [&CASES, &SWITCHED, &ABORTED, &WHOLE, &CONVERTED, &NOT_CONVERTED, &RESTORED]
            .map(|counter| counter.load(Ordering::Relaxed));
    println!(
        "{cases} cases: {switched} environments switched or returned, {aborted} switches undone, {converted} converted, \
         {not_converted} conversions undone, {restored} support tickets done, {whole} of {} environments whole in both regions at the end",
        2 * cases + converted
    );
    assert!(whole > cases, "{whole} whole environments in {cases} cases are too few");
    assert!(switched > 50 && aborted > 5, "the trouble was too small: {switched} switched, {aborted} undone");
    assert!(restored > 10, "{restored} support tickets are too few");
    assert!(converted > 20 && not_converted > 2, "{converted} conversions, {not_converted} undone are too few");
}
