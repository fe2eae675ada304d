//! What the last readings come to, before anything is laid beside the ledger: whether both passes over the serving side
//! agree, and what one region has that the other lacks.

use super::{passes::Print, readings, regions};
use crate::{
    ledger::Readings,
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
        let serving = readings::serving_side(observations, environment);
        let here = serving.as_ref().map(Print::of);
        let second = match &serving {
            Some(last) if readings::is_pass(&last.head().boundary, 2) => here.clone(),
            _ => readings::serving(observations, environment, 2).map(|second| Print::of(&second)),
        };
        let compared = regions::direction(events, environment).map(|direction| {
            let other = readings::other_side(observations, environment);
            regions::compare(environment, direction, serving.as_ref().zip(here), other.as_ref())
        });
        // One that cannot be gone through spoils the whole judgement, whatever this says then.
        Self { second: second.and_then(Result::ok), compared }
    }
}
