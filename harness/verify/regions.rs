//! Both regions of an environment that ended protected, laid beside each other: every row, version and delete marker that
//! one side alone has. What the serving side holds is laid beside the ledger by the fates; so all three agree, or it is told.

use std::collections::BTreeMap;

use super::{input::Input, readings};
use crate::model::{
    event::What,
    measure::RegionsCompared,
    observation::{Content, FilesSnapshot, Observation, SqlSnapshot},
    operation::EnvironmentIndex,
};

/// Differences told of one environment.
const EXAMPLES_MAX: usize = 5;

/// The comparison; `None` if the platform did not say at the end that the environment is protected.
pub(super) fn compare(input: &Input<'_>, environment: EnvironmentIndex) -> Option<RegionsCompared> {
    let direction = input.events.iter().rev().find_map(|event| match &event.what {
        What::Direction { environment: of, wrong, .. } if *of == environment => Some(wrong.clone()),
        _ => None,
    })?;
    let mut compared = RegionsCompared { environment, direction, ..RegionsCompared::default() };
    let sides = (readings::serving_side(input, environment), readings::other_side(input, environment));
    match whole(sides.0).and_then(|serving| Ok((serving, whole(sides.1)?))) {
        Ok((serving, other)) => lay_beside(serving, other, &mut compared),
        Err(why) => compared.unread = Some(why),
    }
    Some(compared)
}

type Stores<'a> = (&'a SqlSnapshot, &'a FilesSnapshot);

fn whole(observation: Option<&Observation>) -> Result<Stores<'_>, String> {
    let observation = observation.ok_or("one of the regions was not read at the end")?;
    match (observation.sql.whole(), observation.files.whole()) {
        (Some(rows), Some(versions)) => Ok((rows, versions)),
        _ => Err(format!("region {} was not read whole at the end", observation.side.0)),
    }
}

fn lay_beside(serving: Stores<'_>, other: Stores<'_>, into: &mut RegionsCompared) {
    let mut rows = Tally::default();
    let mut versions = Tally::default();
    let mut markers = Tally::default();
    for (stores, sign) in [(serving, 1), (other, -1)] {
        let (sql, files) = stores;
        sql.history.iter().for_each(|row| rows.add(format!("history {} {} {:?}", row.token, row.key, row.prev), sign));
        sql.data.iter().for_each(|row| {
            rows.add(format!("data {} {} {} {:?}", row.key, row.token, row.value, row.object), sign);
        });
        sql.accounts.iter().for_each(|(account, balance)| rows.add(format!("account {account} {balance}"), sign));
        sql.legs.iter().for_each(|leg| rows.add(format!("leg {} {} {}", leg.token, leg.account, leg.amount), sign));
        for version in &files.versions {
            let name = format!("{} {}", version.object_key, version.version_id);
            match &version.content {
                Content::DeleteMarker => markers.add(format!("marker {name}"), sign),
                Content::Body { sha256, .. } => versions.add(format!("version {name} {sha256}"), sign),
                Content::Unreadable(_) => versions.add(format!("version {name} unreadable"), sign),
            }
        }
    }
    let differences = [&rows, &versions, &markers].into_iter().flat_map(Tally::told);
    into.examples = into.direction.iter().cloned().chain(differences).take(EXAMPLES_MAX).collect();
    (into.rows, into.versions, into.markers) = (rows.count(), versions.count(), markers.count());
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
