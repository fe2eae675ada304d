//! `trials.json`, as it stands on disk.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::verdict::Verdict;

/// Name and version of the contract.
pub const CONTRACT: &str = "geodrill.trials/1";

/// What the trials of one scenario say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// `geodrill.trials/1`.
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// The testbed.
    pub testbed: String,
    /// The seed that the trials' seeds were derived from.
    pub seed: u64,
    /// How many trials were asked for.
    pub asked: u32,
    /// How many were run side by side, at most.
    pub at_once: u32,
    /// They were interrupted: only trials that had ended by then are here.
    pub interrupted: bool,
    /// Seconds below which the phase of each fault and order was drawn: the longest of the platform's periodic timers.
    pub phases_below_s: f64,
    /// The worst verdict of a trial; inconclusive if none has ended.
    pub verdict: Verdict,
    /// Verdicts of the trials.
    pub verdicts: VerdictCounts,
    /// Every trial that has ended, by number.
    pub trials: Vec<TrialRow>,
    /// Every guarantee and measure, in each environment and event.
    pub guarantees: Vec<StatisticsRow>,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialRow {
    /// Its number, from 1.
    pub number: u32,
    /// Seed of its load and of its phases.
    pub seed: u64,
    /// Its verdict; a trial without a report is inconclusive.
    pub verdict: Verdict,
    /// What brought it about, if it is not held.
    pub reasons: Vec<String>,
    /// The run's folder; `null`: it brought no report.
    pub folder: Option<String>,
    /// The phase of each fault and order, seconds, by step.
    pub phases_s: BTreeMap<String, f64>,
    /// The command that repeats it alone.
    pub repeat: String,
}

/// How often each verdict came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictCounts {
    /// Held, and exercised.
    pub held: u64,
    /// Held, but the dose did not exceed the tested bound: not exercised.
    pub not_stressed: u64,
    /// Violated.
    pub violated: u64,
    /// Inconclusive; trials without a report, or without the event, among them.
    pub inconclusive: u64,
    /// Only reported: nothing is judged.
    pub reported: u64,
}

/// One guarantee, or measure, in one environment and event, over the trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatisticsRow {
    /// Its id.
    pub id: String,
    /// The environment, if it is judged for each.
    pub environment: Option<String>,
    /// The event, if it is judged for each.
    pub event: Option<String>,
    /// The scenario's `expect` names it.
    pub expected: bool,
    /// What the scenario wants to come out.
    pub wanted: Verdict,
    /// The documented bound.
    pub documented: Option<f64>,
    /// The bound that was tested.
    pub tested: Option<f64>,
    /// Unit of bounds and figures.
    pub unit: Option<String>,
    /// Verdicts; they sum to the trials.
    pub verdicts: VerdictCounts,
    /// Of what either holds or does not, or must be zero: what the trials say of its failure rate. `null` for other
    /// guarantees, and without a conclusive trial.
    pub failure_rate: Option<FailureRate>,
    /// What was measured. `null`: nothing was.
    pub figures: Option<Figures>,
}

/// What so few failures in so many trials say of the rate of failure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureRate {
    /// Conclusive trials: held and exercised, or violated.
    pub trials: u64,
    /// Those that were violated.
    pub failures: u64,
    /// Upper bound of the rate, 0 to 1, at this confidence, one-sided (exact, of Clopper and Pearson).
    pub at_most: f64,
    /// 0.95.
    pub confidence: f64,
}

/// What was measured over the trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Every figure, by the trial's number.
    pub points: Vec<Point>,
    /// Of the conclusive ones. `null`: there is none.
    pub summary: Option<Summary>,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The trial's number.
    pub trial: u32,
    /// What was measured.
    pub value: f64,
    /// The trial's verdict on it is not inconclusive: it counts in the summary.
    pub conclusive: bool,
}

/// Figures in short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Smallest.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Largest.
    pub max: f64,
    /// 95th of a hundred; `null` under 59 figures, of which none need be above it.
    pub p95: Option<f64>,
}
