//! Every version and delete marker of a bucket, each body read from this region's own store.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::list_object_versions::ListObjectVersionsOutput,
    types::{ReplicationRule, ReplicationRuleStatus},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use crate::{
    api::environment::Login,
    clients::{
        error::chain,
        s3::{self, unproxied},
    },
    model::{
        Token,
        observation::{Content, FilesSnapshot, ObjectVersion},
        token::Seen,
    },
    workload::schedule::object::sha256,
};

/// Bodies read at once.
const READERS: usize = 16;

/// Tries of one request of the examiner's own before its failure counts: it is no client's operation, and what it reads
/// must not look lost because the store was busy.
const TRIES: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Bound on one request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Reads the bucket of the store at `127.0.0.1:port`; `marked` is left empty. A bucket that is not there holds nothing.
///
/// # Errors
/// Why it could not be read whole within `within`.
pub async fn read_files(port: u16, bucket: &str, auditor: &Login, within: Duration) -> Result<FilesSnapshot, String> {
    let client = s3::client(port, auditor, within.min(REQUEST_WITHIN));
    let reading = async {
        let listed = list(&client, bucket).await?;
        let versions = stream::iter(listed)
            .map(|version| read(&client, bucket, version))
            .buffer_unordered(READERS)
            .try_collect()
            .await?;
        Ok(FilesSnapshot { versions, marked: Vec::new() })
    };
    tokio::time::timeout(within, reading).await.unwrap_or_else(|_| Err(format!("not read whole within {within:?}")))
}

/// Key and version id of everything in the bucket, delete markers included; no body is read.
///
/// # Errors
/// Why it could not be listed within `within`.
pub async fn list_files(
    port: u16,
    bucket: &str,
    auditor: &Login,
    within: Duration,
) -> Result<BTreeSet<(Box<str>, Box<str>)>, String> {
    let client = s3::client(port, auditor, within.min(REQUEST_WITHIN));
    let listed = tokio::time::timeout(within, list(&client, bucket)).await;
    let listed = listed.unwrap_or_else(|_| Err(format!("not listed within {within:?}")))?;
    Ok(listed.into_iter().map(|listed| (listed.object_key, listed.version_id)).collect())
}

/// Whether the bucket has a rule in force that replicates it elsewhere.
///
/// # Errors
/// Why the store could not be asked within `within`.
pub async fn replicates(port: u16, bucket: &str, auditor: &Login, within: Duration) -> Result<bool, String> {
    let client = s3::client(port, auditor, within);
    match client.get_bucket_replication().bucket(bucket).send().await {
        Ok(answer) => {
            let rules = answer.replication_configuration().map(|configuration| configuration.rules());
            let in_force = |rule: &ReplicationRule| *rule.status() == ReplicationRuleStatus::Enabled;
            Ok(rules.unwrap_or_default().iter().any(in_force))
        }
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => Ok(false),
        Err(error) => Err(chain(&error)),
    }
}

/// A version as it is listed.
struct Listed {
    object_key: Box<str>,
    version_id: Box<str>,
    marker: bool,
}

async fn list(client: &Client, bucket: &str) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    let (mut key, mut version) = (None, None);
    loop {
        let page = page(client, bucket, key, version).await?;
        let Some(page) = page else { return Ok(listed) };
        let named = |key: Option<&str>, version: Option<&str>, marker| Listed {
            object_key: key.unwrap_or_default().into(),
            version_id: version.unwrap_or("null").into(),
            marker,
        };
        listed.extend(page.versions().iter().map(|version| named(version.key(), version.version_id(), false)));
        listed.extend(page.delete_markers().iter().map(|marker| named(marker.key(), marker.version_id(), true)));
        if page.is_truncated() != Some(true) {
            return Ok(listed);
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
        if key.is_none() {
            return Err("the listing is cut off and does not say where it goes on".to_owned());
        }
    }
}

/// One page of the listing; `None`: there is no such bucket.
async fn page(
    client: &Client,
    bucket: &str,
    key: Option<String>,
    version: Option<String>,
) -> Result<Option<ListObjectVersionsOutput>, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let list = client.list_object_versions().bucket(bucket);
        let list = list.set_key_marker(key.clone()).set_version_id_marker(version.clone());
        match list.customize().mutate_request(unproxied).send().await {
            Ok(page) => return Ok(Some(page)),
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(None),
            Err(error) => last = chain(&error),
        }
        sleep(PAUSE).await;
    }
    Err(format!("list {bucket}: {last}"))
}

async fn read(client: &Client, bucket: &str, listed: Listed) -> Result<ObjectVersion, String> {
    let Listed { object_key, version_id, marker } = listed;
    let content = if marker { Content::DeleteMarker } else { body(client, bucket, &object_key, &version_id).await? };
    Ok(ObjectVersion { object_key, version_id, content })
}

/// The body, or the store's own word that it cannot give it. That no word came is an error, since it proves nothing.
async fn body(client: &Client, bucket: &str, object_key: &str, version_id: &str) -> Result<Content, String> {
    let mut last = Err("not tried".to_owned());
    for _ in 0..TRIES {
        let get = client.get_object().bucket(bucket).key(object_key).version_id(version_id);
        match get.customize().mutate_request(unproxied).send().await {
            Ok(answer) => match answer.body.collect().await {
                Ok(body) => {
                    let body = body.into_bytes();
                    let token = Token::from_body(&body).map(Seen::Token);
                    return Ok(Content::Body { token, sha256: sha256(&body), bytes: body.len() as u64 });
                }
                // A store that finds a broken body only while it sends it can but hang up.
                Err(error) => last = Ok(Content::Unreadable(chain(&error).into())),
            },
            Err(SdkError::ServiceError(service)) if !busy(service.raw().status().as_u16()) => {
                let code = service.err().code().unwrap_or("no code");
                last = Ok(Content::Unreadable(format!("{} {code}", service.raw().status().as_u16()).into()));
            }
            Err(error) => last = Err(chain(&error)),
        }
        sleep(PAUSE).await;
    }
    last.map_err(|why| format!("read {object_key}: {why}"))
}

/// Statuses that say "not now" (too many requests, unavailable, a time-out on the way) and nothing of the object.
fn busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 503 | 504)
}
