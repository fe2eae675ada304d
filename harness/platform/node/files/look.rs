//! One entry of the running account: is it in the other region's store, and if it has not come by itself, bring it.

use std::time::Duration;

use super::{
    checker::Account,
    copy::{At, Held, bring_marker, bring_purge, bring_version, copy_anew, held},
    peer::Peer,
};
use crate::{
    api::{
        compute::{AccountEntry, AccountOperation},
        sabotage::Sabotage,
    },
    platform::{
        actor::locked,
        node::{shared::Node, store::StoreError},
    },
};

/// An entry that has not come by itself after this is brought.
const BRING_AFTER: Duration = Duration::from_secs(1);
/// The same while a planned switch waits.
const BRING_AFTER_HURRIED: Duration = Duration::from_millis(250);

/// What came of a look.
pub enum Looked {
    /// The other region is level with this one in this entry.
    Level,
    /// Not yet there.
    Missing,
    /// It could not be looked at, or not be brought.
    Failed(String),
}

/// Looks at an entry of this age.
pub async fn look(
    node: &Node,
    account: &Account,
    peer: &Peer,
    bucket: &str,
    entry: &AccountEntry,
    age: Duration,
) -> Looked {
    match try_look(node, account, peer, bucket, entry, age).await {
        Ok(true) => Looked::Level,
        Ok(false) => Looked::Missing,
        Err(error) => Looked::Failed(error.to_string()),
    }
}

async fn try_look(
    node: &Node,
    account: &Account,
    peer: &Peer,
    bucket: &str,
    entry: &AccountEntry,
    age: Duration,
) -> Result<bool, StoreError> {
    let there = peer.client().ok_or_else(|| StoreError::Order("the node has no way to the other store".to_owned()))?;
    let (key, version) = (&entry.object_key, &entry.version_id);
    let wanted = match entry.operation {
        AccountOperation::Put => Held::Version,
        AccountOperation::Mark => Held::Marker,
        AccountOperation::Purge => Held::Nothing,
    };
    if entry.operation == AccountOperation::Mark && node.config.sabotage == Some(Sabotage::DropDeletes) {
        return Ok(true);
    }
    let found = held(there, bucket, key, version).await?;
    if found == wanted {
        return Ok(true);
    }
    // Removed since, by an entry that is still to come.
    if found == Held::Nothing && locked(&account.ledger).is_purged(entry) {
        return Ok(true);
    }
    let bring_after = if locked(&account.ledger).is_hurried() { BRING_AFTER_HURRIED } else { BRING_AFTER };
    if age < bring_after {
        return Ok(false);
    }
    let own = node.store.root();
    let here = held(own, bucket, key, version).await?;
    let at = |client| At { client, bucket };
    match (entry.operation, here) {
        // Gone here as well, whoever removed it.
        (AccountOperation::Put | AccountOperation::Mark, Held::Nothing) => return Ok(found == Held::Nothing),
        (AccountOperation::Put, _) if node.config.sabotage == Some(Sabotage::CopyWithoutVersionId) => {
            copy_anew(own, there, bucket, key, version).await?;
            return Ok(true);
        }
        (AccountOperation::Put, _) => bring_version(at(own), at(there), key, version).await?,
        (AccountOperation::Mark, _) => bring_marker(at(own), at(there), key, version).await?,
        // Here it is gone whatever the store says: it keeps a hidden trace of what it has still to remove there. Ids do not
        // come again.
        (AccountOperation::Purge, _) => bring_purge(there, bucket, key, version).await?,
    }
    Ok(held(there, bucket, key, version).await? == wanted)
}
