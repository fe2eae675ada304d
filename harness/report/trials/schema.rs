//! The contract as JSON schema.

use super::Statistics;

/// The schema of `trials.json`; the committed copy is `fixtures/schema/trials.json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Statistics).to_value()
}
