//! Every version and delete marker of a bucket, each body read from this region's own store.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::list_object_versions::ListObjectVersionsOutput,
    types::{ReplicationRule, ReplicationRuleStatus},
};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    api::{control::OWN_PREFIX, environment::Login},
    clients::{
        error::chain,
        http::Http,
        s3::{self, unproxied},
    },
    model::{
        Token,
        observation::{Content, FilesSnapshot, ObjectVersion},
        token::Seen,
    },
    workload::schedule::object::sha256,
};

/// Bodies read at once: few, since whoever is served meanwhile is measured.
pub const READERS: usize = 16;

/// The same of a store of several nodes. While one of them hangs, each body takes as long as its drives are waited for: two
/// seconds, in which the store does nothing.
pub const READERS_OF_NODES: usize = 64;

/// Tries of one request of the examiner's own before its failure counts: it is no client's operation, and what it reads
/// must not look lost because the store was busy.
const TRIES: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Bound on one request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How long a body is waited for of which the store says nothing. A node of a store of several that dies takes no lock with it
/// that it held on the others: MinIO drops those that have not been refreshed for a minute, and looks for them once a minute;
/// until then nobody is given what was being written, or noted as replicated, through that node.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long a few are waited for of which it says that their parts are out of reach, as of what was being written through a node
/// that is cut off.
const PATIENCE_WITH_FEW: Duration = Duration::from_secs(30);

/// So many.
const FEW: usize = 8;

/// The code by which it says so.
const OUT_OF_REACH: &str = "SlowDownRead";

/// Between two rounds of what the store said nothing of.
const ROUND: Duration = Duration::from_secs(1);

/// Versions that are listed and that the store did not hand out when it was first asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withheld {
    /// How many.
    pub versions: u64,
    /// From the first answer that said nothing to the last body.
    pub waited: Duration,
}

/// What was read of a bucket.
#[derive(Debug)]
pub struct FilesRead {
    /// Everything in it.
    pub snapshot: FilesSnapshot,
    /// What came late, if anything did.
    pub withheld: Option<Withheld>,
}

/// Bodies that were read whole in one store. Such a one is not read again while it is listed with the same version id, ETag
/// and length: versions are not written twice, and reading everything at every boundary would keep the store busier than
/// its clients do. That a body still is what it was is seen by a reading without any, as the final ones are.
#[derive(Debug, Default)]
pub struct Bodies(HashMap<(Box<str>, Box<str>), (Listed, Content)>);

impl Bodies {
    fn of(&self, listed: &Listed) -> Option<Content> {
        let (read, content) = self.0.get(&(listed.object_key.clone(), listed.version_id.clone()))?;
        (read == listed).then(|| content.clone())
    }
}

/// Reads the bucket of the store at `127.0.0.1:port`, bodies that are not among those `read` before, and adds them to
/// these; `marked` is left empty. `readers`: how many bodies at once. A bucket that is not there holds nothing. `within`
/// bounds each page of the listing; how long the whole takes is a matter of the bucket's size, and of what the store
/// withholds, for which there is a bound of some minutes.
///
/// # Errors
/// Why it could not be read whole.
pub async fn read_files(
    port: u16,
    bucket: &str,
    auditor: &Login,
    within: Duration,
    readers: usize,
    bodies: &mut Bodies,
) -> Result<FilesRead, String> {
    let client = s3::client(port, auditor, within.min(REQUEST_WITHIN));
    let mut versions = Vec::new();
    let mut unread = Vec::new();
    for listed in list(&client, bucket, within).await? {
        match if listed.marker { Some(Content::DeleteMarker) } else { bodies.of(&listed) } {
            Some(content) => versions.push(listed.version(content)),
            None => unread.push(listed),
        }
    }
    let mut refused: Option<(Instant, u64)> = None;
    while !unread.is_empty() {
        let mut withheld = Vec::new();
        let mut why = String::new();
        let mut reading = stream::iter(unread).map(|listed| read(&client, bucket, listed)).buffer_unordered(readers);
        while let Some((listed, read)) = reading.next().await {
            match read {
                Ok(content) => {
                    versions.push(listed.version(content.clone()));
                    if matches!(content, Content::Body { .. }) {
                        bodies.0.insert((listed.object_key.clone(), listed.version_id.clone()), (listed, content));
                    }
                }
                Err(said) => {
                    why = said;
                    refused.get_or_insert_with(|| (Instant::now(), 0));
                    withheld.push(listed);
                }
            }
        }
        unread = withheld;
        if let Some((since, count)) = &mut refused
            && !unread.is_empty()
        {
            *count = (*count).max(unread.len() as u64);
            if since.elapsed() >= PATIENCE_WITH_FEW && unread.len() <= FEW && why.contains(OUT_OF_REACH) {
                versions.extend(unread.iter().map(|listed| listed.version(Content::Withheld(why.as_str().into()))));
                break;
            }
            if since.elapsed() >= PATIENCE {
                return Err(format!("{} versions were not handed out for {PATIENCE:?}: {why}", unread.len()));
            }
            sleep(ROUND).await;
        }
    }
    let withheld = refused.map(|(since, versions)| Withheld { versions, waited: since.elapsed() });
    Ok(FilesRead { snapshot: FilesSnapshot { versions, marked: Vec::new() }, withheld })
}

