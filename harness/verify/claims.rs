//! What servers and platform claim of replication, beside what was measured at the same moments.
//!
//! Lags are laid beside the lag sample nearest in time. Bytes of log are laid beside the two positions that were read in the
//! regions themselves. Counts of objects are laid beside the heartbeats that were looked for in vain, just before and just
//! after: a lower bound, so a larger claim is not known to be wrong.

use std::time::Duration;

use super::{input::Input, lag};
use crate::model::{
    RunTime,
    claim::{ClaimCounts, ClaimError, ClaimSample, Claimant, PlatformSays, Spread, SqlSays},
    event::What,
    operation::EnvironmentIndex,
};

/// A lag sample further away than this says nothing of a claim.
const BESIDE: Duration = Duration::from_millis(500);

/// What was said.
enum Said {
    Figure(f64),
    Silent,
    Unanswered,
}

/// What was measured at the moment of a claim.
#[derive(Debug, Default, Clone, Copy)]
struct Measured {
    sql_s: Option<f64>,
    files_s: Option<f64>,
    /// At least so many objects had not arrived.
    missing: Option<f64>,
    behind_bytes: Option<f64>,
}

/// One claim that is followed.
struct Figure {
    by: Claimant,
    claim: &'static str,
    unit: &'static str,
    said: fn(&ClaimSample) -> Said,
    measured: fn(Measured) -> Option<f64>,
}

const OBJECTS: &str = "objects";
const SECONDS: &str = "s";

const FIGURES: [Figure; 11] = {
    use Claimant::{Minio, Platform, Postgres};
    let rows = |measured: Measured| measured.sql_s;
    let files = |measured: Measured| measured.files_s;
    let missing = |measured: Measured| measured.missing;
    let bytes = |measured: Measured| measured.behind_bytes;
    [
        Figure {
            by: Postgres,
            claim: "pg_stat_replication.replay_lag",
            unit: SECONDS,
            said: |sample| answered(serving(sample), |says| says.receiver?.replay_lag_s),
            measured: rows,
        },
        Figure {
            by: Postgres,
            claim: "now() - pg_last_xact_replay_timestamp()",
            unit: SECONDS,
            said: |sample| answered(standby(sample), |says| says.since_replay_s.filter(|_| says.in_recovery)),
            measured: rows,
        },
        Figure {
            by: Postgres,
            claim: "pg_wal_lsn_diff(..., replay_lsn)",
            unit: "bytes",
            said: |sample| answered(serving(sample), |says| says.receiver?.behind_bytes),
            measured: bytes,
        },
        Figure {
            by: Minio,
            claim: "replication queue",
            unit: OBJECTS,
            said: |sample| answered(sample.files, |says| says.queued),
            measured: missing,
        },
        Figure {
            by: Minio,
            claim: "failed, to be retried",
            unit: OBJECTS,
            said: |sample| answered(sample.files, |says| says.laid_aside),
            measured: missing,
        },
        Figure {
            by: Platform,
            claim: "exposure of rows",
            unit: SECONDS,
            said: |s| platform(s, |p| p.sql_s),
            measured: rows,
        },
        Figure {
            by: Platform,
            claim: "exposure of files",
            unit: SECONDS,
            said: |sample| platform(sample, |says| says.files_s),
            measured: files,
        },
        Figure {
            by: Platform,
            claim: "exposure",
            unit: SECONDS,
            said: |sample| platform(sample, |says| says.exposure_s),
            measured: |measured| Some(measured.sql_s?.max(measured.files_s?)),
        },
        Figure {
            by: Platform,
            claim: "log behind",
            unit: "bytes",
            said: |sample| platform(sample, |says| says.sql_behind_bytes),
            measured: bytes,
        },
        Figure {
            by: Platform,
            claim: "files pending",
            unit: OBJECTS,
            said: |sample| platform(sample, |says| says.files_pending),
            measured: missing,
        },
        Figure {
            by: Platform,
            claim: "oldest file pending",
            unit: SECONDS,
            said: |sample| platform(sample, |says| says.files_oldest_s),
            measured: files,
        },
    ]
};

/// The error of every claim about one environment; none if nobody was asked.
pub(super) fn errors(input: &Input<'_>, environment: EnvironmentIndex) -> Vec<ClaimError> {
    let samples: Vec<(RunTime, &ClaimSample)> = (input.events.iter())
        .filter_map(|event| match &event.what {
            What::Claimed(sample) if sample.environment == environment => Some((event.at, sample)),
            _ => None,
        })
        .collect();
    if samples.is_empty() {
        return Vec::new();
    }
    let lags = Lags::of(input, environment);
    let beside: Vec<(Measured, &ClaimSample)> =
        samples.into_iter().map(|(at, sample)| (lags.beside(at, sample), sample)).collect();
    let lag_error_s = lag::error_s(input, environment);
    FIGURES.iter().map(|figure| figure.error(environment, &beside, lag_error_s)).collect()
}

