//! What a node of the zone's store missed while it was away.
//!
//! A store of several nodes keeps each object in parts, of which it can do without as many as one node holds. What is written
//! while a node is away lacks that node's parts, and MinIO makes up for them when it next comes by, which may take days: if
//! another node is lost before, half of the parts are gone, and nobody is given the object (seen with RELEASE.2026-02-12: 60 of
//! 900 unreadable, 45 s after the first node's return).

use std::time::Duration;

use serde_json::Value;

use super::{
    Store, StoreError,
    mc::{Call, OWN},
};

/// Longest one round through a bucket may take.
const WITHIN: Duration = Duration::from_secs(180);

impl Store {
    /// Goes through a bucket and makes up for every part that is missing.
    ///
    /// # Errors
    /// [`StoreError`]; also while a drive is away, whose parts could not be made.
    pub async fn complete(&self, bucket: &str) -> Result<(), StoreError> {
        let info = self.mc.run(Call { arguments: &["admin", "info", OWN], ..Call::default() }).await?;
        if !info.iter().any(is_all_there) {
            return Err(StoreError::Order("a drive of the store is away".to_owned()));
        }
        let target = format!("{OWN}/{bucket}");
        let arguments = ["admin", "heal", "--recursive", &target];
        let answers = self.mc.run(Call { arguments: &arguments, within: Some(WITHIN), ..Call::default() }).await?;
        if let Some(item) = answers.iter().find(|item| lacks(item)) {
            return Err(StoreError::Order(format!("{} lacks a part still", item["name"].as_str().unwrap_or("it"))));
        }
        if !answers.iter().any(|answer| answer["type"] == "summary") {
            return Err(StoreError::Order(format!("{target} was not gone through to its end")));
        }
        Ok(())
    }
}

/// Whether the nodes of a store see all of its drives, as one of them says.
fn is_all_there(said: &Value) -> bool {
    let is_ok = |of: &Value, state: &str| of["state"] == state;
    let has_all = |server: &Value| {
        let drives = server["drives"].as_array();
        is_ok(server, "online") && drives.is_some_and(|drives| drives.iter().all(|drive| is_ok(drive, "ok")))
    };
    said["info"]["servers"].as_array().is_some_and(|servers| !servers.is_empty() && servers.iter().all(has_all))
}

/// Whether something lacks a part after it has been gone through.
fn lacks(item: &Value) -> bool {
    let count = |of: &str| item["after"][of].as_u64().unwrap_or(0);
    count("offline") + count("missing") + count("corrupted") > 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_store_is_all_there_when_every_drive_of_every_node_is() {
        let server = |state: &str, drives: [&str; 2]| json!({"state": state, "drives": drives.map(|state| json!({"state": state}))});
        let said = |servers: Vec<Value>| is_all_there(&json!({"info": {"servers": servers}}));
        let whole = server("online", ["ok", "ok"]);
        assert!(said(vec![whole.clone(), whole.clone()]));
        assert!(!said(vec![whole.clone(), server("offline", ["offline", "offline"])]));
        assert!(!said(vec![whole, server("online", ["ok", "offline"])]));
        assert!(!said(vec![]));
        assert!(!is_all_there(&json!({"status": "success"})));
    }

    #[test]
    fn a_part_is_lacking_where_a_drive_is_away_or_has_none() {
        let item = |offline: u64, missing: u64| {
            json!({"type": "object", "before": {"offline": 0, "missing": 2},
                   "after": {"offline": offline, "missing": missing, "corrupted": 0}})
        };
        assert!(!lacks(&item(0, 0)));
        assert!(lacks(&item(2, 0)));
        assert!(lacks(&item(0, 1)));
        assert!(!lacks(&json!({"type": "summary", "objects_scanned": 3})));
    }
}
