//! Marked references: rows whose object the region does not have. Their GET is answered with 409, so that an application
//! can tell "lost in the failover" from "never was".

use std::collections::{BTreeMap, BTreeSet};

use crate::api::control::Dangling;

/// The marked references of one environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marks {
    versions: BTreeMap<String, BTreeSet<String>>,
}

impl Marks {
    /// From the node's list.
    pub fn new(dangling: Dangling) -> Self {
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for reference in dangling.references {
            versions.entry(reference.object_key).or_default().insert(reference.version_id);
        }
        Self { versions }
    }

    /// Whether a request for this key, and version if it names one, is for a marked reference. Keys are never written
    /// twice, so a key is marked with any of its versions.
    pub fn covers(&self, key: &str, version: Option<&str>) -> bool {
        self.versions.get(key).is_some_and(|versions| version.is_none_or(|version| versions.contains(version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::control::FileReference;

    #[test]
    fn a_reference_is_marked_by_key_and_version_or_by_key_alone() {
        let reference = FileReference { object_key: "a/b".to_owned(), version_id: "v1".to_owned() };
        let marks = Marks::new(Dangling { references: vec![reference] });
        for (key, version, covered) in [
            ("a/b", Some("v1"), true),
            ("a/b", None, true),
            ("a/b", Some("v2"), false),
            ("a", None, false),
            ("a/b/c", Some("v1"), false),
        ] {
            assert_eq!(marks.covers(key, version), covered, "{key} {version:?}");
        }
    }
}
