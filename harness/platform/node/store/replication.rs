//! The rule that replicates a bucket to the other region, and the proof that it works.

use std::time::{Duration, Instant};

use aws_sdk_s3::{Client, error::ProvideErrorMetadata};

use super::{
    CALL_WITHIN, Store, StoreError,
    mc::{Call, OWN, PEER},
};
use crate::{
    api::{control::OWN_PREFIX, node::Spec, sabotage::Sabotage},
    clients::{
        poll,
        postgres::Failure,
        s3::{self, classify, unproxied},
    },
};

/// What a rule replicates beside new versions.
const RULE: &str = "delete,delete-marker";
/// How long the other region may take to accept the rule: its bucket and user may be under way.
const RULE_WITHIN: Duration = Duration::from_secs(20);
/// How long the proof may take.
const PROOF_WITHIN: Duration = Duration::from_secs(30);
/// How long one object may take to cross. The store takes a target that failed for offline for some seconds, and what is
/// put meanwhile waits for minutes: another object proves the rule sooner.
const CROSSING: Duration = Duration::from_secs(2);

impl Store {
    /// Makes the rule, if there is none: objects, delete markers and version deletes go to the other region. Done when an
    /// object of its own has been read there, unproxied, and removed again in both, all versions.
    ///
    /// What is in the bucket already is not left to the rule (`existing-objects`): the node levels it itself, and MinIO
    /// would lose delete markers. Its scanner, walking with the rule that held when its round began, queues the markers it
    /// sees for that rule's target; where the rule has been replaced meanwhile, `replicateDelete` finds no such target
    /// ("failed to get target"), takes the empty outcome for "nothing left to do" and deletes the marker *here*, for good
    /// (`cmd/bucket-replication.go`, seen with RELEASE.2026-02-12: deleted objects came back to life).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replicate(&self, spec: &Spec) -> Result<(), StoreError> {
        let Some(target) = self.targets.first() else {
            return Err(StoreError::Order("the node has no way to the other region's store".to_owned()));
        };
        let Some(login) = spec.credentials.files_replication.get(&self.region) else {
            return Err(StoreError::Order("the order has no key pair for the other region's bucket".to_owned()));
        };
        let bucket = &spec.bucket;
        if !self.has_rule(bucket).await? {
            let (source, remote) = (format!("{OWN}/{bucket}"), format!("{PEER}/{bucket}"));
            let arguments = [
                "replicate",
                "add",
                &source,
                "--remote-bucket",
                &remote,
                "--replicate",
                if self.sabotage == Some(Sabotage::DropDeletes) { "delete" } else { RULE },
                "--priority",
                "1",
                "--healthcheck-seconds",
                "1",
                "--disable-proxy",
            ];
            poll::until("the rule that replicates the bucket", RULE_WITHIN, Duration::from_millis(200), || async {
                let call = Call { arguments: &arguments, peer: Some((target, login)), ..Call::default() };
                match self.mc.run(call).await {
                    // A try before was cut off between its two halves; the rule is looked for, the target may stand.
                    Err(error) if !self.has_rule(bucket).await.unwrap_or(false) => Err(error),
                    _ => Ok(()),
                }
            })
            .await?;
        }
        let peer = s3::client(target.clone(), login, CALL_WITHIN);
        let started = Instant::now();
        loop {
            match self.prove(bucket, &peer).await {
                Err(error) if started.elapsed() > PROOF_WITHIN => return Err(error),
                Err(StoreError::TimedOut(waited)) => tracing::info!(bucket, %waited, "another object is put to cross"),
                other => return other,
            }
        }
    }

    /// Takes the rule off, if there is one, and its target with it. A rule that is merely disabled cannot be had here: the
    /// store checks the target before it changes one, and the target's key pair is revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rule_off(&self, bucket: &str) -> Result<(), StoreError> {
        if !self.has_rule(bucket).await? {
            return Ok(());
        }
        let deleted = self.own.delete_bucket_replication().bucket(bucket).send().await;
        deleted.map_err(|error| StoreError::Call { what: "take the replication rule off", why: classify(&error) })?;
        match self.has_rule(bucket).await? {
            false => Ok(()),
            true => Err(StoreError::Order("the replication rule is still there after it was taken off".to_owned())),
        }
    }

    async fn has_rule(&self, bucket: &str) -> Result<bool, StoreError> {
        match self.own.get_bucket_replication().bucket(bucket).send().await {
            Ok(found) => Ok(found.replication_configuration().is_some_and(|config| !config.rules().is_empty())),
            // A bucket that is not there has none either.
            Err(error) if matches!(error.code(), Some("ReplicationConfigurationNotFoundError" | "NoSuchBucket")) => {
                Ok(false)
            }
            Err(error) => Err(StoreError::Call { what: "read the replication rule", why: classify(&error) }),
        }
    }

    async fn prove(&self, bucket: &str, peer: &Client) -> Result<(), StoreError> {
        let key = format!("{OWN_PREFIX}{}", uuid::Uuid::new_v4());
        let put = self
            .own
            .put_object()
            .bucket(bucket)
            .key(&key)
            .body(key.clone().into_bytes().into())
            .send()
            .await
            .map_err(|error| StoreError::Call { what: "put the proof", why: classify(&error) })?;
        let version = put.version_id().map(str::to_owned);
        let seen = poll::until("an object to cross", CROSSING, Duration::from_millis(10), || async {
            let read = peer.get_object().bucket(bucket).key(&key).set_version_id(version.clone()).customize();
            read.mutate_request(unproxied).send().await.map(drop).map_err(|error| classify(&error))
        })
        .await;
        // Removed whatever the outcome, here first: a removal here is replicated, one there is not.
        for (what, client) in [("remove the proof here", &self.own), ("remove the proof there", peer)] {
            client
                .delete_object()
                .bucket(bucket)
                .key(&key)
                .set_version_id(version.clone())
                .send()
                .await
                .map_err(|error| StoreError::Call { what, why: classify(&error) })?;
        }
        seen?;
        for client in [&self.own, peer] {
            poll::until("the proof to be gone", PROOF_WITHIN, Duration::from_millis(10), || async {
                match versions_of(client, bucket, &key).await {
                    Ok(0) => Ok(()),
                    Ok(left) => Err(format!("{left} versions left")),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await?;
        }
        Ok(())
    }
}

async fn versions_of(client: &Client, bucket: &str, key: &str) -> Result<usize, Failure> {
    let listed =
        client.list_object_versions().bucket(bucket).prefix(key).send().await.map_err(|error| classify(&error))?;
    Ok(listed.versions().len() + listed.delete_markers().len())
}
