//! A platform's list of what it salvaged, as the examiner fetched it: a claim, kept as `evidence/salvage-<environment>-<n>.json`.

use serde::{Deserialize, Serialize};

use super::{RunTime, operation::EnvironmentIndex};
use crate::api::control::Salvage;

/// One list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SalvageClaim {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// The switch after whose return it was fetched.
    pub event: String,
    /// When it was fetched.
    pub at: RunTime,
    /// The platform's list.
    pub list: Salvage,
}
