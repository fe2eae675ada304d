//! Whether two readings of the same thing agree, whatever their order.

use std::mem::{Discriminant, discriminant};

use super::hash::{Sum, hash};
use crate::{
    ledger::{Found, Head, Part},
    model::{
        observation::{Content, ObjectVersion, Reading},
        operation::Store,
    },
};

/// What one reading comes to: two of them are equal if both hold the same things, or both failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    sql: (Discriminant<Reading<()>>, [Sum; 4]),
    files: (Discriminant<Reading<()>>, [Sum; 2]),
    /// Versions and delete markers, without what is only known once a body is read.
    versions: Sum,
}

impl Print {
    /// Of a reading that is yet to be gone through.
    pub fn new(head: &Head) -> Self {
        Self {
            sql: (discriminant(&head.sql), Default::default()),
            files: (discriminant(&head.files), Default::default()),
            versions: Sum::default(),
        }
    }

    /// Of a reading.
    ///
    /// # Errors
    /// Why it cannot be gone through.
    pub fn of(found: &Found<'_>) -> Result<Self, String> {
        let mut print = Self::new(found.head());
        found.parts(&mut |part| print.part(&part)).map(|()| print)
    }

    pub fn part(&mut self, part: &Part<&str>) {
        let ((_, sql), (_, files)) = (&mut self.sql, &mut self.files);
        match part {
            Part::History(rows) => sql[0].add(rows.iter().map(|row| (&row.token, row.key, &row.prev))),
            Part::Data(rows) => sql[1].add(rows.iter().map(|row| (row.key, &row.token, row.value, row.object))),
            Part::Accounts(accounts) => sql[2].add(accounts),
            Part::Legs(legs) => sql[3].add(legs.iter().map(|leg| (&leg.token, leg.account, leg.amount))),
            Part::Versions(versions) => {
                for ObjectVersion { object_key, version_id, content } in versions {
                    let body = match content {
                        Content::Body { token, sha256, bytes } => Some((token, sha256, bytes)),
                        // Why one could not be read may be told in other words each time.
                        Content::DeleteMarker | Content::Unreadable(_) | Content::Withheld(_) => None,
                    };
                    let is_marker = *content == Content::DeleteMarker;
                    let held = hash((object_key, version_id, is_marker, body.map(|(_, sha256, _)| sha256)));
                    self.versions.add([held]);
                    files[0].add([(held, body.map(|(token, _, bytes)| (token, bytes)))]);
                }
            }
            Part::Marked(marked) => files[1].add(marked),
        }
    }

    /// Whether two regions hold the same rows, versions and delete markers.
    pub fn holds_the_same(&self, other: &Self) -> bool {
        self.sql == other.sql && self.versions == other.versions
    }

    /// Whether both agree in one store.
    pub fn agrees(&self, other: &Self, store: Store) -> bool {
        match store {
            Store::Sql => self.sql == other.sql,
            Store::Files => self.files == other.files,
        }
    }
}
