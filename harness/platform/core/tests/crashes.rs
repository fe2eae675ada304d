//! One crash and two at every place of every protocol: control before and after each write to its journal is durable, and
//! either region's node as it becomes durable. `GEODRILL_PAIRS=all` tries every pair; otherwise as many in each protocol as
//! a test suite has time for, spread evenly.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    chaos::Kill,
    exhaustive::{ALL, Protocol},
    world::{EAST, WEST},
};

/// Pairs of crashes tried in each protocol, unless all are; all of them if there are no more.
const PAIRS_MAX: usize = 200;
/// Writes past the undisturbed run's last at which somebody is killed too: a disturbed run writes more.
const LATER: usize = 4;
/// Who can die at a write, and when.
const KILLS: [Kill; 4] = [Kill::BeforeWrite, Kill::AfterWrite, Kill::Node(EAST), Kill::Node(WEST)];

/// Who dies at which write to the journal.
type Case = BTreeMap<usize, Kill>;

/// The places of a protocol. Everything but a deployment begins with one, whose crashes are tried once.
fn places(protocol: Protocol) -> Vec<(usize, Kill)> {
    let calm = protocol.play(Case::new());
    protocol.check(&calm);
    let deployment = protocol.deployment();
    let first = if protocol == deployment { 1 } else { deployment.play(Case::new()).writes.min(calm.writes) };
    (first..=calm.writes + LATER).flat_map(|write| KILLS.into_iter().map(move |kill| (write, kill))).collect()
}

/// As many pairs of places as are tried, spread evenly, and how many pairs there are. Two deaths at one write are none: the
/// first of them ends it.
fn pairs(places: &[(usize, Kill)], max: usize) -> (Vec<Case>, usize) {
    let all: Vec<_> = (places.iter().enumerate())
        .flat_map(|(index, one)| places[index + 1..].iter().map(move |other| (one, other)))
        .filter(|(one, other)| one.0 != other.0)
        .collect();
    let tried = all.len().min(max);
    let chosen = (0..tried).map(|index| all[index * all.len() / tried]);
    (chosen.map(|(one, other)| Case::from([*one, *other])).collect(), all.len())
}

/// Plays every case on all processors; what was violated, case by case.
fn violations(protocol: Protocol, cases: &[Case]) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = catch_unwind(AssertUnwindSafe(|| protocol.check(&protocol.play(case.clone()))));
                    if let Err(panic) = played {
                        found.lock().unwrap().push(format!("{protocol:?} with {case:?}: {}", words(panic.as_ref())));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")
}

#[test]
fn killed_at_every_place_and_at_pairs_of_places_of_every_protocol_nothing_is_left_half_done() {
    let max = match std::env::var("GEODRILL_PAIRS").ok() {
        None => PAIRS_MAX,
        Some(all) if all == "all" => usize::MAX,
        Some(number) => number.parse().expect("GEODRILL_PAIRS is `all` or a number for each protocol"),
    };
    let (mut singles, mut doubles, mut product, mut violated) = (0, 0, 0, Vec::new());
    for protocol in ALL {
        let places = places(protocol);
        let ones: Vec<Case> = places.iter().map(|place| Case::from([*place])).collect();
        let (twos, count) = pairs(&places, max);
        let found = [violations(protocol, &ones), violations(protocol, &twos)].concat();
        println!(
            "{protocol:?}: {} single crashes, {} of {count} pairs, {} violations",
            ones.len(),
            twos.len(),
            found.len()
        );
        singles += ones.len();
        doubles += twos.len();
        product += count;
        violated.extend(found);
    }
    println!(
        "{} protocols: {} cases run ({singles} single crashes, {doubles} of {product} pairs), {} violations",
        ALL.len(),
        singles + doubles,
        violated.len()
    );
    assert!(violated.is_empty(), "{} violations, the first: {:#?}", violated.len(), &violated[..violated.len().min(5)]);
    assert!(singles >= 400 && doubles >= max.min(600) * ALL.len(), "{singles} and {doubles} cases are too few");
}