/// Key and version id of everything in the bucket, delete markers included; no body is read.
///
/// # Errors
/// Why it could not be listed; `within` bounds each page.
pub async fn list_files(
    port: u16,
    bucket: &str,
    auditor: &Login,
    within: Duration,
) -> Result<BTreeSet<(Box<str>, Box<str>)>, String> {
    let client = s3::client(port, auditor, within.min(REQUEST_WITHIN));
    let listed = list(&client, bucket, within).await?;
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

/// Whether there is such a bucket.
///
/// # Errors
/// Why the store could not be asked within `within`.
pub async fn has_bucket(port: u16, bucket: &str, auditor: &Login, within: Duration) -> Result<bool, String> {
    match s3::client(port, auditor, within).head_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(true),
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => Ok(false),
        Err(error) => Err(chain(&error)),
    }
}

/// Whether a node of a store of several can read what is in the store: a node that is cut off from the others answers calls that
/// need none of them, and nothing else.
pub async fn has_quorum(port: u16, within: Duration) -> bool {
    Http::local(port, "").get::<()>("/minio/health/cluster/read", within).await.is_ok()
}

/// A version as it is listed.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    object_key: Box<str>,
    version_id: Box<str>,
    marker: bool,
    /// Empty for a marker.
    etag: Box<str>,
    /// 0 for a marker.
    bytes: i64,
}

impl Listed {
    fn version(&self, content: Content) -> ObjectVersion {
        ObjectVersion { object_key: self.object_key.clone(), version_id: self.version_id.clone(), content }
    }
}

async fn list(client: &Client, bucket: &str, within: Duration) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    let (mut key, mut version) = (None, None);
    loop {
        let page = timeout(within, page(client, bucket, key, version)).await;
        let page = page.unwrap_or_else(|_| Err(format!("no page of the listing came within {within:?}")))?;
        let Some(page) = page else { return Ok(listed) };
        let named = |key: Option<&str>, version: Option<&str>, marker| Listed {
            object_key: key.unwrap_or_default().into(),
            version_id: version.unwrap_or("null").into(),
            marker,
            etag: Box::default(),
            bytes: 0,
        };
        listed.extend(page.versions().iter().map(|version| Listed {
            etag: version.e_tag().unwrap_or_default().into(),
            bytes: version.size().unwrap_or_default(),
            ..named(version.key(), version.version_id(), false)
        }));
        listed.extend(page.delete_markers().iter().map(|marker| named(marker.key(), marker.version_id(), true)));
        // What the platform has put there to prove something by is nobody's data, and may be on its way at any moment.
        listed.retain(|listed| !listed.object_key.starts_with(OWN_PREFIX));
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

async fn read(client: &Client, bucket: &str, listed: Listed) -> (Listed, Result<Content, String>) {
    let content = body(client, bucket, &listed.object_key, &listed.version_id).await;
    (listed, content)
}

/// The body, or the store's own word that it cannot give it. That no word came is an error, since it proves nothing.
async fn body(client: &Client, bucket: &str, object_key: &str, version_id: &str) -> Result<Content, String> {
    let mut said = String::new();
    for _ in 0..TRIES {
        let get = client.get_object().bucket(bucket).key(object_key).version_id(version_id);
        let get = async {
            let answer = get.customize().mutate_request(unproxied).send().await?;
            Ok(answer.body.collect().await)
        };
        said = match timeout(REQUEST_WITHIN, get).await {
            Ok(Ok(Ok(body))) => {
                let body = body.into_bytes();
                let token = Token::from_body(&body).map(Seen::Token);
                return Ok(Content::Body { token, sha256: sha256(&body), bytes: body.len() as u64 });
            }
            // A store that finds a broken body only while it sends it can but hang up.
            Ok(Ok(Err(error))) => chain(&error),
            Ok(Err(SdkError::ServiceError(service))) if !busy(service.raw().status().as_u16()) => {
                let code = service.err().code().unwrap_or("no code");
                format!("{} {code}", service.raw().status().as_u16())
            }
            Ok(Err(error)) => return Err(format!("read {object_key}: {}", chain(&error))),
            Err(_) => return Err(format!("read {object_key}: no answer within {REQUEST_WITHIN:?}")),
        };
        sleep(PAUSE).await;
    }
    Ok(Content::Unreadable(said.into()))
}

/// Statuses that say "not now" (too many requests, unavailable, a time-out on the way) and nothing of the object.
fn busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_only_while_its_version_is_listed_as_it_was() {
        let listed = |version: &str, etag: &str, bytes| Listed {
            object_key: "k".into(),
            version_id: version.into(),
            marker: false,
            etag: etag.into(),
            bytes,
        };
        let content = Content::Body { token: None, sha256: "aa".into(), bytes: 4 };
        let mut bodies = Bodies::default();
        bodies.0.insert(("k".into(), "1".into()), (listed("1", "e", 4), content.clone()));
        assert_eq!(bodies.of(&listed("1", "e", 4)), Some(content));
        for other in [listed("2", "e", 4), listed("1", "f", 4), listed("1", "e", 5)] {
            assert_eq!(bodies.of(&other), None, "{other:?}");
        }
    }
}
