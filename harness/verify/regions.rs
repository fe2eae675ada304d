//! Both regions of an environment that ended protected, laid beside each other: every row, version and delete marker that
//! one side alone has. What the serving side holds is laid beside the ledger by the fates; so all three agree, or it is told.

use std::{collections::BTreeMap, fmt};

use super::{hash::hash, passes::Print};
use crate::{
    ledger::{Found, Head, Part},
    model::{
        event::{Event, What},
        measure::RegionsCompared,
        observation::{Content, ObjectReference, Reading},
        operation::EnvironmentIndex,
        token::Seen,
    },
};

/// Differences told of one environment.
const EXAMPLES_MAX: usize = 5;

/// What was found of the direction of replication; `None` if the platform did not say at the end that the environment is
/// protected, so that there is nothing to compare.
pub(super) fn direction(events: &[Event], environment: EnvironmentIndex) -> Option<Vec<String>> {
    events.iter().rev().find_map(|event| match &event.what {
        What::Direction { environment: of, wrong, .. } if *of == environment => Some(wrong.clone()),
        _ => None,
    })
}

/// A side, and what it comes to.
type Side<'s, 'a> = (&'s Found<'a>, Result<Print, String>);

/// The comparison of the serving side with the other one. What differs is looked for, and put into words, only if something
/// does; both sides are gone through once more for it.
pub(super) fn compare(
    environment: EnvironmentIndex,
    direction: Vec<String>,
    serving: Option<Side<'_, '_>>,
    other: Option<&Found<'_>>,
) -> RegionsCompared {
    let mut compared = RegionsCompared { environment, direction, ..RegionsCompared::default() };
    match differences(serving, other) {
        Ok(differences) => differences.tell(&mut compared),
        Err(why) => compared.unread = Some(why),
    }
    compared
}

fn differences(serving: Option<Side<'_, '_>>, other: Option<&Found<'_>>) -> Result<Differences, String> {
    let (serving, here) = serving.ok_or(UNREAD)?;
    let other = other.ok_or(UNREAD)?;
    is_whole(serving)?;
    is_whole(other)?;
    let mut differences = Differences::default();
    if !here?.holds_the_same(&Print::of(other)?) {
        let differing = differing(hashes(serving)?, hashes(other)?);
        for (side, sign) in [(serving, 1), (other, -1)] {
            each(side, &mut |thing| {
                if differing.binary_search(&hash(&thing)).is_ok() {
                    differences.add(&thing, sign);
                }
            })?;
        }
    }
    Ok(differences)
}

const UNREAD: &str = "one of the regions was not read at the end";

fn is_whole(side: &Found<'_>) -> Result<(), String> {
    let Head { side, sql, files, .. } = side.head();
    match (sql, files) {
        (Reading::Whole(()), Reading::Whole(())) => Ok(()),
        _ => Err(format!("region {} was not read whole at the end", side.0)),
    }
}

/// One thing that a side has.
#[derive(Hash)]
enum Thing<'a> {
    History(Seen<&'a str>, &'a str, Option<Seen<&'a str>>),
    Data(&'a str, Seen<&'a str>, &'a str, Option<ObjectReference<&'a str>>),
    Account(u32, i64),
    Leg(Seen<&'a str>, u32, i64),
    Version(&'a str, &'a str, Option<&'a str>),
    Marker(&'a str, &'a str),
}

/// Everything that a side has.
fn each(side: &Found<'_>, take: &mut dyn FnMut(Thing<'_>)) -> Result<(), String> {
    side.parts(&mut |part| match part {
        Part::History(rows) => rows.iter().for_each(|row| take(Thing::History(row.token, row.key, row.prev))),
        Part::Data(rows) => rows.iter().for_each(|row| take(Thing::Data(row.key, row.token, row.value, row.object))),
        Part::Accounts(accounts) => accounts.iter().for_each(|(of, balance)| take(Thing::Account(*of, *balance))),
        Part::Legs(legs) => legs.iter().for_each(|leg| take(Thing::Leg(leg.token, leg.account, leg.amount))),
        Part::Versions(versions) => versions.iter().for_each(|version| {
            take(match &version.content {
                Content::DeleteMarker => Thing::Marker(version.object_key, version.version_id),
                Content::Body { sha256, .. } => Thing::Version(version.object_key, version.version_id, Some(sha256)),
                Content::Unreadable(_) | Content::Withheld(_) => {
                    Thing::Version(version.object_key, version.version_id, None)
                }
            });
        }),
        Part::Marked(_) => {}
    })
}

/// The hash of each thing that a side has, sorted.
fn hashes(side: &Found<'_>) -> Result<Vec<u64>, String> {
    let mut hashes = Vec::new();
    each(side, &mut |thing| hashes.push(hash(thing)))?;
    hashes.sort_unstable();
    Ok(hashes)
}

/// Hashes that one side has more often than the other, sorted.
fn differing(here: Vec<u64>, there: Vec<u64>) -> Vec<u64> {
    let (mut here, mut there) = (here.into_iter().peekable(), there.into_iter().peekable());
    let mut differing = Vec::new();
    loop {
        match (here.peek().copied(), there.peek().copied()) {
            (None, None) => return differing,
            (Some(a), Some(b)) if a == b => _ = (here.next(), there.next()),
            (Some(a), b) if b.is_none_or(|b| a < b) => differing.extend(here.next()),
            _ => differing.extend(there.next()),
        }
    }
}

/// What one side has more often than the other.
#[derive(Default)]
struct Differences {
    rows: Tally,
    versions: Tally,
    markers: Tally,
}

impl Differences {
    fn add(&mut self, thing: &Thing<'_>, sign: i64) {
        let tally = match thing {
            Thing::Version(..) => &mut self.versions,
            Thing::Marker(..) => &mut self.markers,
            _ => &mut self.rows,
        };
        tally.add(thing.to_string(), sign);
    }

    fn tell(&self, into: &mut RegionsCompared) {
        let Self { rows, versions, markers } = self;
        let differences = [rows, versions, markers].into_iter().flat_map(Tally::told);
        into.examples = into.direction.iter().cloned().chain(differences).take(EXAMPLES_MAX).collect();
        (into.rows, into.versions, into.markers) = (rows.count(), versions.count(), markers.count());
    }
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(token, key, prev) => write!(f, "history {token} {key} {prev:?}"),
            Self::Data(key, token, value, object) => write!(f, "data {key} {token} {value} {object:?}"),
            Self::Account(account, balance) => write!(f, "account {account} {balance}"),
            Self::Leg(token, account, amount) => write!(f, "leg {token} {account} {amount}"),
            Self::Version(key, version, Some(sha256)) => write!(f, "version {key} {version} {sha256}"),
            Self::Version(key, version, None) => write!(f, "version {key} {version} unreadable"),
            Self::Marker(key, version) => write!(f, "marker {key} {version}"),
        }
    }
}

/// How often each thing is on the serving side more than on the other.
#[derive(Default)]
struct Tally {
    of: BTreeMap<String, i64>,
}

impl Tally {
    fn add(&mut self, what: String, sign: i64) {
        *self.of.entry(what).or_default() += sign;
    }

    fn count(&self) -> u64 {
        self.of.values().map(|surplus| surplus.unsigned_abs()).sum()
    }

    fn told(&self) -> impl Iterator<Item = String> {
        self.of.iter().filter(|(_, surplus)| **surplus != 0).map(|(what, surplus)| {
            let side = if *surplus > 0 { "the serving region" } else { "the other region" };
            format!("only in {side}: {what}")
        })
    }
}
