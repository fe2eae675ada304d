//! A reading of the bucket, sorted by write while it is gone through.

use std::collections::BTreeSet;

use super::{
    hash::{Table, table},
    rows::{Reference, Rows},
    writes::{NONE, Writes},
};
use crate::model::{
    observation::{Content, ObjectReference, ObjectVersion},
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
/// A version of it is listed and was not handed out.
const WITHHELD: u8 = 16;

/// Rows' references to objects that cannot be read, with whether the platform says so.
pub(super) type Dangling = Vec<(ObjectReference, bool)>;

/// What a reading of the bucket holds of each write.
pub(super) struct Versions {
    flags: Vec<u8>,
    /// Versions with a body of each write's object, the pinned one and others.
    bodies: Vec<u32>,
    /// Versions with a body, by key and version, under object keys that nobody here intended.
    pub foreign: Vec<(Box<str>, Box<str>)>,
    /// Of these, the objects that no delete marker hides; known at the close.
    pub foreign_orphans: u64,
    /// Delete markers of such keys.
    strange_markers: BTreeSet<Box<str>>,
    /// Of each object that rows refer to otherwise than is usual, the versions meant: whether they can be read.
    wanted: Table<Box<str>, Vec<(Box<str>, bool)>>,
    /// What the platform says cannot be read.
    marked: BTreeSet<ObjectReference>,
}

impl Versions {
    /// Nothing, to begin with. `rows`: the same side's database, if it could be read; it has been gone through.
    pub fn new(writes: &Writes<'_>, rows: Option<&Rows>) -> Self {
        let mut wanted: Table<Box<str>, Vec<(Box<str>, bool)>> = table(0);
        for object in rows.iter().flat_map(|rows| &rows.references).filter_map(|reference| reference.other.as_ref()) {
            wanted.entry(object.object_key.clone()).or_default().push((object.version_id.clone(), false));
        }
        Self {
            flags: vec![0; writes.len()],
            bodies: vec![0; writes.len()],
            foreign: Vec::new(),
            foreign_orphans: 0,
            strange_markers: BTreeSet::new(),
            wanted,
            marked: BTreeSet::new(),
        }
    }

    pub fn versions(&mut self, writes: &Writes<'_>, rows: Option<&Rows>, versions: &[ObjectVersion<&str>]) {
        for version in versions {
            let guess = match &version.content {
                Content::Body { token: Some(token), .. } => writes.seen(token),
                _ => None,
            };
            match (writes.object(version.object_key, guess), &version.content) {
                (Some(number), Content::DeleteMarker) => self.flags[number as usize] |= MARKED,
                (None, Content::DeleteMarker) => _ = self.strange_markers.insert(version.object_key.into()),
                // Nobody knows whether it is there.
                (Some(number), Content::Withheld(_)) => self.flags[number as usize] |= WITHHELD,
                (None, Content::Withheld(_)) => {}
                (Some(number), _) => self.body(writes, rows, number, version),
                (None, _) => self.foreign.push((version.object_key.into(), version.version_id.into())),
            }
            if !self.wanted.is_empty() {
                self.found(version);
            }
        }
    }

    fn found(&mut self, version: &ObjectVersion<&str>) {
        let meant = self.wanted.get_mut(version.object_key).into_iter().flatten();
        for (_, readable) in meant.filter(|(id, _)| **id == *version.version_id) {
            *readable = matches!(version.content, Content::Body { .. });
        }
    }

    fn body(&mut self, writes: &Writes<'_>, rows: Option<&Rows>, number: u32, version: &ObjectVersion<&str>) {
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

    pub fn marked(&mut self, marked: &[ObjectReference<&str>]) {
        self.marked.extend(marked.iter().map(|reference| reference.owned()));
    }

    /// Everything has been gone through.
    pub fn close(&mut self) {
        let mut orphans: Vec<&str> = self.foreign.iter().map(|(key, _)| &**key).collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans.retain(|key| !self.strange_markers.contains(*key));
        self.foreign_orphans = orphans.len() as u64;
    }

    pub fn is_present(&self, number: u32) -> bool {
        self.flags[number as usize] & PRESENT != 0
    }

    /// Of this write's object something is listed that the store did not hand out.
    pub fn is_withheld(&self, number: u32) -> bool {
        self.flags[number as usize] & WITHHELD != 0
    }

    pub fn fits(&self, number: u32) -> bool {
        self.flags[number as usize] & FITS != 0
    }

    /// An object that is there and not deleted.
    pub fn is_standing(&self, number: u32) -> bool {
        self.bodies[number as usize] > 0 && self.flags[number as usize] & MARKED == 0
    }

    /// Versions with a body that were found of a write's object.
    pub fn units(&self, number: u32) -> u64 {
        u64::from(self.bodies[number as usize])
    }

    /// Rows whose object version cannot be read here, with whether the platform says so. `skip` leaves out rows of writes
    /// that were under way.
    pub fn dangling(&self, writes: &Writes<'_>, rows: &Rows, skip: impl Fn(u32) -> bool) -> Dangling {
        let mut dangling = Vec::new();
        for Reference { writer, other } in &rows.references {
            if writer.is_some_and(&skip) {
                continue;
            }
            let object = match (other, writer) {
                (None, Some(number)) if self.is_readable(*number) => continue,
                (None, number) => number.and_then(|number| own(writes, number)),
                (Some(other), _) if self.can_be_read(writes, *writer, other) => continue,
                (Some(other), _) => Some((**other).clone()),
            };
            dangling.extend(object.map(|object| {
                let is_marked = self.marked.contains(&object);
                (object, is_marked)
            }));
        }
        dangling
    }

    fn is_readable(&self, number: u32) -> bool {
        self.flags[number as usize] & READABLE != 0
    }

    fn can_be_read(&self, writes: &Writes<'_>, writer: Option<u32>, object: &ObjectReference) -> bool {
        match writes.object(&object.object_key, writer) {
            Some(own) if writes.version(own) == Some(&*object.version_id) => self.is_readable(own),
            _ => {
                let mut meant = self.wanted.get(&object.object_key).into_iter().flatten();
                meant.any(|(version, readable)| *readable && *version == object.version_id)
            }
        }
    }
}

/// What a row refers to that is as usual.
fn own(writes: &Writes<'_>, number: u32) -> Option<ObjectReference> {
    let (file, version) = (writes.file(number)?, writes.version(number)?);
    Some(ObjectReference {
        object_key: file.object_key.clone(),
        version_id: version.into(),
        sha256: file.sha256.clone(),
    })
}

/// The version that a write's object must have: as the client was told, else as its row says.
fn pinned<'w>(writes: &'w Writes<'_>, rows: Option<&'w Rows>, number: u32) -> Option<&'w str> {
    if let Some(version) = writes.version(number) {
        return Some(version);
    }
    let (rows, op) = (rows?, writes.op(number));
    if op.key == NONE || rows.holder[op.key as usize] != number { None } else { rows.version(number) }
}

fn fits(intent: &Intent, sha256: &str, bytes: u64) -> bool {
    intent.file.as_ref().is_some_and(|file| *file.sha256 == *sha256 && u64::from(file.bytes) == bytes)
}
