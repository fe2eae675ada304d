//! Which reading an event is judged by, and why there is none.

use super::{fate::View, input::Input, passes, timeline::Switch};
use crate::model::{
    RunTime,
    measure::Books,
    observation::{Boundary, FilesSnapshot, Observation, Reading, SqlSnapshot},
    operation::{EnvironmentIndex, Store},
};

/// What a store holds whose data the platform destroyed: nothing of what was acknowledged.
static NO_ROWS: SqlSnapshot =
    SqlSnapshot { history: Vec::new(), data: Vec::new(), accounts: Vec::new(), legs: Vec::new() };

/// The same for a bucket.
static NO_VERSIONS: FilesSnapshot = FilesSnapshot { versions: Vec::new(), marked: Vec::new() };

/// The reading of one event, as far as there is one.
pub(super) struct Read<'a> {
    pub view: View,
    /// When it was over: what it saw counts as acknowledged since.
    pub ended: RunTime,
    pub rows: Result<&'a SqlSnapshot, String>,
    pub versions: Result<&'a FilesSnapshot, String>,
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

/// The reading that an event is judged by.
pub(super) fn of_event<'a>(input: &Input<'a>, environment: EnvironmentIndex, switch: &Switch) -> Read<'a> {
    let observation = match switch.kind {
        Some(_) => {
            let here = |boundary: &Boundary| matches!(boundary, Boundary::Event(id) if *id == switch.id);
            find(input, environment, here)
        }
        None => serving(input, environment, 1).or_else(|| serving(input, environment, 2)),
    };
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
pub(super) fn serving_side<'a>(input: &Input<'a>, environment: EnvironmentIndex) -> Option<&'a Observation> {
    find(input, environment, |boundary| matches!(boundary, Boundary::Final { serving: true, .. }))
}

/// The final reading of the region that does not serve the environment.
pub(super) fn other_side<'a>(input: &Input<'a>, environment: EnvironmentIndex) -> Option<&'a Observation> {
    find(input, environment, |boundary| matches!(boundary, Boundary::Final { serving: false, .. }))
}

fn serving<'a>(input: &Input<'a>, environment: EnvironmentIndex, wanted: u8) -> Option<&'a Observation> {
    find(input, environment, |boundary| matches!(boundary, Boundary::Final { pass, serving: true } if *pass == wanted))
}

/// The last one counts: a reading that failed may have been tried again.
fn find<'a>(
    input: &Input<'a>,
    environment: EnvironmentIndex,
    boundary: impl Fn(&Boundary) -> bool,
) -> Option<&'a Observation> {
    input.observations.iter().rev().find(|seen| seen.environment == environment && boundary(&seen.boundary))
}

fn whole<'a, T>(reading: &'a Reading<T>, nothing: &'a T) -> Result<&'a T, String> {
    match reading {
        Reading::Whole(read) => Ok(read),
        Reading::Destroyed(_) => Ok(nothing),
        Reading::Failed(why) => Err(why.clone()),
        Reading::Down => Err("the region was down".to_owned()),
    }
}

/// Whether the books of the final reading balance; `residual` and `foreign` by store.
pub(super) fn books(
    input: &Input<'_>,
    environment: EnvironmentIndex,
    read: &Read<'_>,
    store: Store,
    residual: i64,
    foreign: u64,
) -> Books {
    let unread = match store {
        Store::Sql => read.rows.as_ref().err(),
        Store::Files => read.versions.as_ref().err(),
    };
    let why = match unread {
        Some(why) => Some(format!("the final reading failed: {why}")),
        None if residual != 0 => Some(format!("the two passes over the final reading disagree by {residual}")),
        None => disagreement(serving(input, environment, 1), serving(input, environment, 2), store),
    };
    Books { environment, store, balanced: why.is_none(), foreign: residual != 0 && foreign > 0, why }
}

/// What the two final readings of the serving region disagree about.
fn disagreement(first: Option<&Observation>, second: Option<&Observation>, store: Store) -> Option<String> {
    let (Some(first), Some(second)) = (first, second) else {
        return Some("the final state was read once only".to_owned());
    };
    let same = match store {
        Store::Sql => match (&first.sql, &second.sql) {
            (Reading::Whole(a), Reading::Whole(b)) => passes::same_rows(a, b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        },
        Store::Files => match (&first.files, &second.files) {
            (Reading::Whole(a), Reading::Whole(b)) => passes::same_versions(a, b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        },
    };
    (!same).then(|| "the two final readings of the serving region differ".to_owned())
}
