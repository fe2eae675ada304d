//! Rows whose object is missing, and objects without a row.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Listing, Store, StoreError, Version};
use crate::{
    api::control::FileReference,
    platform::{
        node::postgres::{PostgresError, Session},
        tables,
    },
};

/// How long reading one table's references may take.
const TABLE_WITHIN: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// References to versions that the bucket does not have.
    pub dangling: Vec<FileReference>,
    /// Keys that have a current object and no row.
    pub orphans: u64,
}

/// What a bucket holds under one key.
#[derive(Debug, Default)]
struct Key {
    versions: BTreeSet<String>,
    /// Its latest version is an object, not a delete marker.
    is_current: bool,
}

impl From<Vec<Version>> for Key {
    fn from(versions: Vec<Version>) -> Self {
        let is_current = versions.iter().any(|version| version.latest && !version.delete_marker);
        let of_objects = versions.into_iter().filter(|version| !version.delete_marker);
        Self { versions: of_objects.map(|version| version.version_id).collect(), is_current }
    }
}

/// Every reference in the database.
///
/// # Errors
/// [`PostgresError`].
pub async fn references(session: &mut Session) -> Result<BTreeSet<FileReference>, PostgresError> {
    let tables: Vec<(String,)> =
        session.all("look for references", tables::with_columns("object_key", "version_id"), TABLE_WITHIN).await?;
    let mut references = BTreeSet::new();
    for (table,) in tables {
        let sql = format!(
            "SELECT DISTINCT object_key::text, coalesce(version_id::text, '') FROM {table} WHERE object_key IS NOT NULL"
        );
        let rows: Vec<(String, String)> = session.all("read references", sql, TABLE_WITHIN).await?;
        references.extend(rows.into_iter().map(|(object_key, version_id)| FileReference { object_key, version_id }));
    }
    Ok(references)
}

impl Store {
    /// Compares the database's references with the versions in the zone's own bucket. A listing is never answered by the
    /// other region.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reconcile(&self, session: &mut Session, bucket: &str) -> Result<Found, StoreError> {
        let references = references(session).await?;
        let keys = self.versions(bucket).await?;
        Ok(compare(references, &keys))
    }

    /// The references to versions that a bucket of the zone's own does not have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dangling(
        &self,
        references: &BTreeSet<FileReference>,
        bucket: &str,
    ) -> Result<Vec<FileReference>, StoreError> {
        Ok(compare(references.clone(), &self.versions(bucket).await?).dangling)
    }

    async fn versions(&self, bucket: &str) -> Result<BTreeMap<String, Key>, StoreError> {
        let mut keys = BTreeMap::new();
        let mut listing = Listing::new(&self.own, bucket);
        while let Some(listed) = listing.next().await? {
            keys.insert(listed.name, Key::from(listed.versions));
        }
        Ok(keys)
    }
}

fn compare(references: BTreeSet<FileReference>, keys: &BTreeMap<String, Key>) -> Found {
    let referred: BTreeSet<&str> = references.iter().map(|reference| reference.object_key.as_str()).collect();
    let is_orphan = |(name, key): &(&String, &Key)| key.is_current && !referred.contains(name.as_str());
    let orphans = keys.iter().filter(is_orphan).count() as u64;
    let is_there = |reference: &FileReference| {
        let key = keys.get(&reference.object_key);
        // A row without a version means whatever is current.
        key.is_some_and(|key| match reference.version_id.as_str() {
            "" => key.is_current,
            version => key.versions.contains(version),
        })
    };
    Found { dangling: references.iter().filter(|reference| !is_there(reference)).cloned().collect(), orphans }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_needs_its_very_version_and_an_object_needs_a_row() {
        let key = |versions: &[&str], is_current| Key {
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
            is_current,
        };
        let keys = BTreeMap::from([
            ("whole".to_owned(), key(&["1"], true)),
            ("deleted".to_owned(), key(&["1"], false)),
            ("other-version".to_owned(), key(&["2"], true)),
            ("no-row".to_owned(), key(&["1"], true)),
            ("no-row-deleted".to_owned(), key(&["1"], false)),
        ]);
        let reference = |object_key: &str, version_id: &str| FileReference {
            object_key: object_key.to_owned(),
            version_id: version_id.to_owned(),
        };
        let references = BTreeSet::from([
            reference("whole", "1"),
            reference("whole", ""),
            reference("deleted", "1"),
            reference("deleted", ""),
            reference("other-version", "1"),
            reference("absent", "1"),
        ]);
        let dangling = vec![reference("absent", "1"), reference("deleted", ""), reference("other-version", "1")];
        assert_eq!(compare(references, &keys), Found { dangling, orphans: 1 });
    }
}
