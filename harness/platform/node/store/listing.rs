//! A bucket's version listing, a page in memory, given key by key in the order of keys.

use std::{collections::VecDeque, time::Duration};

use aws_sdk_s3::{Client, config::timeout::TimeoutConfig};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::clients::s3::classify;

/// A store that serves clients may take long for a page: it walks a folder for each key.
const PAGE_WITHIN: Duration = Duration::from_secs(60);

fn within() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_timeout(PAGE_WITHIN).build();
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts)
}

/// A version or a delete marker, as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Object key.
    pub object_key: String,
    /// Version id.
    pub version_id: String,
    /// It is a delete marker.
    pub delete_marker: bool,
    /// It is the key's latest.
    pub latest: bool,
    /// Its length; 0 for a marker.
    pub bytes: u64,
    /// Its ETag; empty for a marker.
    pub etag: String,
    /// When it was written, milliseconds of Unix time.
    pub modified_ms: i64,
}

/// All versions of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Object key.
    pub name: String,
    /// Its versions, by id.
    pub versions: Vec<Version>,
}

/// A listing under way.
pub struct Listing {
    client: Client,
    bucket: String,
    prefix: Option<String>,
    key_marker: Option<String>,
    version_marker: Option<String>,
    page: VecDeque<Version>,
    is_last: bool,
}

impl Listing {
    /// Of a whole bucket.
    pub fn new(client: &Client, bucket: &str) -> Self {
        let (client, bucket) = (client.clone(), bucket.to_owned());
        Self {
            client,
            bucket,
            prefix: None,
            key_marker: None,
            version_marker: None,
            page: VecDeque::new(),
            is_last: false,
        }
    }

    /// Of the keys that begin with this one, itself first.
    pub fn of_key(client: &Client, bucket: &str, key: &str) -> Self {
        Self { prefix: Some(key.to_owned()), ..Self::new(client, bucket) }
    }

    /// The next key.
    ///
    /// # Errors
    /// [`StoreError::Call`].
    pub async fn next(&mut self) -> Result<Option<Key>, StoreError> {
        if self.page.is_empty() && !self.is_last {
            self.turn().await?;
        }
        let Some(first) = self.page.pop_front() else { return Ok(None) };
        let mut key = Key { name: first.object_key.clone(), versions: vec![first] };
        loop {
            while let Some(more) = self.page.pop_front_if(|version| version.object_key == key.name) {
                key.versions.push(more);
            }
            // A key may go on on the next page.
            if !self.page.is_empty() || self.is_last {
                break;
            }
            self.turn().await?;
        }
        key.versions.sort_by(|a, b| a.version_id.cmp(&b.version_id));
        Ok(Some(key))
    }

    async fn turn(&mut self) -> Result<(), StoreError> {
        while self.page.is_empty() && !self.is_last {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .set_prefix(self.prefix.clone())
                .set_key_marker(self.key_marker.take())
                .set_version_id_marker(self.version_marker.take())
                .customize()
                .config_override(within())
                .send()
                .await
                .map_err(|error| StoreError::Call { what: "list the bucket", why: classify(&error) })?;
            let millis = |time: Option<&aws_sdk_s3::primitives::DateTime>| {
                time.and_then(|time| time.to_millis().ok()).unwrap_or_default()
            };
            let versions = page.versions().iter().map(|one| Version {
                object_key: one.key().unwrap_or_default().to_owned(),
                version_id: one.version_id().unwrap_or_default().to_owned(),
                delete_marker: false,
                latest: one.is_latest() == Some(true),
                bytes: one.size().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                etag: one.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
                modified_ms: millis(one.last_modified()),
            });
            let markers = page.delete_markers().iter().map(|one| Version {
                object_key: one.key().unwrap_or_default().to_owned(),
                version_id: one.version_id().unwrap_or_default().to_owned(),
                delete_marker: true,
                latest: one.is_latest() == Some(true),
                bytes: 0,
                etag: String::new(),
                modified_ms: millis(one.last_modified()),
            });
            // The answer has the two kinds apart, each in the order of keys.
            let mut all: Vec<Version> = versions.chain(markers).collect();
            all.sort_by(|a, b| a.object_key.cmp(&b.object_key));
            self.page = all.into();
            self.is_last = page.is_truncated() != Some(true);
            self.key_marker = page.next_key_marker().map(str::to_owned);
            self.version_marker = page.next_version_id_marker().map(str::to_owned);
        }
        Ok(())
    }
}
