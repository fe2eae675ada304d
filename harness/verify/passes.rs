//! Whether two readings of the same thing agree, whatever their order.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem::{Discriminant, discriminant},
};

use crate::model::{
    observation::{Content, FilesSnapshot, ObjectReference, Observation, Reading, SqlSnapshot},
    operation::Store,
};

/// What one reading comes to: two of them are equal if both hold the same things, or both failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    sql: (Discriminant<Reading<SqlSnapshot>>, Option<Fingerprint>),
    files: (Discriminant<Reading<FilesSnapshot>>, Option<Fingerprint>),
}

impl Print {
    pub fn of(observation: &Observation) -> Self {
        let Observation { sql, files, .. } = observation;
        Self {
            sql: (discriminant(sql), sql.whole().map(rows)),
            files: (discriminant(files), files.whole().map(versions)),
        }
    }

    /// Whether both agree in one store.
    pub fn agrees(&self, other: &Self, store: Store) -> bool {
        match store {
            Store::Sql => self.sql == other.sql,
            Store::Files => self.files == other.files,
        }
    }
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
    (items.len(), items.map(hash).fold(0, u64::wrapping_add))
}

/// The hash of one thing.
pub(super) fn hash(thing: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}
