//! Replication lag, as the examiner sampled it.

use std::time::Duration;

use super::{
    input::Input,
    rate,
    timeline::{Ack, Switch},
};
use crate::model::{
    RunTime,
    event::{Event, What, last_faults},
    fault::Fault,
    measure::Lag,
    operation::{EnvironmentIndex, Store},
};

/// The time before a fault whose largest lag is its dose.
const DOSE_WINDOW: Duration = Duration::from_secs(1);

/// The lag of each store of an environment while a replica was due; none without a sample. `load`: the acknowledgements of its
/// writers.
pub(super) fn statistics(input: &Input<'_>, environment: EnvironmentIndex, load: &[Ack]) -> Vec<Lag> {
    let error_s = error_s(input, environment);
    [Store::Sql, Store::Files]
        .into_iter()
        .filter_map(|store| {
            let samples = samples(input, environment, store);
            let mut sorted: Vec<f64> = samples.iter().filter_map(|(_, lag_s)| *lag_s).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let max_s = *sorted.last()?;
            let (p50_s, p99_s) = (rank(&sorted, 50), rank(&sorted, 99));
            let unguarded_s = max_s.max(unguarded(input, &samples, error_s, load));
            Some(Lag { environment, store, samples: sorted.len() as u64, p50_s, p99_s, max_s, unguarded_s, error_s })
        })
        .collect()
}

/// When a store was sampled, and its lag; `None` while no replica was due. What could not be sampled is left out.
fn samples(input: &Input<'_>, environment: EnvironmentIndex, store: Store) -> Vec<(RunTime, Option<f64>)> {
    let of = |event: &Event| match event.what {
        What::Lag { environment: of, sql_s, files_s, due, .. } if of == environment => {
            let lag_s = if store == Store::Sql { sql_s } else { files_s };
            if due { lag_s.map(|lag_s| (event.at, Some(lag_s))) } else { Some((event.at, None)) }
        }
        _ => None,
    };
    input.events.iter().filter_map(of).collect()
}

/// How far the other side would have been behind at the end of a narrow link, had no write been held off: the largest of
/// them. A link that carries two thirds of what was written before falls a third of the time behind, for as long as it is
/// narrow. What it carries was measured while the other side was behind, since then it had something to carry all the time.
fn unguarded(input: &Input<'_>, samples: &[(RunTime, Option<f64>)], error_s: f64, load: &[Ack]) -> f64 {
    let narrow =
        last_faults(input.events).into_iter().filter(|record| matches!(record.fault, Fault::LinkBandwidth { .. }));
    let times = narrow.filter_map(|record| Some((record.effective?, record.healed.unwrap_or(input.end))));
    let behind = times.filter_map(|(from, until)| {
        let within = samples.iter().filter(|(at, _)| (from..=until).contains(at));
        let within: Vec<(RunTime, f64)> = within.map(|(at, lag_s)| Some((*at, (*lag_s)?))).collect::<Option<_>>()?;
        let busy = within.windows(2).filter(|pair| pair[1].1 > error_s);
        let busy_s: f64 = busy.map(|pair| pair[1].0.since(pair[0].0).as_secs_f64()).sum();
        let (last, lag_s) = within.last()?;
        let carried = RunTime(last.0.saturating_sub(RunTime::from_duration(Duration::from_secs_f64(*lag_s)).0));
        let written = rate::before(load, from)? * busy_s;
        let share = rate::between(load, from, carried).len() as f64 / written;
        (written > 0.0).then(|| until.since(from).as_secs_f64() * (1.0 - share))
    });
    behind.fold(0.0, f64::max)
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
