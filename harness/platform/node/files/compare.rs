//! What two listings have not in common, key by key: two pages in memory, however large the buckets.

use std::sync::Arc;

use super::{moment::Moment, spool::Spooled};
use crate::platform::node::store::{Key, Listing, StoreError, Version};

/// Where a listing comes from.
pub enum Source {
    /// From the store, as it is read.
    Store(Listing),
    /// The same, as it was at a moment.
    Moment(Listing, Arc<Moment>),
    /// From a file.
    File(Spooled),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Key>, StoreError> {
        match self {
            Self::Store(listing) => listing.next().await,
            Self::Moment(listing, moment) => {
                while let Some(key) = listing.next().await? {
                    let key = moment.of(key);
                    if !key.versions.is_empty() {
                        return Ok(Some(key));
                    }
                }
                Ok(None)
            }
            Self::File(spooled) => spooled.next().await,
        }
    }
}

/// One key in which two listings differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Versions and markers that are left alone.
    pub left: Vec<Version>,
    /// Versions and markers that are right alone.
    pub right: Vec<Version>,
    /// Those that both have, and that are not the same: content, kind, or being the latest where both have all.
    pub unlike: Vec<Version>,
}

/// Two listings, walked side by side.
pub struct Comparison {
    left: Source,
    right: Source,
    ahead: Option<(Option<Key>, Option<Key>)>,
    /// Versions and markers seen on the left.
    pub seen: u64,
}

impl Comparison {
    /// Of these two.
    pub fn new(left: Source, right: Source) -> Self {
        Self { left, right, ahead: None, seen: 0 }
    }

    /// The next key in which they differ.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next(&mut self) -> Result<Option<Difference>, StoreError> {
        loop {
            let (left, right) = match self.ahead.take() {
                Some(ahead) => ahead,
                None => tokio::try_join!(self.left.next(), self.right.next())?,
            };
            let (left, right) = match (left, right) {
                (None, None) => return Ok(None),
                (Some(left), Some(right)) if left.name < right.name => {
                    self.ahead = Some((self.left.next().await?, Some(right)));
                    (left.versions, vec![])
                }
                (Some(left), Some(right)) if left.name > right.name => {
                    self.ahead = Some((Some(left), self.right.next().await?));
                    (vec![], right.versions)
                }
                (left, right) => (
                    left.map(|key| key.versions).unwrap_or_default(),
                    right.map(|key| key.versions).unwrap_or_default(),
                ),
            };
            self.seen += left.len() as u64;
            let difference = differ(left, right);
            if difference != Difference::default() {
                return Ok(Some(difference));
            }
        }
    }
}

/// In what one key's versions differ.
pub fn differ(left: Vec<Version>, mut right: Vec<Version>) -> Difference {
    let mut difference = Difference::default();
    let mut both = Vec::new();
    for version in left {
        match right.iter().position(|other| other.version_id == version.version_id) {
            Some(at) => both.push((version, right.swap_remove(at))),
            None => difference.left.push(version),
        }
    }
    difference.right = right;
    // A store that has still to remove a key's latest version elsewhere hides it, and calls no other one the latest.
    let told = both.iter().any(|(left, _)| left.latest) && both.iter().any(|(_, right)| right.latest);
    let whole = told && difference.left.is_empty() && difference.right.is_empty();
    for (left, right) in both {
        let same = (left.delete_marker, left.bytes, &left.etag) == (right.delete_marker, right.bytes, &right.etag);
        if !same || (whole && left.latest != right.latest) {
            difference.unlike.push(left);
        }
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, latest: bool, etag: &str) -> Version {
        Version {
            object_key: "k".to_owned(),
            version_id: id.to_owned(),
            delete_marker: etag.is_empty(),
            latest,
            bytes: etag.len() as u64,
            etag: etag.to_owned(),
            modified_ms: 0,
        }
    }

    #[test]
    fn versions_differ_by_being_there_by_content_and_by_which_is_the_latest() {
        let (a, b) = (version("1", false, "a"), version("2", true, ""));
        let ids = |versions: &[Version]| versions.iter().map(|one| one.version_id.clone()).collect::<Vec<_>>();
        let check = |left: &[Version], right: &[Version], expected: [&[&str]; 3]| {
            let found = differ(left.to_vec(), right.to_vec());
            let found = [ids(&found.left), ids(&found.right), ids(&found.unlike)];
            assert_eq!(found, expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()));
        };
        check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], [&[], &[], &[]]);
        check(&[a.clone(), b.clone()], &[version("1", true, "a")], [&["2"], &[], &[]]);
        check(&[], std::slice::from_ref(&a), [&[], &["1"], &[]]);
        check(&[version("1", true, "a")], &[version("1", true, "b")], [&[], &[], &["1"]]);
        check(&[version("1", false, "a")], &[version("1", true, "a")], [&[], &[], &[]]);
        check(&[a, b], &[version("1", true, "a"), version("2", false, "")], [&[], &[], &["1", "2"]]);
    }
}
