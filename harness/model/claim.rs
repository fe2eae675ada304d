//! What servers and the platform say of an environment's replication, sampled while the load runs: claims, laid beside what
//! was measured and never used by a verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{EnvironmentIndex, Side};

/// What was said of one environment at one moment. `None`: whoever should have said it did not answer in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimSample {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// The side that clients were acknowledged by last.
    pub serving: Side,
    /// Each side's Postgres, by the number of the side.
    pub sql: [Option<SqlSays>; 2],
    /// The file store of the serving side.
    pub files: Option<FilesSays>,
    /// The platform.
    pub platform: Option<PlatformSays>,
}

/// What a Postgres says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SqlSays {
    /// It is a standby.
    pub in_recovery: bool,
    /// Where its log ends, in bytes: as written by a primary, as replayed by a standby.
    pub lsn: Option<u64>,
    /// The standby that it streams to and that is furthest; `None`: nobody streams from it.
    pub receiver: Option<ReceiverView>,
    /// `now() - pg_last_xact_replay_timestamp()`, seconds: grows while nothing is written.
    pub since_replay_s: Option<f64>,
}

/// A row of `pg_stat_replication`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ReceiverView {
    /// `replay_lag`, seconds; NULL once everything has been replayed for a while.
    pub replay_lag_s: Option<f64>,
    /// `pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)`, bytes.
    pub behind_bytes: Option<f64>,
}

/// What a MinIO says of the replication of one bucket (`?replication-metrics=2`); everything is `None` if it has no rule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct FilesSays {
    /// Objects in its queue now. What has failed is in it no more.
    pub queued: Option<f64>,
    /// Objects that it laid aside to be tried again when it last looked, every five minutes or so; of all its buckets.
    pub laid_aside: Option<f64>,
}

/// What the platform says of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PlatformSays {
    /// How much would be lost if the serving region were, seconds.
    pub exposure_s: Option<f64>,
    /// Of rows alone.
    pub sql_s: Option<f64>,
    /// Of files alone.
    pub files_s: Option<f64>,
    /// Bytes of log by which the standby is behind.
    pub sql_behind_bytes: Option<f64>,
    /// Objects that the other region is not known to have.
    pub files_pending: Option<f64>,
    /// Age of the oldest of them, seconds.
    pub files_oldest_s: Option<f64>,
}

/// Who claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Claimant {
    /// Postgres' views and functions.
    Postgres,
    /// MinIO's counters.
    Minio,
    /// The platform's API.
    Platform,
}

impl Claimant {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Minio => "minio",
            Self::Platform => "platform",
        }
    }
}

/// One claim over a whole run, beside what was measured at the same moments, and how far it was off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimError {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Who says it.
    pub by: Claimant,
    /// What it is called by whoever says it.
    pub claim: String,
    /// Unit of every figure.
    pub unit: String,
    /// How often, and what came of it.
    pub samples: ClaimCounts,
    /// What was said, where it was compared.
    pub claimed: Option<Spread>,
    /// What was measured beside it.
    pub measured: Option<Spread>,
    /// Claimed − measured; negative is too good.
    pub error: Option<Spread>,
    /// The largest that was measured while it said nothing, or did not answer.
    pub measured_unsaid_max: Option<f64>,
    /// What was measured is a lower bound: a claim above it is not known to be wrong, and has no error.
    pub at_least: bool,
    /// What was measured is itself uncertain by this much.
    pub resolution: Option<f64>,
    /// Why nothing could be compared.
    pub why: Option<String>,
}

/// The books of one claim: `samples = compared + silent + unanswered + unmeasured`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimCounts {
    /// Times it was asked for.
    pub samples: u64,
    /// Of these said, and measured too.
    pub compared: u64,
    /// Answered without saying it: NULL, no row, no rule.
    pub silent: u64,
    /// Not answered in time.
    pub unanswered: u64,
    /// Said, and nothing of our own to lay beside it.
    pub unmeasured: u64,
}

/// How a figure is spread over its samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half of them are no larger.
    pub median: f64,
    /// The one furthest from zero, with its sign.
    pub worst: f64,
}

impl Spread {
    /// Of these; `None` of none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let median = *figures.get(figures.len().div_ceil(2).checked_sub(1)?)?;
        let worst = figures.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
        Some(Self { median, worst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_spread_is_furthest_from_zero() {
        let check = |figures: &[f64], expected: Option<(f64, f64)>| {
            let spread = Spread::of(figures.to_vec()).map(|spread| (spread.median, spread.worst));
            assert_eq!(spread, expected, "{figures:?}");
        };
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0)));
        check(&[1.0, -5.0, 4.0], Some((1.0, -5.0)));
        check(&[1.0, 2.0, 3.0, 4.0], Some((2.0, 4.0)));
    }
}
