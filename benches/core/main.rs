//! The platform's pure core: steps a second, and whole drills a second.
//!
//! A drill is what a scenario makes of the simulated world, from an empty journal on: an environment is deployed in the
//! east, the east is lost, the platform notices and fails over by itself, the east returns and is put in step, an operator
//! orders the failback, and it ends when the east serves again, protected, under the third epoch. Each drill has a seed of
//! its own, which decides latencies, phases and how clocks drift. One runs on one thread; at the end as many run at once as
//! there are processors.

use std::{hint::black_box, time::Duration};

use criterion::Criterion;
// The world's own sources name these two as `crate::…`.
use geodrill::{api, platform};

#[path = "../support/grouped.rs"]
mod grouped;
#[expect(dead_code, reason = "the platform's tests ask more of the world than a drill does")]
mod simulation;
#[path = "../support/mod.rs"]
mod support;

use api::{
    Epoch, Zone,
    control::{Scope, SwitchKind},
    environment::EnvironmentPhase,
    permit::{Holder, PermitRequest},
    role::Policy,
};
use grouped::grouped;
use platform::core::{AskId, Core, Event};
use simulation::{
    chaos::Chaos,
    questions::order,
    world::{EAST, World, environment, region},
};
use support::{median, table};

/// The longest that a part of a drill may take, virtual milliseconds.
const WITHIN: u64 = 60_000;

fn drill(seed: u64) -> World {
    let sales = environment("sales");
    let reach = |world: &mut World, epoch: u64, wanted: EnvironmentPhase| {
        let is_there = |world: &World| {
            let environments = world.core.as_ref().map(|core| &core.state().environments);
            environments
                .and_then(|all| all.get(&sales))
                .is_some_and(|it| (it.epoch, it.phase) == (Epoch(epoch), wanted))
        };
        assert!(world.run_until(world.now + WITHIN, is_there), "seed {seed}: not {wanted:?} under epoch {epoch}");
    };
    let mut world = World::new(Chaos { seed, delay_ms: 3, drift: true, ..Chaos::default() }, Policy::default());
    world.deploy(&["sales"]);
    reach(&mut world, 1, EnvironmentPhase::Protected);
    world.lose(EAST);
    reach(&mut world, 2, EnvironmentPhase::Unprotected);
    world.return_region(EAST);
    reach(&mut world, 2, EnvironmentPhase::Protected);
    // Sooner after a switch an order is refused.
    world.run_until(world.now + world.settings().timers.dwell_ms, |_| false);
    let ordered = order(&mut world, SwitchKind::Failback, Scope::Environments(vec![sales.clone()]));
    assert!(ordered.is_ok(), "seed {seed}: the failback is refused: {:?}", ordered.err());
    reach(&mut world, 3, EnvironmentPhase::Protected);
    world
}

/// A core that serves two environments, and its time.
fn serving() -> (Core, u64) {
    let mut world = World::new(Chaos { delay_ms: 3, ..Chaos::default() }, Policy::default());
    world.deploy(&["sales", "books"]);
    world.run_until(10_000, |_| false);
    (world.core.expect("control is up"), world.now)
}

fn renewal() -> PermitRequest {
    let known = ["books", "sales"].map(|name| (environment(name), Epoch::FIRST)).to_vec();
    PermitRequest {
        holder: Holder::Compute,
        region: region(EAST),
        zone: Zone::FIRST,
        known,
        peer_silent_ms: None,
        states: Vec::new(),
        files_ok: None,
        processors: None,
        after: None,
        files: Vec::new(),
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut rows = Vec::new();

    for (name, what, event) in
        [("tick", "step: nothing happened", None), ("permits", "step: a compute renews two permits", Some(renewal()))]
    {
        let mut seconds = Vec::new();
        criterion.bench_function(&format!("core/{name}"), |bencher| {
            bencher.iter_custom(|times| {
                let (mut core, mut now) = serving();
                let began = std::time::Instant::now();
                for ask in 0..times {
                    // Time goes on as slowly as it can, so that nothing is overdue.
                    now += u64::from(ask % 1_000 == 0);
                    let event =
                        event.clone().map_or(Event::Tick, |request| Event::PermitAsked { ask: AskId(ask), request });
                    black_box(core.step(now, event));
                }
                let took = began.elapsed();
                seconds.push(took.as_secs_f64() / times as f64);
                took
            });
        });
        rows.push([what.to_owned(), format!("{:.2} µs", median(&seconds) * 1e6), grouped(1.0 / median(&seconds))]);
    }

    let (mut seconds, mut virtual_s, mut steps, mut seed) = (Vec::new(), Vec::new(), Vec::new(), 0);
    criterion.bench_function("core/drill", |bencher| {
        bencher.iter_custom(|times| {
            let began = std::time::Instant::now();
            for _ in 0..times {
                seed += 1;
                let world = black_box(drill(seed));
                steps.push(world.steps as f64);
                virtual_s.push(world.now as f64 / 1e3);
            }
            let took = began.elapsed();
            seconds.push(took.as_secs_f64() / times as f64);
            took
        });
    });
    rows.push([
        format!("drill: {:.1} s of the world's time, {:.0} steps", median(&virtual_s), median(&steps)),
        format!("{:.0} µs", median(&seconds) * 1e6),
        grouped(1.0 / median(&seconds)),
    ]);

    // As many worlds at once as there are processors: they share nothing.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let mut seconds = Vec::new();
    criterion.bench_function("core/drills", |bencher| {
        bencher.iter_custom(|times| {
            let began = std::time::Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let first = seed + thread * times;
                    scope.spawn(move || (first..first + times).for_each(|seed| drop(black_box(drill(seed)))));
                }
            });
            seed += threads * times;
            let took = began.elapsed();
            seconds.push(took.as_secs_f64() / (times * threads) as f64);
            took
        });
    });
    rows.push([
        format!("the same on {threads} threads at once"),
        format!("{:.0} µs", median(&seconds) * 1e6),
        grouped(1.0 / median(&seconds)),
    ]);
    table("The platform's pure core, medians, one thread unless said", ["what", "takes", "a second"], rows);
    criterion.final_summary();
}
