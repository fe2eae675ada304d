//! Whether two readings of the same thing agree, whatever their order.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::observation::{Content, FilesSnapshot, ObjectReference, SqlSnapshot};

/// Whether two readings of a database hold the same rows.
pub(super) fn same_rows(a: &SqlSnapshot, b: &SqlSnapshot) -> bool {
    a == b || rows(a) == rows(b)
}

/// Whether two readings of a bucket hold the same versions.
pub(super) fn same_versions(a: &FilesSnapshot, b: &FilesSnapshot) -> bool {
    a == b || versions(a) == versions(b)
}

/// Number of rows and sum of their hashes, for each table: equal for two multisets that are equal.
type Fingerprint = [(usize, u64); 4];

fn rows(snapshot: &SqlSnapshot) -> Fingerprint {
    let SqlSnapshot { history, data, accounts, legs } = snapshot;
    [
        sum(history.iter().map(|row| (&row.token, &row.key, &row.prev))),
        sum(data.iter().map(|row| (&row.key, &row.token, &row.value, row.object.as_ref().map(reference)))),
        sum(accounts.iter()),
        sum(legs.iter().map(|leg| (&leg.token, leg.account, leg.amount))),
    ]
}

fn versions(snapshot: &FilesSnapshot) -> Fingerprint {
    let content = |content: &Content| match content {
        Content::DeleteMarker => None,
        Content::Body { token, sha256, bytes } => Some((token.clone(), sha256.clone(), *bytes)),
        // Why it could not be read may be told in other words each time.
        Content::Unreadable(_) => Some((None, Box::default(), u64::MAX)),
    };
    [
        sum(snapshot
            .versions
            .iter()
            .map(|version| (&version.object_key, &version.version_id, content(&version.content)))),
        sum(snapshot.marked.iter().map(reference)),
        (0, 0),
        (0, 0),
    ]
}

fn reference(object: &ObjectReference) -> (&str, &str, &str) {
    (&object.object_key, &object.version_id, &object.sha256)
}

fn sum<T: Hash>(items: impl ExactSizeIterator<Item = T>) -> (usize, u64) {
    let count = items.len();
    let hash = |item: T| {
        let mut hasher = DefaultHasher::new();
        item.hash(&mut hasher);
        hasher.finish()
    };
    (count, items.map(hash).fold(0, u64::wrapping_add))
}
