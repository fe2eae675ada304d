//! A version, a delete marker or a removal put into a store with its own id, by MinIO's replication protocol: what arrives
//! is what replication would have brought, is not replicated back, and is left alone by the replication that comes later.

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::{DateTime, DateTimeFormat},
};

use crate::{
    clients::s3::{classify, unproxied},
    platform::node::store::StoreError,
};

/// The request is one of replication.
const REPLICATION_REQUEST: &str = "x-minio-source-replication-request";
/// What arrives is a replica.
const REPLICATION_STATUS: &str = "x-amz-replication-status";
/// When it was written at its source, RFC 3339.
const SOURCE_MTIME: &str = "x-minio-source-mtime";
/// Its ETag at its source: that of an object made of parts is not the hash of its content.
const SOURCE_ETAG: &str = "x-minio-source-etag";
/// A delete marker of this id is to be made.
const SOURCE_DELETE_MARKER: &str = "x-minio-source-deletemarker";
/// When its tags were written, RFC 3339.
const SOURCE_TAGGING: &str = "x-minio-source-replication-tagging-timestamp";
/// Only permissions are checked; nothing is written.
const REPLICATION_CHECK: &str = "x-minio-source-replication-check";

/// The store's answer to a check that found nothing amiss.
const CHECKED: &str = "ReplicationPermissionCheck";

/// What a store has under a version id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// An object.
    Version,
    /// A delete marker.
    Marker,
}

/// What the store itself has under a version id, its own word and not the other region's.
///
/// # Errors
/// [`StoreError::Call`].
pub async fn held(client: &Client, bucket: &str, key: &str, version: &str) -> Result<Held, StoreError> {
    let head = client.head_object().bucket(bucket).key(key).version_id(version).customize();
    let head = head.mutate_request(unproxied);
    match head.send().await {
        Ok(_) => Ok(Held::Version),
        Err(SdkError::ServiceError(answer)) if answer.raw().status().as_u16() == 404 => Ok(Held::Nothing),
        Err(SdkError::ServiceError(answer))
            if answer.raw().status().as_u16() == 405
                && answer.raw().headers().get("x-amz-delete-marker") == Some("true") =>
        {
            Ok(Held::Marker)
        }
        Err(error) => Err(StoreError::Call { what: "look at a version", why: classify(&error) }),
    }
}

/// Puts a version's content under its key as an ordinary client would, who gets another version id: what a platform that is
/// sabotaged so does in place of [`bring_version`].
///
/// # Errors
/// As there.
pub async fn copy_anew(from: &Client, to: &Client, bucket: &str, key: &str, version: &str) -> Result<(), StoreError> {
    let got = from.get_object().bucket(bucket).key(key).version_id(version).customize();
    let got = got
        .mutate_request(unproxied)
        .send()
        .await
        .map_err(|error| StoreError::Call { what: "read a version", why: classify(&error) })?;
    let put =
        to.put_object().bucket(bucket).key(key).set_content_length(got.content_length).body(got.body).send().await;
    put.map(drop).map_err(|error| StoreError::Call { what: "put a copy", why: classify(&error) })
}

/// A bucket of a store.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The store, by somebody who may.
    pub client: &'a Client,
    /// The bucket.
    pub bucket: &'a str,
}

/// Brings a version with its id, content, ETag, metadata and time.
///
/// # Errors
/// [`StoreError`]; the source may have lost it since.
pub async fn bring_version(from: At<'_>, to: At<'_>, key: &str, version: &str) -> Result<(), StoreError> {
    let mtime = mtime(from.client, from.bucket, key, version).await?;
    let got = from.client.get_object().bucket(from.bucket).key(key).version_id(version).customize();
    let got = got
        .mutate_request(unproxied)
        .send()
        .await
        .map_err(|error| StoreError::Call { what: "read a version", why: classify(&error) })?;
    let tags = match got.tag_count() {
        Some(1..) => Some(tags(from.client, from.bucket, key, version).await?),
        _ => None,
    };
    let etag = got.e_tag().unwrap_or_default().trim_matches('"').to_owned();
    let id = version.to_owned();
    let put = to
        .client
        .put_object()
        .bucket(to.bucket)
        .key(key)
        .set_content_type(got.content_type)
        .set_content_encoding(got.content_encoding)
        .set_content_language(got.content_language)
        .set_content_disposition(got.content_disposition)
        .set_cache_control(got.cache_control)
        .set_metadata(got.metadata)
        .set_tagging(tags.clone())
        .set_content_length(got.content_length)
        .body(got.body)
        .customize()
        .mutate_request(move |request| {
            let joint = if request.uri().contains('?') { '&' } else { '?' };
            let uri = format!("{}{joint}versionId={id}", request.uri());
            // A version id is letters, digits and hyphens: the address stays one.
            let _ = request.set_uri(uri);
            let headers = request.headers_mut();
            headers.insert(REPLICATION_REQUEST, "true");
            headers.insert(REPLICATION_STATUS, "REPLICA");
            headers.insert(SOURCE_MTIME, mtime.clone());
            headers.insert(SOURCE_ETAG, etag.clone());
            if tags.is_some() {
                headers.insert(SOURCE_TAGGING, mtime.clone());
            }
        })
        .send()
        .await;
    match put {
        Ok(_) => Ok(()),
        // It is there already.
        Err(SdkError::ServiceError(answer)) if answer.raw().status().as_u16() == 412 => Ok(()),
        Err(error) => Err(StoreError::Call { what: "bring a version", why: classify(&error) }),
    }
}

