//! What verification is given, and its one door.

use std::{cell::LazyCell, collections::BTreeMap, time::Duration};

use super::{
    claims,
    environment::{self, Owed},
    finals::Finals,
};
use crate::{
    ledger::{History, Readings},
    model::{
        EnvironmentId, RunTime,
        event::{Event, What},
        measure::Measures,
        operation::EnvironmentIndex,
        salvage::SalvageClaim,
    },
};

/// Everything that the verdict of a run can rest on; all of it is in the run's folder.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The run that issued the tokens.
    pub run: u32,
    /// The environments, in the order of the scenario; the platform's claims name them.
    pub environments: &'a [EnvironmentId],
    /// What was intended, and what clients were told.
    pub history: &'a History,
    /// What happened, in order.
    pub events: &'a [Event],
    /// What was read past the platform; fetched one after another, so that a long run's need not all be in memory.
    pub observations: &'a dyn Readings,
    /// What the platform says it salvaged.
    pub salvages: &'a [SalvageClaim],
    /// Period of every probe.
    pub probe_period: Duration,
    /// Hard deadline of every operation.
    pub deadline: Duration,
    /// What each seeded account held before the first transfer.
    pub account_balance: i64,
    /// The end of the run's load, or later: nothing that clients saw came after it.
    pub end: RunTime,
}

/// Says everything that can be said of a run. `finals`: what its last readings come to; it is asked once, when everything
/// that can be said without has been.
pub fn verify(input: &Input<'_>, finals: impl FnOnce() -> Finals) -> Measures {
    let finals = LazyCell::new(finals);
    let mut measures = Measures::default();
    let environments = u16::try_from(input.environments.len()).unwrap_or(u16::MAX);
    // What production had lost by then a copy of it does not owe: production is judged first.
    let (copies, own): (Vec<_>, Vec<_>) = (0..environments)
        .map(|place| (EnvironmentIndex(place), copied_from(input.events, EnvironmentIndex(place))))
        .partition(|(_, source)| source.is_some());
    let mut judged = BTreeMap::new();
    for (environment, source) in own.into_iter().chain(copies) {
        let owed = source.map(|source| Owed { source, past: judged.get(&source).cloned().unwrap_or_default() });
        let last = || finals.last(environment);
        let past = environment::verify(input, environment, owed.as_ref(), &last, &mut measures);
        judged.insert(environment, past);
        measures.claims.extend(claims::errors(input, environment));
    }
    measures
}

/// The environment of which this one holds a copy at the end.
fn copied_from(events: &[Event], of: EnvironmentIndex) -> Option<EnvironmentIndex> {
    events.iter().rev().find_map(|event| match event.what {
        What::Copied { environment, source, .. } if environment == of => Some(source),
        _ => None,
    })
}
