//! An environment's bucket and the users that may use it.

use std::time::Duration;

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use serde_json::{Value, json};

use super::{
    Listing, Store, StoreError,
    mc::{Call, OWN},
};
use crate::{
    api::{Region, environment::Login, node::Spec},
    clients::{poll, s3::classify},
    os::files::write_private,
};

/// How long the store may take to answer real calls after its start.
const READY_WITHIN: Duration = Duration::from_secs(30);

impl Store {
    /// Makes a versioned bucket that root alone reaches. What is there already is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_plain_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        // The store says that it is ready before it is: a real call decides.
        poll::until("the store to make a bucket", READY_WITHIN, Duration::from_millis(50), || async {
            match self.own.create_bucket().bucket(bucket).send().await {
                Ok(_) => Ok(()),
                Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
                Err(error) => Err(classify(&error)),
            }
        })
        .await?;
        self.version(bucket).await
    }

    /// Has every write of a bucket make a version; writes the bucket's settings, also where it does so already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn version(&self, bucket: &str) -> Result<(), StoreError> {
        let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let turned = self.own.put_bucket_versioning().bucket(bucket).versioning_configuration(versioned).send().await;
        turned.map(drop).map_err(|error| StoreError::Call { what: "turn versioning on", why: classify(&error) })
    }

    /// What the store takes for now, milliseconds of Unix time: the time of an object that is put under `key` for that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn now_ms(&self, bucket: &str, key: &str) -> Result<i64, StoreError> {
        let put = self.own.put_object().bucket(bucket).key(key).send().await;
        put.map_err(|error| StoreError::Call { what: "put an object", why: classify(&error) })?;
        // Listings tell milliseconds, answers to a read seconds.
        let listed = Listing::of_key(&self.own, bucket, key).next().await?;
        let newest = listed.and_then(|listed| listed.versions.iter().map(|version| version.modified_ms).max());
        newest.ok_or_else(|| StoreError::Order(format!("the store tells no time of {key}")))
    }

    /// Makes the bucket, versioned, with the customers' user and (where a replica is promised) the user with which the
    /// other region writes into it. What is there already is kept. Done when the customers' key reads the bucket.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_bucket(&self, spec: &Spec) -> Result<(), StoreError> {
        let bucket = &spec.bucket;
        self.make_plain_bucket(bucket).await?;
        let customers = self.make_user(&spec.credentials.s3, customers_policy(bucket), app_policy(bucket));
        match spec.credentials.files_replication.get(&self.peer).filter(|_| spec.kind.has_replica()) {
            Some(source) => {
                let name = source_policy(bucket, &self.peer);
                tokio::try_join!(customers, self.make_user(source, name, replication_policy(bucket)))?;
            }
            None => customers.await?,
        }
        self.as_user(&spec.credentials.s3)
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| StoreError::Call { what: "read the bucket with its own key", why: classify(&error) })?;
        Ok(())
    }

    /// Removes the bucket, its rule, its users and what they may do; that there is none is no error. Users go first, so that nobody
    /// writes into what is removed: neither a customer nor the other region.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, spec: &Spec) -> Result<(), StoreError> {
        let bucket = &spec.bucket;
        let source = spec.credentials.files_replication.get(&self.peer);
        for login in [Some(&spec.credentials.s3), source].into_iter().flatten() {
            self.remove_user(&login.user).await?;
        }
        // Nothing more is sent to the other region, whose bucket may be gone already.
        self.rule_off(bucket).await?;
        self.drop_bucket(bucket).await?;
        for policy in [customers_policy(bucket), source_policy(bucket, &self.peer)] {
            self.remove_policy(&policy).await?;
            let file = self.mc.folder().join(format!("{policy}.json"));
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a bucket with everything in it; that there is none is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        let delete = self.own.delete_bucket().bucket(bucket).customize();
        // All versions and markers with it, in one call.
        let delete = delete.mutate_request(|request| {
            request.headers_mut().insert("x-minio-force-delete", "true");
        });
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(()),
            Err(error) => Err(StoreError::Call { what: "remove the bucket", why: classify(&error) }),
        }
    }

    /// Whether the store answers a real call.
    pub async fn answers(&self) -> bool {
        self.own.list_buckets().max_buckets(1).send().await.is_ok()
    }

    /// Whether a bucket is there and versioned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_versioned(&self, bucket: &str) -> Result<bool, StoreError> {
        let asked = self.own.get_bucket_versioning().bucket(bucket).send().await;
        let shown = asked.map_err(|error| StoreError::Call { what: "read the versioning", why: classify(&error) })?;
        Ok(shown.status() == Some(&BucketVersioningStatus::Enabled))
    }

    async fn make_user(&self, login: &Login, policy: String, rights: Value) -> Result<(), StoreError> {
        let file = self.mc.folder().join(format!("{policy}.json"));
        let text = rights.to_string();
        write_private(&file, text.as_bytes())
            .map_err(|error| StoreError::Mc { what: "admin policy create".to_owned(), why: error.to_string() })?;
        let path = file.to_string_lossy();
        let create = ["admin", "policy", "create", OWN, &policy, &path];
        let make_policy = self.mc.run(Call { arguments: &create, ..Call::default() });
        let input = Some(format!("{}\n{}\n", login.user, login.secret));
        let make_user = self.mc.run(Call { arguments: &["admin", "user", "add", OWN], input, ..Call::default() });
        tokio::try_join!(make_policy, make_user)?;
        let attach = ["admin", "policy", "attach", OWN, &policy, "--user", &login.user];
        match self.mc.run(Call { arguments: &attach, ..Call::default() }).await {
            Err(StoreError::Mc { why, .. }) if why.contains("already in effect") => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The name of what customers may do.
fn customers_policy(bucket: &str) -> String {
    format!("{bucket}-app")
}

/// The name of what the other region's store may do.
fn source_policy(bucket: &str, source: &Region) -> String {
    format!("{bucket}-from-{source}")
}

/// Everything in the bucket, nothing about it: versioning and replication are the platform's.
fn app_policy(bucket: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Resource": [format!("arn:aws:s3:::{bucket}")], "Action": [
            "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation",
            "s3:GetBucketVersioning"]},
        {"Effect": "Allow", "Resource": [format!("arn:aws:s3:::{bucket}/*")], "Action": [
            "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
            "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:GetObjectTagging", "s3:PutObjectTagging"]},
    ]})
}

/// What a replicating store needs in its target, and what the proof of a rule needs: to read and to remove its object.
fn replication_policy(bucket: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Resource": [format!("arn:aws:s3:::{bucket}")], "Action": [
            "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:ListBucketVersions",
            "s3:ListBucketMultipartUploads", "s3:GetBucketLocation", "s3:GetBucketVersioning",
            "s3:GetBucketObjectLockConfiguration", "s3:GetEncryptionConfiguration"]},
        {"Effect": "Allow", "Resource": [format!("arn:aws:s3:::{bucket}/*")], "Action": [
            "s3:GetReplicationConfiguration", "s3:ReplicateTags", "s3:AbortMultipartUpload", "s3:GetObject",
            "s3:GetObjectVersion", "s3:GetObjectVersionTagging", "s3:PutObject", "s3:PutObjectRetention",
            "s3:PutObjectLegalHold", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ReplicateObject",
            "s3:ReplicateDelete"]},
    ]})
}