/// Brings a delete marker with its id and time.
///
/// # Errors
/// [`StoreError`].
pub async fn bring_marker(from: At<'_>, to: At<'_>, key: &str, version: &str) -> Result<(), StoreError> {
    let mtime = mtime(from.client, from.bucket, key, version).await?;
    remove(to.client, to.bucket, key, version, Some(mtime)).await
}

/// Removes a version, or a marker, as replication would.
///
/// # Errors
/// [`StoreError`].
pub async fn bring_purge(to: &Client, bucket: &str, key: &str, version: &str) -> Result<(), StoreError> {
    remove(to, bucket, key, version, None).await
}

async fn remove(
    to: &Client,
    bucket: &str,
    key: &str,
    version: &str,
    marker_of: Option<String>,
) -> Result<(), StoreError> {
    let delete = to.delete_object().bucket(bucket).key(key).version_id(version).customize();
    let delete = delete.mutate_request(move |request| {
        let headers = request.headers_mut();
        headers.insert(REPLICATION_REQUEST, "true");
        headers.insert(REPLICATION_STATUS, "REPLICA");
        if let Some(mtime) = &marker_of {
            headers.insert(SOURCE_DELETE_MARKER, "true");
            headers.insert(SOURCE_MTIME, mtime.clone());
        }
    });
    let sent = delete.send().await;
    sent.map(drop).map_err(|error| StoreError::Call { what: "bring a delete", why: classify(&error) })
}

/// Whether a user may write replicas into a bucket. Nothing is written by asking.
///
/// # Errors
/// [`StoreError::Call`] with what the store says against it.
pub async fn may_replicate(user: &Client, bucket: &str) -> Result<(), StoreError> {
    let put = user.put_object().bucket(bucket).key("geodrill-check").customize();
    let sent = put
        .mutate_request(|request| {
            request.headers_mut().insert(REPLICATION_REQUEST, "true");
            request.headers_mut().insert(REPLICATION_CHECK, "true");
        })
        .send()
        .await;
    match sent {
        Err(error) if error.code() == Some(CHECKED) => Ok(()),
        Ok(_) => Err(StoreError::Order("the store wrote what it was to check alone".to_owned())),
        Err(error) => Err(StoreError::Call { what: "write as the other region's store", why: classify(&error) }),
    }
}

async fn tags(from: &Client, bucket: &str, key: &str, version: &str) -> Result<String, StoreError> {
    let got = from
        .get_object_tagging()
        .bucket(bucket)
        .key(key)
        .version_id(version)
        .send()
        .await
        .map_err(|error| StoreError::Call { what: "read a version's tags", why: classify(&error) })?;
    let mut text = reqwest::Url::parse("http://localhost").map_err(|error| StoreError::Order(error.to_string()))?;
    text.query_pairs_mut().extend_pairs(got.tag_set().iter().map(|tag| (tag.key(), tag.value())));
    Ok(text.query().unwrap_or_default().to_owned())
}

/// When a version was written, as the store that gets it is to be told. Stores order a key's versions by time, and tell it
/// by the millisecond: those of one millisecond are spread over it in their order.
async fn mtime(from: &Client, bucket: &str, key: &str, version: &str) -> Result<String, StoreError> {
    // The key sorts before every longer one that begins with it.
    let page = from
        .list_object_versions()
        .bucket(bucket)
        .prefix(key)
        .send()
        .await
        .map_err(|error| StoreError::Call { what: "list a key's versions", why: classify(&error) })?;
    let versions = page.versions().iter().filter(|one| one.key() == Some(key));
    let markers = page.delete_markers().iter().filter(|one| one.key() == Some(key));
    let mut all: Vec<(i64, bool, &str)> = versions
        .map(|one| (one.last_modified(), one.is_latest(), one.version_id()))
        .chain(markers.map(|one| (one.last_modified(), one.is_latest(), one.version_id())))
        .filter_map(|(time, latest, id)| Some((time?.to_millis().ok()?, latest == Some(true), id?)))
        .collect();
    // The latest stands last; between the others of one millisecond the store itself keeps no order that can be seen.
    all.sort_by_key(|(time, latest, _)| (*time, *latest));
    let Some((time, _, _)) = all.iter().find(|(_, _, id)| *id == version).copied() else {
        return Err(StoreError::Order(format!("version {version} of {key} is no longer at its source")));
    };
    let peers: Vec<&str> = all.iter().filter(|(other, _, _)| *other == time).map(|(_, _, id)| *id).collect();
    let rank = peers.iter().position(|id| *id == version).unwrap_or(0);
    Ok(rfc3339(time, rank, peers.len()))
}

/// The time of one out of `among` versions written in one millisecond.
fn rfc3339(millis: i64, rank: usize, among: usize) -> String {
    let micros = 999 * rank / among.saturating_sub(1).max(1);
    let nanos = i128::from(millis) * 1_000_000 + micros as i128 * 1_000;
    let time = DateTime::from_nanos(nanos).unwrap_or_else(|_| DateTime::from_millis(millis));
    time.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_millisecond_are_told_apart() {
        for (rank, among, expected) in [
            (0, 1, "2026-01-02T03:04:05.678Z"),
            (0, 2, "2026-01-02T03:04:05.678Z"),
            (1, 2, "2026-01-02T03:04:05.678999Z"),
            (1, 3, "2026-01-02T03:04:05.678499Z"),
        ] {
            assert_eq!(rfc3339(1_767_323_045_678, rank, among), expected);
        }
    }
}
