//! Guarantee sets: data with a version and a source.

use serde::{Deserialize, Serialize};

use crate::model::promise::Promise;

/// Everything one document promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuaranteeSet {
    /// Version of this file's grammar: 1.
    pub geodrill: u32,
    /// The set's name, which is also the first part of its guarantees' ids.
    pub set: String,
    /// The document's version.
    pub version: String,
    /// The document.
    pub source: String,
    /// What it promises.
    pub guarantees: Vec<Promise>,
}

/// A text that is no guarantee set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Not YAML, or not of this grammar.
    #[error("not a guarantee set: {0}")]
    Grammar(String),
    /// An entry that cannot be judged as it is written.
    #[error("guarantee `{id}`: {why}")]
    Entry {
        /// Its id.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The sets that come with the program.
pub fn sets() -> Vec<GuaranteeSet> {
    const SHIPPED: [&str; 3] = [
        include_str!("../../fixtures/guarantees/dataverse.yaml"),
        include_str!("../../fixtures/guarantees/finops.yaml"),
        include_str!("../../fixtures/guarantees/integrity.yaml"),
    ];
    // They are part of the program, and a test reads every one: none can fail here.
    SHIPPED.iter().filter_map(|text| read(text).ok()).collect()
}

/// The guarantees of all the sets that come with the program.
pub fn promises() -> Vec<Promise> {
    sets().into_iter().flat_map(|set| set.guarantees).collect()
}

/// Reads a set.
pub fn read(text: &str) -> Result<GuaranteeSet, SetError> {
    let set: GuaranteeSet = serde_saphyr::from_str(text).map_err(|error| SetError::Grammar(error.to_string()))?;
    if set.geodrill != 1 {
        return Err(SetError::Grammar(format!("version {} of the grammar is not known", set.geodrill)));
    }
    for (place, promise) in set.guarantees.iter().enumerate() {
        let twice = set.guarantees[..place].iter().any(|earlier| earlier.id == promise.id);
        let of_two = promise.kinds.iter().any(|kind| Some(kind.product()) != promise.product());
        let why = match () {
            () if twice => "it is there twice",
            () if of_two => "its kinds of environment are of two products",
            () if promise.number.is_some() && promise.unit.is_none() => "a number needs a unit",
            () if promise.switch.is_some() && promise.kinds.is_empty() => "a switch is always of an environment",
            () => continue,
        };
        return Err(SetError::Entry { id: promise.id.clone(), why });
    }
    Ok(set)
}
