//! The contract as JSON schema.

use super::Report;

/// The schema of `report.json`; the committed copy is `fixtures/schema/report.json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}