impl Figure {
    fn error(
        &self,
        environment: EnvironmentIndex,
        samples: &[(Measured, &ClaimSample)],
        lag_error_s: f64,
    ) -> ClaimError {
        let at_least = self.unit == OBJECTS;
        let mut counts = ClaimCounts { samples: samples.len() as u64, ..ClaimCounts::default() };
        let (mut claimed, mut measured, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut measured_unsaid_max: Option<f64> = None;
        for (beside, sample) in samples {
            let truth = (self.measured)(*beside);
            match ((self.said)(sample), truth) {
                (Said::Figure(said), Some(truth)) => {
                    counts.compared += 1;
                    let error = said - truth;
                    claimed.push(said);
                    measured.push(truth);
                    errors.push(if at_least { error.min(0.0) } else { error });
                }
                (Said::Figure(_), None) => counts.unmeasured += 1,
                (unsaid, truth) => {
                    match unsaid {
                        Said::Silent => counts.silent += 1,
                        _ => counts.unanswered += 1,
                    }
                    measured_unsaid_max = measured_unsaid_max.into_iter().chain(truth).max_by(f64::total_cmp);
                }
            }
        }
        ClaimError {
            environment,
            by: self.by,
            claim: self.claim.to_owned(),
            unit: self.unit.to_owned(),
            samples: counts,
            claimed: Spread::of(claimed),
            measured: Spread::of(measured),
            error: Spread::of(errors),
            measured_unsaid_max,
            at_least,
            resolution: (self.unit == SECONDS).then_some(lag_error_s),
            why: why(counts),
        }
    }
}

fn why(counts: ClaimCounts) -> Option<String> {
    let why = match counts {
        ClaimCounts { compared: 1.., .. } => return None,
        ClaimCounts { unmeasured: 1.., .. } => "nothing was measured at the moments at which it was said",
        ClaimCounts { silent: 1.., .. } => "it was never said",
        _ => "nobody answered who could have said it",
    };
    Some(why.to_owned())
}

fn answered<T>(says: Option<T>, figure: impl FnOnce(T) -> Option<f64>) -> Said {
    match says.map(figure) {
        None => Said::Unanswered,
        Some(None) => Said::Silent,
        Some(Some(figure)) => Said::Figure(figure),
    }
}

fn platform(sample: &ClaimSample, figure: fn(PlatformSays) -> Option<f64>) -> Said {
    answered(sample.platform, figure)
}

fn serving(sample: &ClaimSample) -> Option<SqlSays> {
    sample.sql[usize::from(sample.serving.0).min(1)]
}

fn standby(sample: &ClaimSample) -> Option<SqlSays> {
    sample.sql[1 - usize::from(sample.serving.0).min(1)]
}

/// Where the log really ends in both regions, as their own servers were asked.
fn behind_bytes(sample: &ClaimSample) -> Option<f64> {
    let written = serving(sample).filter(|says| !says.in_recovery)?.lsn?;
    let replayed = standby(sample).filter(|says| says.in_recovery)?.lsn?;
    // The standby may be asked a little later, and have replayed what was written meanwhile.
    Some(written.saturating_sub(replayed) as f64)
}

/// One sample of lag.
struct LagAt {
    at: RunTime,
    sql_s: Option<f64>,
    files_s: Option<f64>,
    missing: Option<u64>,
}

/// The lag samples of an environment, in the order of time.
struct Lags(Vec<LagAt>);

impl Lags {
    fn of(input: &Input<'_>, environment: EnvironmentIndex) -> Self {
        let lags = input.events.iter().filter_map(|event| match event.what {
            What::Lag { environment: of, sql_s, files_s, files_missing: missing, .. } if of == environment => {
                Some(LagAt { at: event.at, sql_s, files_s, missing })
            }
            _ => None,
        });
        let mut lags: Vec<LagAt> = lags.collect();
        lags.sort_by_key(|lag| lag.at);
        Self(lags)
    }

    fn beside(&self, at: RunTime, sample: &ClaimSample) -> Measured {
        let place = self.0.partition_point(|lag| lag.at < at);
        let near = |lag: &&LagAt| distance(lag.at, at) <= BESIDE;
        let before = place.checked_sub(1).and_then(|place| self.0.get(place)).filter(near);
        let after = self.0.get(place).filter(near);
        let nearest = before.into_iter().chain(after).min_by_key(|lag| distance(lag.at, at));
        let missing = before.zip(after).and_then(|(before, after)| Some(before.missing?.min(after.missing?)));
        Measured {
            sql_s: nearest.and_then(|lag| lag.sql_s),
            files_s: nearest.and_then(|lag| lag.files_s),
            missing: missing.map(|missing| missing as f64),
            behind_bytes: behind_bytes(sample),
        }
    }
}

fn distance(a: RunTime, b: RunTime) -> Duration {
    if a < b { b.since(a) } else { a.since(b) }
}
