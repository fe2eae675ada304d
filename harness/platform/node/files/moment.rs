//! What a bucket that is written to meanwhile held at a moment of its database.

use std::collections::{BTreeMap, BTreeSet};

use crate::{api::control::FileReference, platform::node::store::Key};

/// A moment: the versions that its rows refer to, and a time of the store's that is no later.
#[derive(Debug)]
pub struct Moment {
    references: BTreeSet<FileReference>,
    /// Versions that rows refer to, by key; an empty one means whatever is current.
    versions: BTreeMap<String, BTreeSet<String>>,
    before_ms: i64,
}

impl Moment {
    /// Of these references; `before_ms` is Unix time of the store's, milliseconds.
    pub fn new(references: BTreeSet<FileReference>, before_ms: i64) -> Self {
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for FileReference { object_key, version_id } in &references {
            versions.entry(object_key.clone()).or_default().insert(version_id.clone());
        }
        Self { references, versions, before_ms }
    }

    /// What its rows refer to.
    pub fn references(&self) -> &BTreeSet<FileReference> {
        &self.references
    }

    /// What was there of a key, out of what is there now. A version that a row refers to was there, whatever clocks say.
    pub(super) fn of(&self, mut key: Key) -> Key {
        let referred = self.versions.get(&key.name);
        let is_referred = |id: &str| referred.is_some_and(|versions| versions.contains(id) || versions.contains(""));
        key.versions.retain(|version| version.modified_ms <= self.before_ms || is_referred(&version.version_id));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::node::store::Version;

    #[test]
    fn what_rows_refer_to_is_there_and_of_the_rest_what_is_older() {
        let version = |id: &str, modified_ms| Version {
            object_key: "k".to_owned(),
            version_id: id.to_owned(),
            delete_marker: false,
            latest: false,
            bytes: 1,
            etag: id.to_owned(),
            modified_ms,
        };
        let check = |referred: &[(&str, &str)], expected: &[&str]| {
            let reference = |(key, id): &(&str, &str)| FileReference {
                object_key: (*key).to_owned(),
                version_id: (*id).to_owned(),
            };
            let moment = Moment::new(referred.iter().map(reference).collect(), 10);
            let versions = vec![version("old", 9), version("just", 10), version("new", 11)];
            let of = moment.of(Key { name: "k".to_owned(), versions });
            let ids: Vec<&str> = of.versions.iter().map(|one| one.version_id.as_str()).collect();
            assert_eq!(ids, expected, "{referred:?}");
        };
        check(&[], &["old", "just"]);
        check(&[("k", "new")], &["old", "just", "new"]);
        check(&[("k", "old"), ("other", "new")], &["old", "just"]);
        check(&[("k", "")], &["old", "just", "new"]);
    }
}
