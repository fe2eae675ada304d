//! A reading of the bucket, sorted by write.

use super::{
    hash::{Table, table},
    rows::Rows,
    writes::{NONE, Writes},
};
use crate::model::{
    observation::{Content, FilesSnapshot, ObjectReference, ObjectVersion},
    operation::Intent,
};

/// The pinned version is there.
const PRESENT: u8 = 1;
/// Its body can be read and fits.
const FITS: u8 = 2;
/// Its body can be read.
const READABLE: u8 = 4;
/// The object has a delete marker.
const MARKED: u8 = 8;
/// A data row refers to the object.
const REFERENCED: u8 = 16;

/// Rows' references to objects that cannot be read, with whether the platform says so.
pub(super) type Dangling<'a> = Vec<(&'a ObjectReference<&'a str>, bool)>;

/// What a reading of the bucket holds of each write.
pub(super) struct Versions<'a> {
    pub snapshot: &'a FilesSnapshot<&'a str>,
    flags: Vec<u8>,
    /// Versions with a body of each write's object, the pinned one and others.
    bodies: Vec<u32>,
    /// Versions with a body under object keys that nobody here intended.
    pub foreign: Vec<&'a ObjectVersion<&'a str>>,
    /// Of these, the ones that no delete marker hides.
    pub foreign_orphans: u64,
}

impl<'a> Versions<'a> {
    /// `rows`: the same side's database, if it could be read.
    pub fn new(writes: &Writes<'_>, rows: Option<&Rows<'_>>, snapshot: &'a FilesSnapshot<&'a str>) -> Self {
        let count = writes.len();
        let mut versions =
            Self { snapshot, flags: vec![0; count], bodies: vec![0; count], foreign: Vec::new(), foreign_orphans: 0 };
        for row in rows.iter().flat_map(|rows| &rows.snapshot.data) {
            let Some(object) = &row.object else { continue };
            if let Some(number) = writes.object(object.object_key, writes.seen(&row.token)) {
                versions.flags[number as usize] |= REFERENCED;
            }
        }
        let mut strange_markers = Vec::new();
        for version in &snapshot.versions {
            let guess = match &version.content {
                Content::Body { token: Some(token), .. } => writes.seen(token),
                _ => None,
            };
            match (writes.object(version.object_key, guess), &version.content) {
                (Some(number), Content::DeleteMarker) => versions.flags[number as usize] |= MARKED,
                (None, Content::DeleteMarker) => strange_markers.push(version.object_key),
                (Some(number), _) => versions.body(writes, rows, number, version),
                (None, _) => versions.foreign.push(version),
            }
        }
        strange_markers.sort_unstable();
        let mut orphans: Vec<&str> = versions.foreign.iter().map(|version| version.object_key).collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans.retain(|key| strange_markers.binary_search(key).is_err());
        versions.foreign_orphans = orphans.len() as u64;
        versions
    }

    fn body(&mut self, writes: &Writes<'_>, rows: Option<&Rows<'_>>, number: u32, version: &ObjectVersion<&str>) {
        self.bodies[number as usize] += 1;
        let flags = &mut self.flags[number as usize];
        let is_pinned = pinned(writes, rows, number).is_none_or(|pinned| pinned == version.version_id);
        if is_pinned && *flags & PRESENT == 0 {
            *flags |= PRESENT;
            if let Content::Body { sha256, bytes, .. } = &version.content {
                *flags |= READABLE;
                *flags |= if fits(writes.intent(number), sha256, *bytes) { FITS } else { 0 };
            }
        }
    }

    pub fn is_present(&self, number: u32) -> bool {
        self.flags[number as usize] & PRESENT != 0
    }

    pub fn fits(&self, number: u32) -> bool {
        self.flags[number as usize] & FITS != 0
    }

    /// An object that is there, not deleted, and that no row refers to.
    pub fn is_orphan(&self, number: u32) -> bool {
        self.bodies[number as usize] > 0 && self.flags[number as usize] & (MARKED | REFERENCED) == 0
    }

    /// Versions with a body that were found of a write's object.
    pub fn units(&self, number: u32) -> u64 {
        u64::from(self.bodies[number as usize])
    }

    /// Rows whose object version cannot be read here, with whether the platform says so. `skip` leaves out rows of writes
    /// that were under way.
    pub fn dangling<'r>(&self, writes: &Writes<'_>, rows: &Rows<'r>, skip: impl Fn(u32) -> bool) -> Dangling<'r> {
        let mut dangling = Vec::new();
        let mut others: Option<Table<(&str, &str), bool>> = None;
        for row in &rows.snapshot.data {
            let Some(object) = &row.object else { continue };
            let writer = writes.seen(&row.token);
            if writer.is_some_and(&skip) {
                continue;
            }
            let own = writes.object(object.object_key, writer);
            let pin = own.and_then(|number| pinned(writes, None, number));
            let readable = match own {
                Some(number) if pin.is_some_and(|pin| pin == object.version_id) => {
                    self.flags[number as usize] & READABLE != 0
                }
                _ => {
                    let others = others.get_or_insert_with(|| self.readable());
                    others.get(&(object.object_key, object.version_id)).copied().unwrap_or(false)
                }
            };
            if !readable {
                dangling.push((object, self.snapshot.marked.contains(object)));
            }
        }
        dangling
    }

    fn readable(&self) -> Table<(&'a str, &'a str), bool> {
        let mut readable = table(self.snapshot.versions.len());
        for version in &self.snapshot.versions {
            let whole = matches!(version.content, Content::Body { .. });
            readable.insert((version.object_key, version.version_id), whole);
        }
        readable
    }
}

/// The version that a write's object must have: as the client was told, else as its row says.
fn pinned<'w>(writes: &'w Writes<'_>, rows: Option<&'w Rows<'_>>, number: u32) -> Option<&'w str> {
    if let Some(acked) = writes.outcome(number).and_then(|outcome| outcome.file_acked.as_ref()) {
        return Some(&acked.version_id);
    }
    let (rows, op) = (rows?, writes.op(number));
    if op.key == NONE || rows.holder[op.key as usize] != number {
        return None;
    }
    rows.data_row(op.key)?.object.as_ref().map(|object| object.version_id)
}

fn fits(intent: &Intent, sha256: &str, bytes: u64) -> bool {
    intent.file.as_ref().is_some_and(|file| *file.sha256 == *sha256 && u64::from(file.bytes) == bytes)
}
