//! Which reading an event is judged by, and why there is none.

use super::{fate::View, passes::Print, timeline::Switch};
use crate::{
    ledger::{Fetched, Readings},
    model::{
        RunTime,
        measure::Books,
        observation::{Boundary, FilesSnapshot, Observation, Reading, SqlSnapshot},
        operation::{EnvironmentIndex, Store},
    },
};

/// What a store holds whose data the platform destroyed: nothing of what was acknowledged.
static NO_ROWS: SqlSnapshot<&str> =
    SqlSnapshot { history: Vec::new(), data: Vec::new(), accounts: Vec::new(), legs: Vec::new() };

/// The same for a bucket.
static NO_VERSIONS: FilesSnapshot<&str> = FilesSnapshot { versions: Vec::new(), marked: Vec::new() };

/// The reading of one event, as far as there is one.
pub(super) struct Read<'a> {
    pub view: View,
    /// When it was over: what it saw counts as acknowledged since.
    pub ended: RunTime,
    pub rows: Result<&'a SqlSnapshot<&'a str>, String>,
    pub versions: Result<&'a FilesSnapshot<&'a str>, String>,
}

impl Read<'_> {
    /// Why the loss of this event is not known.
    pub fn unobserved(&self) -> Option<String> {
        match (&self.rows, &self.versions) {
            (Ok(_), Ok(_)) => None,
            (Err(a), Err(b)) if a == b => Some(a.clone()),
            (rows, versions) => {
                let of = |store, why: Option<&String>| why.map(|why| format!("{store}: {why}"));
                let parts = [of("rows", rows.as_ref().err()), of("objects", versions.as_ref().err())];
                Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// What the event is judged by, if there is a reading of it.
pub(super) fn fetch<'a>(
    observations: &'a dyn Readings,
    environment: EnvironmentIndex,
    switch: &Switch,
) -> Option<Fetched<'a>> {
    match switch.kind {
        Some(_) => {
            let here = |boundary: &Boundary| matches!(boundary, Boundary::Event(id) if *id == switch.id);
            observations.last(environment, &here)
        }
        None => serving(observations, environment, 1).or_else(|| serving(observations, environment, 2)),
    }
}

/// What the reading says that an event is judged by.
pub(super) fn of_event<'a>(observation: Option<&'a Observation<&'a str>>, switch: &Switch) -> Read<'a> {
    let Some(observation) = observation else {
        let why = || "its boundary was not read".to_owned();
        let view = if switch.kind.is_none() { View::LAST } else { View { began: switch.until, ended: switch.until } };
        return Read { view, ended: view.ended, rows: Err(why()), versions: Err(why()) };
    };
    Read {
        view: View::of(observation),
        ended: observation.ended,
        rows: whole(&observation.sql, &NO_ROWS),
        versions: whole(&observation.files, &NO_VERSIONS),
    }
}

/// The final reading of the region that serves the environment.
pub(super) fn serving_side(observations: &dyn Readings, environment: EnvironmentIndex) -> Option<Fetched<'_>> {
    observations.last(environment, &|boundary| matches!(boundary, Boundary::Final { serving: true, .. }))
}

/// The final reading of the region that does not serve the environment.
pub(super) fn other_side(observations: &dyn Readings, environment: EnvironmentIndex) -> Option<Fetched<'_>> {
    observations.last(environment, &|boundary| matches!(boundary, Boundary::Final { serving: false, .. }))
}

/// This pass over the region that serves the environment at the end.
pub(super) fn serving(observations: &dyn Readings, environment: EnvironmentIndex, wanted: u8) -> Option<Fetched<'_>> {
    observations.last(environment, &|boundary| is_pass(boundary, wanted))
}

/// Whether a boundary is this pass over the region that serves at the end.
pub(super) fn is_pass(boundary: &Boundary, wanted: u8) -> bool {
    matches!(boundary, Boundary::Final { pass, serving: true } if *pass == wanted)
}

fn whole<'a, T>(reading: &'a Reading<T>, nothing: &'a T) -> Result<&'a T, String> {
    match reading {
        Reading::Whole(read) => Ok(read),
        Reading::Destroyed(_) => Ok(nothing),
        Reading::Failed(why) => Err(why.clone()),
        Reading::Down => Err("the region was down".to_owned()),
    }
}

/// What the two final readings of the serving region come to, as far as there are two.
pub(super) type Passes = (Option<Print>, Option<Print>);

/// Whether the books of the final reading balance; `unread`: why there is none. `residual` and `foreign` are the store's.
pub(super) fn books(
    environment: EnvironmentIndex,
    unread: Option<&String>,
    passes: &Passes,
    store: Store,
    residual: i64,
    foreign: u64,
) -> Books {
    let why = match unread {
        Some(why) => Some(format!("the final reading failed: {why}")),
        None if residual != 0 => Some(format!("the two passes over the final reading disagree by {residual}")),
        None => disagreement(passes, store),
    };
    Books { environment, store, balanced: why.is_none(), foreign: residual != 0 && foreign > 0, why }
}

/// What the two final readings of the serving region disagree about.
fn disagreement(passes: &Passes, store: Store) -> Option<String> {
    let (Some(first), Some(second)) = passes else {
        return Some("the final state was read once only".to_owned());
    };
    (!first.agrees(second, store)).then(|| "the two final readings of the serving region differ".to_owned())
}
