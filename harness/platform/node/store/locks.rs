//! Locks that a node of the zone's store has left behind.
//!
//! A store of several nodes locks an object on most of them while it is written, noted as replicated or read, and the node that
//! asked keeps the lock alive. If that node dies, the others drop the lock when it has not been kept alive for a minute, and
//! look for such locks once a minute: until then nobody is given the object, though all of it is there (seen with
//! RELEASE.2026-02-12: reads that hang for up to two minutes). What its owner does not hold itself, twice in a row, it has left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Store, StoreError,
    admin::{self, ADMIN},
};
use crate::clients::s3::{ask, classify};

/// Between two looks: whoever lives has let go of a lock by then, or holds it himself.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// More locks than a store of ours ever holds.
const COUNT: &str = "100000";

/// Objects that are freed by one call: they stand in its address.
const FREED_AT_ONCE: usize = 20;

/// A lock as the admin API tells it.
#[derive(Debug, Deserialize)]
struct Lock {
    id: String,
    /// Bucket and key.
    resource: String,
    /// The node that asked for it, as the nodes call one another.
    owner: String,
    /// The nodes that hold it and answered.
    serverlist: Vec<String>,
}

impl Store {
    /// Frees what a node that is gone has locked in a bucket; returns how many objects that was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn free_abandoned(&self, bucket: &str) -> Result<usize, StoreError> {
        let first = self.abandoned(bucket).await?;
        if first.is_empty() {
            return Ok(0);
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        let second = self.abandoned(bucket).await?;
        let still = second.into_iter().filter(|(id, _)| first.contains_key(id)).map(|(_, resource)| resource);
        let objects: Vec<String> = still.collect::<BTreeSet<_>>().into_iter().collect();
        for some in objects.chunks(FREED_AT_ONCE) {
            let paths = some.join(",");
            self.own
                .put_object()
                .bucket(ADMIN)
                .key("admin/v3/force-unlock")
                .customize()
                .mutate_request(move |request| {
                    request.set_method("POST").expect("POST is a method");
                    ask(request, &[("paths", &paths)]);
                })
                .send()
                .await
                .map_err(|error| StoreError::Call { what: "free what is locked", why: classify(&error) })?;
        }
        Ok(objects.len())
    }

    /// Locks of objects in a bucket that their owner does not hold itself, by their ids.
    async fn abandoned(&self, bucket: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let parameters = [("count", COUNT), ("stale", "true")];
        // None are told as `null`.
        let locks: Option<Vec<Lock>> =
            admin::read(&self.own, "list what is locked", "admin/v3/top/locks", &parameters).await?;
        let locks = locks.unwrap_or_default().into_iter();
        Ok(locks.filter(|lock| is_abandoned(lock, bucket)).map(|lock| (lock.id, lock.resource)).collect())
    }
}

fn is_abandoned(lock: &Lock, bucket: &str) -> bool {
    let is_inside = lock.resource.split_once('/').is_some_and(|(of, _)| of == bucket);
    is_inside && !lock.serverlist.contains(&lock.owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_is_what_its_owner_does_not_hold_in_this_bucket() {
        let lock = |resource: &str, held: &[&str]| Lock {
            id: "1".to_owned(),
            resource: resource.to_owned(),
            owner: "127.0.0.1:9".to_owned(),
            serverlist: held.iter().map(|&node| node.to_owned()).collect(),
        };
        assert!(is_abandoned(&lock("sales-files/a/b", &["127.0.0.2:9", "127.0.0.3:9"]), "sales-files"));
        assert!(!is_abandoned(&lock("sales-files/a/b", &["127.0.0.2:9", "127.0.0.1:9"]), "sales-files"));
        assert!(!is_abandoned(&lock("sales-files-2/a", &["127.0.0.2:9"]), "sales-files"));
        assert!(!is_abandoned(&lock("sales-files", &["127.0.0.2:9"]), "sales-files"));
    }
}
