//! What a node of the zone's store missed while it was away.
//!
//! A store of several nodes keeps each object in parts, of which it can do without as many as one node holds. What is written
//! while a node is away lacks that node's parts, and MinIO makes up for them when it next comes by, which may take days: if
//! another node is lost before, half of the parts are gone, and nobody is given the object (seen with RELEASE.2026-02-12: 60 of
//! 900 unreadable, 45 s after the first node's return).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tokio::time::sleep;

use super::{
    Listing, Store, StoreError,
    mc::{Call, OWN},
};

/// How long every node has to have stood at first. One that was frozen may have been told to start anew meanwhile, and does so once it
/// wakes: what is gone through just then lacks that node's parts still.
const STOOD: Duration = Duration::from_secs(8);
/// A node tells how long it stands in whole seconds, and is asked over a call that takes a while.
const ROUNDED: Duration = Duration::from_secs(2);

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
    /// [`StoreError`]; also while a drive is away, whose parts could not be made, or a node has only just started.
    pub async fn complete(&self, bucket: &str) -> Result<(), StoreError> {
        let before = self.standing().await?;
        sleep(STOOD).await;
        if !stood_on(&before, &self.standing().await?) {
            return Err(StoreError::Order("a node of the store has started anew just now".to_owned()));
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

    /// How long each node stands, if all drives are there.
    async fn standing(&self) -> Result<BTreeMap<String, Duration>, StoreError> {
        let info = self.mc.run(Call { arguments: &["admin", "info", OWN], ..Call::default() }).await?;
        let standing = info.iter().find_map(standing);
        standing.ok_or_else(|| StoreError::Order("a drive of the store is away".to_owned()))
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

/// How long each node of a store stands, as one of them says; `None` unless they see all of its drives.
fn standing(said: &Value) -> Option<BTreeMap<String, Duration>> {
    let is_ok = |of: &Value, state: &str| of["state"] == state;
    let node = |server: &Value| {
        let drives = server["drives"].as_array()?;
        let is_whole = is_ok(server, "online") && drives.iter().all(|drive| is_ok(drive, "ok"));
        // One that has only just started leaves the time out.
        let stands = Duration::from_secs(server["uptime"].as_u64().unwrap_or(0));
        let endpoint = server["endpoint"].as_str().filter(|_| is_whole)?;
        Some((endpoint.to_owned(), stands))
    };
    let servers = said["info"]["servers"].as_array().filter(|servers| !servers.is_empty())?;
    servers.iter().map(node).collect()
}

/// Whether every node has stood on from one look to the next, [`STOOD`] later.
fn stood_on(before: &BTreeMap<String, Duration>, after: &BTreeMap<String, Duration>) -> bool {
    let least = |stood: &Duration| *stood + STOOD - ROUNDED;
    before.len() == after.len()
        && before.iter().all(|(node, stood)| after.get(node).is_some_and(|now| *now >= least(stood)))
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

    /// What a store of these nodes says, and what is read from it.
    fn said(servers: &[Value]) -> Option<BTreeMap<String, Duration>> {
        standing(&json!({"info": {"servers": servers}}))
    }

    fn server(endpoint: &str, uptime: u64, state: &str, drives: [&str; 2]) -> Value {
        let drives = drives.map(|state| json!({"state": state}));
        json!({"endpoint": endpoint, "uptime": uptime, "state": state, "drives": drives})
    }

    #[test]
    fn a_store_is_all_there_when_every_drive_of_every_node_is() {
        let whole = server("a", 7, "online", ["ok", "ok"]);
        let stands = |node: &str, seconds| (node.to_owned(), Duration::from_secs(seconds));
        assert_eq!(
            said(&[whole.clone(), server("b", 9, "online", ["ok", "ok"])]),
            Some([stands("a", 7), stands("b", 9)].into())
        );
        assert_eq!(said(&[whole.clone(), server("b", 9, "offline", ["offline", "offline"])]), None);
        assert_eq!(said(&[whole, server("b", 9, "online", ["ok", "offline"])]), None);
        assert_eq!(said(&[]), None);
        assert_eq!(standing(&json!({"status": "success"})), None);
    }

    #[test]
    fn a_node_that_starts_anew_between_two_looks_has_not_stood_on() {
        let look = |a: u64, b: u64| {
            said(&[server("a", a, "online", ["ok", "ok"]), server("b", b, "online", ["ok", "ok"])]).unwrap()
        };
        let later = STOOD.as_secs();
        assert!(stood_on(&look(0, 300), &look(later, 300 + later)));
        assert!(stood_on(&look(0, 300), &look(later - 1, 300 + later)), "seconds are rounded");
        assert!(!stood_on(&look(20, 300), &look(20 + later, later / 2)), "b started anew");
        assert!(!stood_on(&look(3, 300), &look(later - 3, 300 + later)), "a started anew, soon after it had started");
        let one = said(&[server("a", 20, "online", ["ok", "ok"])]).unwrap();
        assert!(!stood_on(&look(0, 300), &one));
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
