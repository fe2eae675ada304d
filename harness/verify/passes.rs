//! Whether two readings of the same thing agree, whatever their order.

use std::mem::{Discriminant, discriminant};

use super::hash::{Sum, sum};
use crate::model::{
    observation::{Content, FilesSnapshot, Observation, Reading, SqlSnapshot},
    operation::Store,
    token::Seen,
};

/// What one reading comes to: two of them are equal if both hold the same things, or both failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    sql: (Discriminant<Reading<()>>, Option<Fingerprint>),
    files: (Discriminant<Reading<()>>, Option<Fingerprint>),
}

impl Print {
    pub fn of(observation: &Observation<&str>) -> Self {
        let Observation { sql, files, .. } = observation;
        Self {
            sql: (discriminant(&sql.map(|_| ())), sql.whole().map(rows)),
            files: (discriminant(&files.map(|_| ())), files.whole().map(versions)),
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

/// One for each table.
type Fingerprint = [Sum; 4];

fn rows(snapshot: &SqlSnapshot<&str>) -> Fingerprint {
    let SqlSnapshot { history, data, accounts, legs } = snapshot;
    [
        sum(history.iter().map(|row| (&row.token, &row.key, &row.prev))),
        sum(data.iter().map(|row| (&row.key, &row.token, &row.value, row.object))),
        sum(accounts.iter()),
        sum(legs.iter().map(|leg| (&leg.token, leg.account, leg.amount))),
    ]
}

fn versions(snapshot: &FilesSnapshot<&str>) -> Fingerprint {
    fn content<'a>(content: &Content<&'a str>) -> Option<(Option<Seen<&'a str>>, &'a str, u64)> {
        match content {
            Content::DeleteMarker => None,
            Content::Body { token, sha256, bytes } => Some((*token, *sha256, *bytes)),
            // Why it could not be read may be told in other words each time.
            Content::Unreadable(_) => Some((None, "", u64::MAX)),
        }
    }
    [
        sum(snapshot
            .versions
            .iter()
            .map(|version| (&version.object_key, &version.version_id, content(&version.content)))),
        sum(snapshot.marked.iter()),
        (0, 0),
        (0, 0),
    ]
}
