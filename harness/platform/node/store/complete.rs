//! What a node of the zone's store missed while it was away.
//!
//! A store of several nodes keeps each object in parts, of which it can do without as many as one node holds. What is written
//! while a node is away lacks that node's parts, and MinIO makes up for them when it next comes by, which may take days: if
//! another node is lost before, half of the parts are gone, and nobody is given the object (seen with RELEASE.2026-02-12: 60 of
//! 900 unreadable, 45 s after the first node's return).

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::{
    Listing, Store, StoreError,
    mc::{Call, OWN},
};

/// Longest one round through a bucket may take.
const WITHIN: Duration = Duration::from_secs(180);

/// How often those are gone through again that lacked a part afterwards, if they are few.
const AGAIN: usize = 3;
/// So many.
const FEW: usize = 20;
/// Before that.
const PAUSE: Duration = Duration::from_secs(1);

impl Store {
    /// Goes through the store and makes up for every part that is missing, of its own settings and users first; then has it take up
    /// again what it was about to replicate of a bucket.
    ///
    /// What a bucket's own settings are (its versioning, its rule) is gone through by nothing that MinIO offers, and a node that starts
    /// anew without enough parts of it takes the bucket for one that has none: it replicates nothing any more (seen with
    /// RELEASE.2026-02-12, after the rule had been made anew while one zone was away, and another hung). They are written once more.
    ///
    /// # Errors
    /// [`StoreError`]; also while a drive is away, whose parts could not be made.
    pub async fn complete(&self, bucket: &str) -> Result<(), StoreError> {
        let info = self.mc.run(Call { arguments: &["admin", "info", OWN], ..Call::default() }).await?;
        if !info.iter().any(is_all_there) {
            return Err(StoreError::Order("a drive of the store is away".to_owned()));
        }
        let mut lacking = self.heal(OWN).await?;
        // What was being written or removed just then. To go through everything again for it would take as long again.
        for _ in 0..AGAIN {
            if lacking.is_empty() || lacking.len() > FEW {
                break;
            }
            sleep(PAUSE).await;
            let mut still = BTreeSet::new();
            for name in &lacking {
                still.append(&mut self.heal(&format!("{OWN}/{name}")).await?);
            }
            lacking = still;
        }
        if let Some(name) = lacking.first() {
            return Err(StoreError::Order(format!("{name} lacks a part still, as do {} others", lacking.len() - 1)));
        }
        self.version(bucket).await?;
        self.take_up(bucket).await
    }

    /// Goes through everything or what begins with this name; returns the objects that lack a part afterwards.
    async fn heal(&self, target: &str) -> Result<BTreeSet<String>, StoreError> {
        let arguments = ["admin", "heal", "--recursive", target];
        let answers = self.mc.run(Call { arguments: &arguments, within: Some(WITHIN), ..Call::default() }).await?;
        if !answers.iter().any(|answer| answer["type"] == "summary") {
            return Err(StoreError::Order(format!("{target} was not gone through to its end")));
        }
        let lacking = answers.iter().filter(|item| lacks(item)).filter_map(|item| item["name"].as_str());
        Ok(lacking.map(str::to_owned).collect())
    }

    /// Has the store take up again what it was about to replicate: which that is is forgotten by a node that is started anew, and
    /// found again, as far as a bucket is listed, by what each version says of itself.
    ///
    /// # Errors
    /// [`StoreError::Call`].
    pub(super) async fn take_up(&self, bucket: &str) -> Result<(), StoreError> {
        let mut listing = Listing::new(&self.own, bucket);
        while listing.next().await?.is_some() {}
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
