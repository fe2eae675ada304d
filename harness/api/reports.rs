//! Features: what a production environment offers its customers beside its stores, and how a customer asks for it.
//!
//! A customer asks with `GET` at the door for reading files, under [`PATH`]: `/$reports/financial-reporting` or
//! `/$reports/power-bi`, with the reader's secret as bearer (no bucket's name begins with `$`, so no bucket is hidden). It is
//! thus led, let in, counted and cut like every other reading. Answers:
//!
//! | status | body |
//! |---|---|
//! | 200 | [`Report`] |
//! | 401 | [`super::control::Refusal`]: not the reader's secret |
//! | 404 | the same: there is no such report |
//! | 409 | the same: the feature is not available here, with the reason |
//! | 500, 503 | the same: it should be, and cannot be had just now |
//!
//! What is reported is found by convention, like references to files: every table with the columns `account` and `amount`
//! (whole numbers both) holds postings, and an account's balance is their sum.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the path of a question begins; the feature's name follows.
pub const PATH: &str = "/$reports/";

/// The features of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Financial Reporting: balances, computed from the environment's SQL when they are asked for.
    FinancialReporting,
    /// Power BI reporting: the same figures out of a reporting copy, which the home region alone has.
    PowerBi,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 2] = [Self::FinancialReporting, Self::PowerBi];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FinancialReporting => "financial-reporting",
            Self::PowerBi => "power-bi",
        }
    }

    /// Its name as people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::FinancialReporting => "Financial Reporting",
            Self::PowerBi => "Power BI reporting",
        }
    }

    /// Whether a support ticket restores it away from home.
    pub fn is_restored_by_ticket(self) -> bool {
        self == Self::FinancialReporting
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

/// Whether a feature is available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureStatus {
    /// Which.
    pub feature: Feature,
    /// `None`: it is available; else why it is not.
    pub unavailable: Option<String>,
}

/// The figures of one moment: of one snapshot of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How old they are when they are sent, milliseconds: the snapshot was no earlier. Those of Financial Reporting were made after
    /// the question had come.
    pub age_ms: u64,
    /// Every account that has postings, by number.
    pub accounts: Vec<AccountFigures>,
}

/// The figures of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountFigures {
    /// Its number.
    pub account: i64,
    /// How many postings it has.
    pub postings: u64,
    /// Their sum.
    pub balance: i64,
}
