//! Verdicts and their precedence.

use serde::{Deserialize, Serialize};

/// The verdict of one guarantee or of a run. Ordered from best to worst, so the worst of several is their maximum:
/// *violated > inconclusive > held*. One proven counter-example stands, whatever else failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Only typical, or only allowed: the figure is told, nothing is judged.
    Reported,
    /// Proven to hold in this run.
    Held,
    /// Neither proven nor disproven.
    Inconclusive,
    /// Disproven by at least one observation.
    Violated,
}

impl Verdict {
    /// As reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Held => "held",
            Self::Inconclusive => "inconclusive",
            Self::Violated => "violated",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The verdict of one guarantee in one environment and event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Guarantee id, or the name of a measure that the scenario expects something of.
    pub id: String,
    /// Environment, if it is judged for each.
    pub environment: Option<String>,
    /// Event id, if it is judged for each.
    pub event: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the run could have shown otherwise: the dose exceeded the tested bound. `None` where no bound is judged.
    pub stressed: Option<bool>,
    /// The documented bound.
    pub documented: Option<f64>,
    /// The bound tested here, at most the documented one.
    pub tested: Option<f64>,
    /// What was measured.
    pub measured: Option<f64>,
    /// How many operations, marks or samples are behind it.
    pub count: Option<u64>,
    /// Unit of the three figures: `s`, `operations`, ...
    pub unit: Option<String>,
    /// Why it is not simply held.
    pub why: Option<String>,
    /// The scenario's `expect` names it: it counts for the run's verdict. So do all of `integrity.*`.
    pub expected: bool,
    /// What the scenario expects to come out; differs from `held` for sabotage and tampering.
    pub wanted: Verdict,
}
