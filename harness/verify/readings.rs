//! Which reading an event is judged by, and why there is none.

use super::{fate::View, passes::Print, timeline::Switch};
use crate::{
    ledger::{Found, Head, Readings},
    model::{
        RunTime,
        measure::Books,
        observation::{Boundary, Reading},
        operation::{EnvironmentIndex, Store},
    },
};

/// What the reading of one event is, as far as there is one.
pub(super) struct Read {
    pub view: View,
    /// When it was over: what it saw counts as acknowledged since.
    pub ended: RunTime,
    pub rows: Result<(), String>,
    pub versions: Result<(), String>,
}

impl Read {
    /// Why the loss of this event is not known.
    pub fn unobserved(&self) -> Option<String> {
        match (&self.rows, &self.versions) {
            (Ok(()), Ok(())) => None,
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
pub(super) fn find<'a>(
    observations: &'a dyn Readings,
    environment: EnvironmentIndex,
    switch: &Switch,
) -> Option<Found<'a>> {
    match switch.kind {
        Some(_) => {
            let here = |boundary: &Boundary| matches!(boundary, Boundary::Event(id) if *id == switch.id);
            observations.last(environment, &here)
        }
        None => serving(observations, environment, 1).or_else(|| serving(observations, environment, 2)),
    }
}

/// What the reading is that an event is judged by.
pub(super) fn of_event(head: Option<&Head>, switch: &Switch) -> Read {
    let Some(head) = head else {
        let why = || "its boundary was not read".to_owned();
        let view = if switch.kind.is_none() { View::LAST } else { View { began: switch.until, ended: switch.until } };
        return Read { view, ended: view.ended, rows: Err(why()), versions: Err(why()) };
    };
    Read { view: View::of(head), ended: head.ended, rows: whole(&head.sql), versions: whole(&head.files) }
}

/// The final reading of the region that serves the environment.
pub(super) fn serving_side(observations: &dyn Readings, environment: EnvironmentIndex) -> Option<Found<'_>> {
    observations.last(environment, &|boundary| matches!(boundary, Boundary::Final { serving: true, .. }))
}

/// The final reading of the region that does not serve the environment.
pub(super) fn other_side(observations: &dyn Readings, environment: EnvironmentIndex) -> Option<Found<'_>> {
    observations.last(environment, &|boundary| matches!(boundary, Boundary::Final { serving: false, .. }))
}

/// This pass over the region that serves the environment at the end.
pub(super) fn serving(observations: &dyn Readings, environment: EnvironmentIndex, wanted: u8) -> Option<Found<'_>> {
    observations.last(environment, &|boundary| is_pass(boundary, wanted))
}

/// Whether a boundary is this pass over the region that serves at the end.
pub(super) fn is_pass(boundary: &Boundary, wanted: u8) -> bool {
    matches!(boundary, Boundary::Final { pass, serving: true } if *pass == wanted)
}

/// A store whose data the platform destroyed holds nothing of what was acknowledged.
fn whole(reading: &Reading<()>) -> Result<(), String> {
    match reading {
        Reading::Whole(()) | Reading::Destroyed(_) => Ok(()),
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
