//! Triggers by what the examiner itself measures: replication lag, and writes acknowledged. Neither asks the platform.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::recorder::Recorder;
use crate::{
    model::{
        event::{Event, What},
        operation::{EnvironmentIndex, Store},
        plan::EnvironmentPlan,
    },
    workload::Gauge,
};

/// Between two looks at a count.
const PERIOD: Duration = Duration::from_millis(5);

/// Waits until a sample shows that a replica is at least so far behind. What was measured before this is called does not
/// count: lag is a state, and what it was is no reason to act now.
///
/// # Errors
/// What was measured instead, until the limit.
pub(super) async fn lag(
    recorder: &Recorder,
    environment: EnvironmentIndex,
    store: Store,
    at_least: Duration,
    limit: Instant,
) -> Result<(), String> {
    let armed = recorder.mark();
    let reached = |events: &[Event]| {
        samples(&events[armed..], environment, store).any(|lag_s| lag_s >= at_least.as_secs_f64()).then_some(())
    };
    if recorder.until(limit, reached).await.is_some() {
        return Ok(());
    }
    let largest = recorder.look(|events| samples(&events[armed..], environment, store).reduce(f64::max));
    let measured = largest.map_or_else(|| "no lag was measured".to_owned(), |lag_s| format!("{lag_s:.3} s at most"));
    Err(format!("{measured}, and {} s was waited for", at_least.as_secs_f64()))
}

/// Lag of one store, seconds, wherever it could be measured.
fn samples(events: &[Event], wanted: EnvironmentIndex, store: Store) -> impl Iterator<Item = f64> {
    events.iter().filter_map(move |event| match (&event.what, store) {
        (What::Lag { environment, sql_s, .. }, Store::Sql) if *environment == wanted => *sql_s,
        (What::Lag { environment, files_s, .. }, Store::Files) if *environment == wanted => *files_s,
        _ => None,
    })
}

/// Writes acknowledged since a moment.
pub(super) struct Counter {
    gauge: Gauge,
    /// What had been acknowledged by then, of each environment.
    before: Vec<u64>,
}

impl Counter {
    /// From now on, of these environments.
    pub(super) fn start(gauge: Gauge, environments: &[EnvironmentPlan]) -> Self {
        let indices = (0..).take(environments.len()).map(EnvironmentIndex);
        let before = indices.map(|index| gauge.acked(Some(index))).collect();
        Self { gauge, before }
    }

    /// How many of one environment, or of all.
    fn acked(&self, environment: Option<EnvironmentIndex>) -> u64 {
        let before = match environment {
            Some(index) => self.before[usize::from(index.0)],
            None => self.before.iter().sum(),
        };
        self.gauge.acked(environment) - before
    }

    /// Waits until there are so many.
    ///
    /// # Errors
    /// How many there are at the limit.
    pub(super) async fn until(
        &self,
        environment: Option<EnvironmentIndex>,
        wanted: u64,
        limit: Instant,
    ) -> Result<(), String> {
        loop {
            let acked = self.acked(environment);
            if acked >= wanted {
                return Ok(());
            }
            if Instant::now() >= limit {
                return Err(format!("{acked} of {wanted} writes were acknowledged"));
            }
            sleep(PERIOD).await;
        }
    }
}
