//! A region's return: its store is made equal to the live side's, never the other way about. And the one way about that
//! there is, by order: versions that the live side lacks though its switch was without loss.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_sdk_s3::Client;
use tokio::time::sleep;

use super::{
    compare::{Comparison, Source},
    copy::{At, Held, bring_marker, bring_version, held},
    crew::Crew,
    peer::Peer,
    preflight::{reachable, spec},
};
use crate::{
    api::{
        EnvironmentId,
        compute::{AccountEntry, AccountOperation},
        control::FileReference,
        node::Answer,
    },
    clients::s3::classify,
    platform::{
        actor::locked,
        node::{
            commands::CommandError,
            shared::Node,
            store::{Listing, StoreError, Version},
        },
    },
};

/// Full comparisons, at most: each leaves less to do than the one before.
const ROUNDS_MAX: usize = 8;
/// What is in flight arrives within this.
const FLIGHT: Duration = Duration::from_millis(300);

/// What a version needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is here alone.
    Stray,
    /// It is there alone.
    Bring,
}

/// What was done with it.
enum Done {
    Removed,
    Copied,
    Gap(FileReference),
    /// It was in flight.
    Level,
}

/// Makes the own store equal to the live side's: what only it has is removed by version id, or (after a switch without
/// loss) kept and told as gaps of the live side; what it lacks is copied with its version ids. Done when a full comparison
/// finds no more than what is in flight.
///
/// # Errors
/// [`CommandError`].
pub async fn return_files(node: &Node, environment: &EnvironmentId, clean: bool) -> Result<Answer, CommandError> {
    let spec = spec(node, environment)?;
    // Never on the side that serves: there is nothing to return to, and everything to lose.
    if node.durable.record(environment).owned().is_some() {
        return Err(CommandError::NotNow("this side serves the environment: nothing is returned to it".to_owned()));
    }
    node.store.rule_off(&spec.bucket).await?;
    let peer = Peer::new(&node.config.files_targets, &spec.credentials.s3);
    let (mut removed, mut copied) = (0, 0);
    let mut gaps = BTreeSet::new();
    for round in 1..=ROUNDS_MAX {
        let live = reachable(&peer, &spec.bucket).await?;
        let work = Work { own: node.store.root().clone(), live: live.clone(), bucket: spec.bucket.clone(), clean };
        let own = Source::Store(Listing::new(node.store.root(), &spec.bucket));
        let mut comparison = Comparison::new(own, Source::Store(Listing::new(live, &spec.bucket)));
        let work = Arc::new(work);
        let (mut crew, mut changed) = (Crew::new(), 0_u64);
        let mut note = |done: Done| match done {
            Done::Removed => (removed, changed) = (removed + 1, changed + 1),
            Done::Copied => (copied, changed) = (copied + 1, changed + 1),
            Done::Gap(gap) => drop(gaps.insert(gap)),
            Done::Level => {}
        };
        while let Some(found) = comparison.next().await? {
            if let Some(unlike) = found.unlike.first() {
                // Object keys and version ids are never written twice; the audit of contents says more.
                tracing::warn!(%environment, key = unlike.object_key, version = unlike.version_id, "unlike in both stores");
            }
            let strays = found.left.into_iter().map(|version| (version, Need::Stray));
            for (version, need) in strays.chain(found.right.into_iter().map(|version| (version, Need::Bring))) {
                let work = Arc::clone(&work);
                crew.begin(async move { work.settle(version, need).await }).await?.into_iter().for_each(&mut note);
            }
        }
        while let Some(done) = crew.next().await? {
            note(done);
        }
        let seen = comparison.seen;
        tracing::info!(%environment, round, seen, removed, copied, gaps = gaps.len(), "files levelled");
        if changed == 0 {
            return Ok(Answer::FilesReturned { removed, copied, gaps: gaps.into_iter().collect() });
        }
    }
    Err(StoreError::Order(format!("the stores are not level after {ROUNDS_MAX} comparisons")).into())
}

struct Work {
    own: Client,
    live: Client,
    bucket: String,
    clean: bool,
}

impl Work {
    async fn settle(&self, version: Version, need: Need) -> Result<Done, StoreError> {
        let Version { object_key: key, version_id: id, delete_marker, .. } = version;
        let look = || async {
            tokio::try_join!(held(&self.own, &self.bucket, &key, &id), held(&self.live, &self.bucket, &key, &id))
        };
        let (mut here, mut there) = look().await?;
        // Replication may be bringing it at this moment.
        if need == Need::Bring && here != there {
            sleep(FLIGHT).await;
            (here, there) = look().await?;
        }
        match (here, there) {
            _ if here == there => Ok(Done::Level),
            (_, Held::Nothing) if self.clean => Ok(Done::Gap(FileReference { object_key: key, version_id: id })),
            (_, Held::Nothing) => {
                let delete = self.own.delete_object().bucket(&self.bucket).key(&key).version_id(&id).send().await;
                delete.map_err(|error| StoreError::Call { what: "remove a stray version", why: classify(&error) })?;
                Ok(Done::Removed)
            }
            _ => {
                let at = |client| At { client, bucket: &self.bucket };
                let brought = match delete_marker {
                    true => bring_marker(at(&self.live), at(&self.own), &key, &id).await,
                    false => bring_version(at(&self.live), at(&self.own), &key, &id).await,
                };
                match brought {
                    Ok(()) => Ok(Done::Copied),
                    // Removed at its source meanwhile.
                    Err(_) if held(&self.live, &self.bucket, &key, &id).await? == Held::Nothing => Ok(Done::Level),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// Copies versions, with their ids, out of the other region's store into the own one, and takes away their marks. A version
/// that a client has removed here since is left alone.
///
/// # Errors
/// [`CommandError`].
pub async fn repair(
    node: &Node,
    environment: &EnvironmentId,
    references: Vec<FileReference>,
) -> Result<Answer, CommandError> {
    let spec = spec(node, environment)?;
    let Some(login) = spec.credentials.files_replication.get(&node.config.region) else {
        return Err(CommandError::NotNow("there is no key pair for the other region's store".to_owned()));
    };
    let peer = Peer::new(&node.config.files_targets, login);
    let there = reachable(&peer, &spec.bucket).await?;
    let own = node.store.root();
    let account = node.files.account(environment);
    for FileReference { object_key, version_id } in &references {
        let entry = AccountEntry {
            number: 0,
            object_key: object_key.clone(),
            version_id: version_id.clone(),
            operation: AccountOperation::Put,
        };
        let (bucket, key, id) = (&spec.bucket, object_key, version_id);
        let at = |client| At { client, bucket };
        if locked(&account.ledger).is_purged(&entry) || held(own, bucket, key, id).await? != Held::Nothing {
            continue;
        }
        match held(there, bucket, key, id).await? {
            Held::Version => bring_version(at(there), at(own), key, id).await?,
            Held::Marker => bring_marker(at(there), at(own), key, id).await?,
            Held::Nothing => {
                return Err(StoreError::Order(format!("version {id} of {key} is in neither store")).into());
            }
        }
    }
    let repaired: BTreeSet<FileReference> = references.into_iter().collect();
    node.durable.change(environment, |record| record.marks.retain(|mark| !repaired.contains(mark)))?;
    Ok(Answer::Done)
}
