//! Replication lag, as the examiner sampled it.

use std::time::Duration;

use super::{input::Input, timeline::Switch};
use crate::model::{
    RunTime,
    event::What,
    measure::Lag,
    operation::{EnvironmentIndex, Store},
};

/// The time before a fault whose largest lag is its dose.
const DOSE_WINDOW: Duration = Duration::from_secs(1);

/// The lag of each store of an environment while a replica was due; none without a sample.
pub(super) fn statistics(input: &Input<'_>, environment: EnvironmentIndex) -> Vec<Lag> {
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for event in input.events {
        if let What::Lag { environment: of, sql_s, files_s, due, .. } = event.what
            && of == environment
            && due
        {
            rows.extend(sql_s);
            objects.extend(files_s);
        }
    }
    let error_s = error_s(input, environment);
    let of = |store, mut samples: Vec<f64>| {
        samples.sort_unstable_by(f64::total_cmp);
        let max_s = *samples.last()?;
        let (p50_s, p99_s) = (rank(&samples, 50), rank(&samples, 99));
        Some(Lag { environment, store, samples: samples.len() as u64, p50_s, p99_s, max_s, error_s })
    };
    [of(Store::Sql, rows), of(Store::Files, objects)].into_iter().flatten().collect()
}

/// The error of each sample: the heartbeat's period and the sampler's.
pub(super) fn error_s(input: &Input<'_>, environment: EnvironmentIndex) -> f64 {
    let times = input.events.iter().filter_map(|event| match event.what {
        What::Lag { environment: of, .. } if of == environment => Some(event.at),
        _ => None,
    });
    input.probe_period.as_secs_f64() + poll_period(&times.collect::<Vec<_>>())
}

/// How far the other side was behind when the fault took effect: the largest lag sampled in the second before it.
pub(super) fn dose(input: &Input<'_>, environment: EnvironmentIndex, switch: &Switch) -> Option<f64> {
    let from = RunTime(switch.began.0.saturating_sub(RunTime::from_duration(DOSE_WINDOW).0));
    let samples = input.events.iter().filter(|event| event.at >= from && event.at <= switch.began);
    let lags = samples.filter_map(|event| match event.what {
        What::Lag { environment: of, sql_s, files_s, .. } if of == environment => Some([sql_s, files_s]),
        _ => None,
    });
    lags.flatten().flatten().max_by(f64::total_cmp)
}

/// The usual time between two samples: half of the intervals are no longer.
fn poll_period(times: &[RunTime]) -> f64 {
    let mut intervals: Vec<f64> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
    intervals.sort_unstable_by(f64::total_cmp);
    if intervals.is_empty() { 0.0 } else { rank(&intervals, 50) }
}

/// The nearest-rank percentile of sorted, non-empty samples.
fn rank(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}
