//! Before a planned switch: whether files could be handed over without loss. Nothing is changed by asking.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    compare::{Comparison, Difference, Source, differ},
    copy::{held, may_replicate},
    peer::Peer,
};
use crate::{
    api::{EnvironmentId, node::Spec},
    platform::{
        actor::locked,
        node::{
            commands::CommandError,
            shared::Node,
            store::{Listing, StoreError, Version},
        },
    },
};

/// Entries of the running account older than this are a backlog.
const BACKLOG: Duration = Duration::from_secs(1);
/// Differences that are looked at again, at most; more is no matter of what is in flight.
const AGAIN_MAX: usize = 2_000;
/// How long what is in flight may take to arrive.
const FLIGHT: Duration = Duration::from_secs(3);

/// The primary's side: nothing old is pending, and full version listings of both stores are equal but for what is in
/// flight. Reasons against a switch; empty if there are none.
///
/// # Errors
/// [`CommandError`] where there is no such environment.
pub async fn preflight_primary(node: &Node, environment: &EnvironmentId) -> Result<Vec<String>, CommandError> {
    let spec = spec(node, environment)?;
    let Some(login) = spec.credentials.files_replication.get(&node.config.region) else {
        return Ok(vec!["files: there is no key pair for the other region's store".to_owned()]);
    };
    let mut reasons = Vec::new();
    let account = node.files.account(environment);
    let (pending, oldest) = locked(&account.ledger).pending(Instant::now());
    if oldest > BACKLOG {
        let word = account.last_word();
        reasons.push(format!("files: {pending} versions have not crossed, the oldest for {oldest:.1?}; {word}"));
    }
    let peer = Peer::new(&node.config.files_targets, login);
    match differences(node, environment, &spec.bucket, &peer).await {
        Ok((0, _)) => {}
        Ok((count, example)) => {
            let example = example.map_or(String::new(), |one| {
                let kind = if one.delete_marker { "marker" } else { "version" };
                format!(", such as {kind} {} of {}", one.version_id, one.object_key)
            });
            reasons.push(format!("files: the stores differ in {count} versions{example}"));
        }
        Err(error) => reasons.push(format!("files: the stores cannot be compared: {error}")),
    }
    Ok(reasons)
}

/// Versions in which the stores differ for longer than a flight takes, and one of them.
async fn differences(
    node: &Node,
    environment: &EnvironmentId,
    bucket: &str,
    peer: &Peer,
) -> Result<(usize, Option<Version>), StoreError> {
    let own = node.store.root();
    let there = reachable(peer, bucket).await?;
    // What is found there alone was put before and is only removed since; what is found here alone is in flight.
    let listings = (Source::Store(Listing::new(there, bucket)), Source::Store(Listing::new(own, bucket)));
    let mut comparison = Comparison::new(listings.0, listings.1);
    let mut doubtful = Vec::new();
    while let Some(found) = comparison.next().await? {
        doubtful.extend(found.left.into_iter().chain(found.right).chain(found.unlike));
        if doubtful.len() > AGAIN_MAX {
            return Ok((doubtful.len(), doubtful.pop()));
        }
    }
    let begun = Instant::now();
    loop {
        let mut left = Vec::new();
        for version in doubtful {
            if !is_level(own, there, bucket, &version).await? {
                left.push(version);
            }
        }
        if left.is_empty() {
            return Ok((0, None));
        }
        if begun.elapsed() > FLIGHT {
            // What the account knows of is told by its age.
            let account = node.files.account(environment);
            let ledger = locked(&account.ledger);
            left.retain(|version| !ledger.has(&version.object_key, &version.version_id));
            return Ok((left.len(), left.pop()));
        }
        doubtful = left;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether both stores have the same under a version id, and if it is content, the same content.
async fn is_level(
    own: &aws_sdk_s3::Client,
    there: &aws_sdk_s3::Client,
    bucket: &str,
    version: &Version,
) -> Result<bool, StoreError> {
    let (key, id) = (&version.object_key, &version.version_id);
    let (here, other) = tokio::try_join!(held(own, bucket, key, id), held(there, bucket, key, id))?;
    if here != other {
        return Ok(false);
    }
    let (mine, theirs) = tokio::try_join!(of_key(own, bucket, key), of_key(there, bucket, key))?;
    // Between two looks at a busy key one may be ahead; the next round decides.
    Ok(differ(mine, theirs) == Difference::default())
}

async fn of_key(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<Vec<Version>, StoreError> {
    let found = Listing::of_key(client, bucket, key).next().await?.filter(|found| found.name == key);
    Ok(found.map(|found| found.versions).unwrap_or_default())
}

/// The client of a port by which the other region's store answers.
pub async fn reachable<'a>(peer: &'a Peer, bucket: &str) -> Result<&'a aws_sdk_s3::Client, StoreError> {
    let mut last = StoreError::Order("the node has no way to the other region's store".to_owned());
    for _ in 0..peer.addresses() {
        let Some(client) = peer.client() else { break };
        match client.head_bucket().bucket(bucket).send().await {
            Ok(_) => return Ok(client),
            Err(error) => {
                let why = crate::clients::s3::classify(&error);
                last = StoreError::Call { what: "reach the other region's store", why };
                peer.turn();
            }
        }
    }
    Err(last)
}

/// The other side: its store answers, the bucket is there and versioned, and the primary's store may write into it.
///
/// # Errors
/// [`CommandError`] where there is no such environment.
pub async fn preflight_standby(node: &Node, environment: &EnvironmentId) -> Result<Vec<String>, CommandError> {
    let spec = spec(node, environment)?;
    let mut reasons = Vec::new();
    match node.store.is_versioned(&spec.bucket).await {
        Ok(true) => {}
        Ok(false) => reasons.push("files: the bucket here is not versioned".to_owned()),
        Err(error) => reasons.push(format!("files: the store here does not answer: {error}")),
    }
    match spec.credentials.files_replication.get(&node.config.peer) {
        None => reasons.push("files: there is no key pair of the other region's store".to_owned()),
        Some(login) => {
            if let Err(error) = may_replicate(&node.store.as_user(login), &spec.bucket).await {
                reasons.push(format!("files: the other region's store may not write here: {error}"));
            }
        }
    }
    Ok(reasons)
}

/// What the environment was made from.
pub fn spec(node: &Node, environment: &EnvironmentId) -> Result<Spec, CommandError> {
    let record = node.durable.record(environment);
    record.spec.ok_or_else(|| CommandError::NotNow("there is no bucket of this environment here".to_owned()))
}
