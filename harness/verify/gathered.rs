//! One event's reading, gone through once: what it holds of each write, for both passes over the books.

use super::{
    balance::Second,
    input::Input,
    passes::Print,
    readings::{self, Read},
    rows::Rows,
    timeline::Switch,
    versions::Versions,
    writes::Writes,
};
use crate::{
    ledger::{Head, Part},
    model::operation::EnvironmentIndex,
};

/// What was gathered of a reading. Nothing of the reading itself is kept.
pub(super) struct Gathered {
    pub read: Read,
    /// `None`: the database was not read.
    pub rows: Option<Rows>,
    /// `None`: the bucket was not read.
    pub versions: Option<Versions>,
    /// What the second pass has seen of it.
    pub second: Second,
    /// What it comes to, if it is the first of the two final ones.
    pub first: Option<Print>,
}

impl Gathered {
    /// Goes through the reading of this event.
    pub fn of(input: &Input<'_>, environment: EnvironmentIndex, switch: &Switch, writes: &Writes<'_>) -> Self {
        let found = readings::find(input.observations, environment, switch);
        let head = found.as_ref().map(|found| found.head());
        let mut read = readings::of_event(head, switch);
        let is_first = |head: &&Head| switch.kind.is_none() && readings::is_pass(&head.boundary, 1);
        let mut first = head.filter(is_first).map(Print::new);
        let mut second = Second::default();
        let mut rows = read.rows.is_ok().then(|| Rows::new(writes));
        let mut versions = None;
        let gone = found.as_ref().map_or(Ok(()), |found| {
            found.parts(&mut |part| {
                second.part(&part);
                first.iter_mut().for_each(|first| first.part(&part));
                match (&part, &mut rows) {
                    (Part::History(part), Some(rows)) => rows.history(writes, part),
                    (Part::Data(part), Some(rows)) => rows.data(writes, part),
                    (Part::Accounts(part), Some(rows)) => rows.accounts(part),
                    (Part::Legs(part), Some(rows)) => rows.legs(writes, part),
                    (Part::Versions(part), rows) => {
                        let rows = rows.as_ref();
                        versions.get_or_insert_with(|| Versions::new(writes, rows)).versions(writes, rows, part);
                    }
                    (Part::Marked(part), rows) => {
                        versions.get_or_insert_with(|| Versions::new(writes, rows.as_ref())).marked(part);
                    }
                    (_, None) => {}
                }
            })
        });
        if let Err(why) = gone {
            (read.rows, read.versions) = (Err(why.clone()), Err(why));
        }
        if let Some(rows) = &mut rows {
            rows.close();
        }
        let versions = read.versions.is_ok().then(|| {
            let mut versions = versions.unwrap_or_else(|| Versions::new(writes, rows.as_ref()));
            versions.close();
            versions
        });
        let rows = rows.filter(|_| read.rows.is_ok());
        Self { read, rows, versions, second, first }
    }
}
