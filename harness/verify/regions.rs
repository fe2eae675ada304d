//! Both regions of an environment that ended protected, laid beside each other: every row, version and delete marker that
//! one side alone has. What the serving side holds is laid beside the ledger by the fates; so all three agree, or it is told.

use std::{collections::BTreeMap, fmt};

use super::{
    hash::{self, Sum, hash},
    readings,
};
use crate::{
    ledger::{Fetched, Readings},
    model::{
        event::{Event, What},
        measure::RegionsCompared,
        observation::{Content, FilesSnapshot, ObjectReference, Observation, SqlSnapshot},
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

/// The comparison. `here`: what the last reading of the serving side comes to, so that only one reading at a time is in
/// memory unless both differ: what differs is looked for then.
pub(super) fn compare(
    observations: &dyn Readings,
    environment: EnvironmentIndex,
    direction: Vec<String>,
    here: Result<Sum, String>,
) -> RegionsCompared {
    let mut compared = RegionsCompared { environment, direction, ..RegionsCompared::default() };
    let other = readings::other_side(observations, environment);
    let other = other.as_ref().map(Fetched::observation);
    match here.and_then(|here| Ok((here, whole(other.as_ref())?))) {
        Ok((here, stores)) => {
            // What differs is looked for, and put into words, only if something does; the serving side is fetched once
            // more for it.
            let differ = here != hash::sum(things(stores));
            let serving = differ.then(|| readings::serving_side(observations, environment)).flatten();
            let serving = serving.as_ref().map(Fetched::observation);
            match differ.then(|| whole(serving.as_ref())).transpose() {
                Ok(serving) => lay_beside(serving.map(|serving| [serving, stores]), &mut compared),
                Err(why) => compared.unread = Some(why),
            }
        }
        Err(why) => compared.unread = Some(why),
    }
    compared
}

/// What a side comes to; or why that is not known.
pub(super) fn sum(observation: Option<&Observation<&str>>) -> Result<Sum, String> {
    whole(observation).map(|stores| hash::sum(things(stores)))
}

type Stores<'a> = (&'a SqlSnapshot<&'a str>, &'a FilesSnapshot<&'a str>);

fn whole<'a>(observation: Option<&'a Observation<&'a str>>) -> Result<Stores<'a>, String> {
    let observation = observation.ok_or("one of the regions was not read at the end")?;
    match (observation.sql.whole(), observation.files.whole()) {
        (Some(rows), Some(versions)) => Ok((rows, versions)),
        _ => Err(format!("region {} was not read whole at the end", observation.side.0)),
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

fn things<'a>((sql, files): Stores<'a>) -> impl Iterator<Item = Thing<'a>> {
    let history = sql.history.iter().map(|row| Thing::History(row.token, row.key, row.prev));
    let data = sql.data.iter().map(|row| Thing::Data(row.key, row.token, row.value, row.object));
    let accounts = sql.accounts.iter().map(|(account, balance)| Thing::Account(*account, *balance));
    let legs = sql.legs.iter().map(|leg| Thing::Leg(leg.token, leg.account, leg.amount));
    let versions = files.versions.iter().map(|version| match &version.content {
        Content::DeleteMarker => Thing::Marker(version.object_key, version.version_id),
        Content::Body { sha256, .. } => Thing::Version(version.object_key, version.version_id, Some(sha256)),
        Content::Unreadable(_) => Thing::Version(version.object_key, version.version_id, None),
    });
    history.chain(data).chain(accounts).chain(legs).chain(versions)
}

/// The hash of each thing that a side has, sorted.
fn hashes(stores: Stores<'_>) -> Vec<u64> {
    let mut hashes: Vec<u64> = things(stores).map(hash).collect();
    hashes.sort_unstable();
    hashes
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

/// `sides`: the serving one and the other, if they are known to differ.
fn lay_beside(sides: Option<[Stores<'_>; 2]>, into: &mut RegionsCompared) {
    let mut rows = Tally::default();
    let mut versions = Tally::default();
    let mut markers = Tally::default();
    let differing = sides.map(|[here, there]| differing(hashes(here), hashes(there))).unwrap_or_default();
    for (stores, sign) in sides.into_iter().flatten().zip([1, -1]) {
        for thing in things(stores).filter(|thing| differing.binary_search(&hash(thing)).is_ok()) {
            let tally = match thing {
                Thing::Version(..) => &mut versions,
                Thing::Marker(..) => &mut markers,
                _ => &mut rows,
            };
            tally.add(thing.to_string(), sign);
        }
    }
    let differences = [&rows, &versions, &markers].into_iter().flat_map(Tally::told);
    into.examples = into.direction.iter().cloned().chain(differences).take(EXAMPLES_MAX).collect();
    (into.rows, into.versions, into.markers) = (rows.count(), versions.count(), markers.count());
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
