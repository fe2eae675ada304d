//! Features as customers find them: what a question brought, and what all the questions of a period come to.

use serde::{Deserialize, Serialize};

use super::{
    RunTime,
    operation::{EnvironmentIndex, Side},
};
use crate::api::reports::{Feature, Report};

/// What came of a question for a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeatureAnswer {
    /// A report.
    Given(Report),
    /// It is not available, in the platform's words.
    Unavailable(String),
    /// Neither: no answer in time, or an error.
    Unanswered(String),
}

/// What customers were answered of one feature while one side served, with or without a support ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeaturePeriod {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Feature.
    pub feature: Feature,
    /// The side that served.
    pub side: Side,
    /// A support ticket was done.
    pub ticket: bool,
    /// When the period began: the switch was seen, or the ticket's end.
    pub began: RunTime,
    /// Questions.
    pub asked: u64,
    /// Of these, those that brought a report.
    pub given: u64,
    /// Those that were answered that there is none to be had.
    pub unavailable: u64,
    /// Those that brought neither.
    pub unanswered: u64,
    /// Reports whose figures are those that were acknowledged.
    pub right: u64,
    /// Reports whose figures are not.
    pub wrong: u64,
    /// Reports that could not be compared.
    pub unchecked: u64,
    /// From the beginning of the period to the first report, seconds.
    pub given_after_s: Option<f64>,
    /// What the last question that was answered brought: a report, or none. `None`: none was answered.
    pub last_given: Option<bool>,
    /// The last reason why there was none.
    pub why: Option<String>,
    /// The first few wrong figures, for a person.
    pub examples: Vec<String>,
    /// Why a report could not be compared.
    pub unchecked_why: Option<String>,
}
