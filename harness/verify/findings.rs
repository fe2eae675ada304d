//! Findings against integrity, with a few examples for a person.

use crate::model::{
    measure::{Finding, Integrity},
    operation::{EnvironmentIndex, Store},
};

/// Examples told of one finding.
const EXAMPLES_MAX: usize = 5;

/// Collects the findings of one environment and event.
pub(super) struct Findings<'a> {
    pub environment: EnvironmentIndex,
    pub event: &'a str,
    pub into: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    /// Adds a finding with this count, unless it is 0.
    pub fn add(
        &mut self,
        id: Integrity,
        store: impl Into<Option<Store>>,
        count: u64,
        examples: impl IntoIterator<Item = String>,
    ) {
        if count > 0 {
            self.into.push(Finding {
                id,
                environment: self.environment,
                event: self.event.to_owned(),
                store: store.into(),
                count,
                examples: examples.into_iter().take(EXAMPLES_MAX).collect(),
            });
        }
    }
}
