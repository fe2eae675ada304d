//! What verification is given, and its one door.

use std::{cell::LazyCell, time::Duration};

use super::{claims, environment, finals::Finals, lag};
use crate::{
    ledger::{History, Readings},
    model::{
        EnvironmentId, RunTime, event::Event, measure::Measures, operation::EnvironmentIndex, salvage::SalvageClaim,
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
    for environment in (0..environments).map(EnvironmentIndex) {
        environment::verify(input, environment, &|| finals.last(environment), &mut measures);
        measures.lags.extend(lag::statistics(input, environment));
        measures.claims.extend(claims::errors(input, environment));
    }
    measures
}
