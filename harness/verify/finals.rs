//! What the last readings come to, before anything is laid beside the ledger: whether both passes over the serving side
//! agree, and what one region has that the other lacks.

use super::{passes::Print, readings, regions};
use crate::{
    ledger::{Fetched, Readings},
    model::{event::Event, measure::RegionsCompared, operation::EnvironmentIndex},
};

/// What the last readings of each environment come to.
#[derive(Debug, Default)]
pub struct Finals(Vec<Final>);

/// Of one environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Final {
    /// The second pass over the serving side.
    pub second: Option<Print>,
    /// Both sides.
    pub compared: Option<RegionsCompared>,
}

impl Finals {
    /// Lays the last readings of this many environments side by side. It needs nothing of the ledger and takes about as
    /// long as to read that, so the two can be done at once.
    pub fn of(environments: usize, events: &[Event], observations: &dyn Readings) -> Self {
        let environments = u16::try_from(environments).unwrap_or(u16::MAX);
        let each = (0..environments).map(|place| Final::of(EnvironmentIndex(place), events, observations));
        Self(each.collect())
    }

    pub(super) fn last(&self, environment: EnvironmentIndex) -> Final {
        self.0.get(usize::from(environment.0)).cloned().unwrap_or_default()
    }
}

impl Final {
    fn of(environment: EnvironmentIndex, events: &[Event], observations: &dyn Readings) -> Self {
        let fetched = readings::serving_side(observations, environment);
        let last = fetched.as_ref().map(Fetched::observation);
        let second = match last.as_ref().filter(|seen| readings::is_pass(&seen.boundary, 2)) {
            Some(second) => Some(Print::of(second)),
            None => readings::serving(observations, environment, 2).map(|second| Print::of(&second.observation())),
        };
        let Some(direction) = regions::direction(events, environment) else { return Self { second, compared: None } };
        let here = regions::sum(last.as_ref());
        drop(last);
        drop(fetched);
        let compared = Some(regions::compare(observations, environment, direction, here));
        Self { second, compared }
    }
}
