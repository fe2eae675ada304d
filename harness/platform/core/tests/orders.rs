//! Orders refused, each with its reason, whatever the environment is at.

use super::{
    chaos::{Chaos, Cut, Who},
    questions::order,
    world::{EAST, WEST, World, environment, region},
};
use crate::api::{
    control::{Scope, SwitchKind},
    role::Policy,
};

/// What the environment is at when the order comes.
#[derive(Debug, Clone, Copy)]
enum At {
    Home,
    /// Away, protected, longer than the dwell time.
    Away,
    /// Away for a moment.
    JustSwitched,
    /// Away, protected, and the compute at home is not heard by control.
    AwayHalf,
    /// Away, protected, and its replica does not stream.
    AwayUnstreamed,
    /// Away, protected, and files have not been at home for longer than a switch would wait.
    AwayOwed,
    /// Away without a replica, both regions heard.
    Unprotected,
    /// Away without a replica, the home region lost.
    HomeLost,
    /// At home, the other region lost.
    OtherLost,
    /// At home, the compute of the other region is not heard by control.
    OtherHalf,
    /// In the middle of a planned failover.
    Switching,
}

fn world(at: At) -> World {
    let cuts = match at {
        At::OtherHalf => vec![Cut { from: Who::Compute(WEST), to: Who::Control, begin_ms: 9_000, end_ms: u64::MAX }],
        _ => Vec::new(),
    };
    let automatic_return = !matches!(at, At::Unprotected | At::HomeLost);
    let chaos = Chaos { delay_ms: 3, cuts, ..Chaos::default() };
    let mut world = World::new(chaos, Policy { automatic_return, ..Policy::default() });
    world.deploy(&["sales"]);
    world.run_until(12_000, |_| false);
    let is_switched = |world: &World| world.events("sales").iter().any(|event| event.name == "failover.completed");
    match at {
        At::Home | At::OtherHalf => {}
        At::Away
        | At::AwayHalf
        | At::AwayUnstreamed
        | At::AwayOwed
        | At::JustSwitched
        | At::Switching
        | At::Unprotected => {
            order(&mut world, SwitchKind::Planned, one()).unwrap();
            if !matches!(at, At::Switching) {
                assert!(world.run_until(20_000, is_switched));
            }
            let is_protected =
                |world: &World| world.events("sales").last().is_some_and(|event| event.name == "environment.protected");
            match at {
                At::JustSwitched => assert!(world.run_until(world.now + 1_500, is_protected)),
                At::Switching => {}
                _ => drop(world.run_until(world.now + 5_000, |_| false)),
            }
            let now = world.now;
            match at {
                At::AwayHalf => {
                    let cut = Cut { from: Who::Compute(EAST), to: Who::Control, begin_ms: now, end_ms: u64::MAX };
                    world.chaos.cuts.push(cut);
                }
                At::AwayUnstreamed => world.chaos.unstreamed = true,
                At::AwayOwed => world.chaos.owed_ms = 11_000,
                _ => {}
            }
            if matches!(at, At::AwayHalf | At::AwayUnstreamed | At::AwayOwed) {
                world.run_until(now + 2_000, |_| false);
            }
        }
        At::HomeLost => {
            world.lose(EAST);
            assert!(world.run_until(40_000, is_switched));
            world.run_until(world.now + 5_000, |_| false);
        }
        At::OtherLost => {
            world.lose(WEST);
            world.run_until(world.now + 10_000, |_| false);
        }
    }
    world
}

fn one() -> Scope {
    Scope::Environments(vec![environment("sales")])
}

/// `words` is a part of the refusal; none: the order is taken.
fn check(at: At, kind: SwitchKind, scope: Scope, expected: u16, words: &str) {
    let mut world = world(at);
    match order(&mut world, kind, scope) {
        Ok(_) => assert_eq!(expected, 202, "{at:?} {kind:?} was taken"),
        Err(refused) => {
            assert_eq!(refused.status, expected, "{at:?} {kind:?}: {refused}");
            assert!(refused.why.contains(words), "{at:?} {kind:?}: {refused}");
        }
    }
}

#[test]
fn each_order_is_taken_or_refused_by_where_the_environment_is() {
    use SwitchKind::{Failback, Planned, Unplanned};
    for (at, kind, status, words) in [
        (At::Home, Unplanned, 202, ""),
        (At::Home, Planned, 202, ""),
        (At::Home, Failback, 409, "`sales` is at home in east already"),
        (At::Away, Unplanned, 202, ""),
        (At::Away, Planned, 422, "order a failback"),
        (At::Away, Failback, 202, ""),
        (At::AwayHalf, Failback, 409, "region east is not fit for a switch of `sales`: its compute is not heard"),
        (At::AwayUnstreamed, Failback, 409, "cannot be failed back yet: the replica in east does not stream"),
        (At::AwayOwed, Failback, 409, "cannot be failed back yet: 1 files are not yet in east, the oldest for 11 s"),
        (At::JustSwitched, Unplanned, 409, "order again in"),
        (At::JustSwitched, Failback, 409, "order again in"),
        (At::Unprotected, Unplanned, 422, "no replica since its switch to west"),
        (At::Unprotected, Planned, 422, "order a failback"),
        (At::Unprotected, Failback, 202, ""),
        (At::HomeLost, Unplanned, 422, "no replica since its switch to west"),
        (At::HomeLost, Failback, 409, "region east is not fit for a switch of `sales`: it is declared lost"),
        (At::OtherLost, Unplanned, 409, "region west is not ready"),
        (At::OtherLost, Planned, 409, "region west is not fit for a switch of `sales`: it is declared lost"),
        (At::OtherHalf, Planned, 409, "its compute is not heard"),
        (At::Switching, Unplanned, 409, "(planned-failover) is under way"),
        (At::Switching, Planned, 409, "(planned-failover) is under way"),
        (At::Switching, Failback, 409, "is under way"),
    ] {
        check(at, kind, one(), status, words);
    }
}

#[test]
fn a_region_is_meant_by_what_is_served_in_it_and_for_a_failback_by_what_belongs_there() {
    use SwitchKind::{Failback, Planned};
    for (at, kind, named, status, words) in [
        (At::Home, Planned, EAST, 202, ""),
        (At::Home, Planned, WEST, 409, "no environment with a replica is active in west"),
        (At::Home, Failback, EAST, 409, "no environment whose home is east is served elsewhere"),
        (At::Away, Failback, EAST, 202, ""),
        (At::Away, Failback, WEST, 409, "no environment whose home is west is served elsewhere"),
        (At::Switching, Planned, EAST, 409, "is under way"),
    ] {
        check(at, kind, Scope::Region(region(named)), status, words);
    }
}
