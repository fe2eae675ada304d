//! A reading of the database, sorted by write and by key while it is gone through. Of the rows themselves only what no
//! write can say is kept.

use std::collections::BTreeMap;

use super::{
    hash::{Table, table},
    writes::{NONE, STRANGE, Writes},
};
use crate::model::{
    observation::{DataRow, HistoryRow, Leg, ObjectReference},
    operation::Transfer,
    token::Seen,
};

/// The row names another key than the write.
const MISPLACED: u8 = 1;
/// The giving leg of a transfer.
const FROM_LEG: u8 = 2;
/// The taking leg.
const TO_LEG: u8 = 4;
/// A leg that the transfer does not have, or has once.
const WRONG_LEG: u8 = 8;
/// Value and reference of its key's row, which names it, fit.
const FITS: u8 = 16;
/// A data row refers to its object.
const REFERENCED: u8 = 32;

/// What was found of a transfer's legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legs {
    None,
    Both,
    Torn,
}

/// A data row's reference to an object.
pub(super) struct Reference {
    /// Who wrote the row, if anybody of ours.
    pub writer: Option<u32>,
    /// What it refers to; `None`: exactly what that writer wrote, in the version that it was told.
    pub other: Option<Box<ObjectReference>>,
}

/// What a reading of the database holds of each write and key.
#[derive(Default)]
pub(super) struct Rows {
    /// History rows of each write.
    pub copies: Vec<u32>,
    /// Data rows that name each write, of whatever key.
    pub held: Vec<u32>,
    /// What stood there before, says the write's history row: a write, [`NONE`], or [`STRANGE`].
    pub prev: Vec<u32>,
    /// The write of the same key whose history row says that this one stood there before.
    pub next: Vec<u32>,
    /// Writes whose history row says the same of what stood there before as another's.
    pub forks: Vec<u32>,
    /// History rows of writes whose earlier link nobody issued.
    pub strange_prev: Vec<(u32, Seen)>,
    /// Whose token the data row of each key holds: [`STRANGE`] if nobody's here, [`NONE`] if there is no row.
    pub holder: Vec<u32>,
    /// Tokens that nobody issued, one for each row counted as foreign.
    pub foreign: Vec<Seen>,
    /// Data rows' references to objects, in their order.
    pub references: Vec<Reference>,
    /// What accounts hold.
    pub accounts: Vec<(u32, i64)>,
    /// What legs moved to and from each account.
    pub moved: BTreeMap<u32, i128>,
    /// Versions that rows refer to of writes whose client was told none.
    versions: Table<u32, Box<str>>,
    flags: Vec<u8>,
    /// Tokens of data rows, and of legs, that nobody issued.
    strange: [Vec<Seen>; 2],
}

impl Rows {
    /// Nothing, to begin with.
    pub fn new(writes: &Writes<'_>) -> Self {
        let (ops, keys) = (writes.len(), writes.keys());
        Self {
            copies: vec![0; ops],
            held: vec![0; ops],
            prev: vec![NONE; ops],
            next: vec![NONE; ops],
            holder: vec![NONE; keys],
            versions: table(0),
            flags: vec![0; ops],
            ..Self::default()
        }
    }

    pub fn history(&mut self, writes: &Writes<'_>, rows: &[HistoryRow<&str>]) {
        for row in rows {
            let Some(number) = writes.seen(&row.token) else {
                self.foreign.push(row.token.owned());
                continue;
            };
            let place = number as usize;
            self.copies[place] += 1;
            if self.copies[place] > 1 {
                continue;
            }
            if *row.key != *writes.intent(number).key {
                self.flags[place] |= MISPLACED;
            }
            let Some(before) = &row.prev else { continue };
            match writes.seen(before).filter(|before| writes.op(*before).key == writes.op(number).key) {
                Some(before) => {
                    self.prev[place] = before;
                    match &mut self.next[before as usize] {
                        next if *next == NONE => *next = number,
                        _ => self.forks.push(number),
                    }
                }
                None => {
                    self.prev[place] = STRANGE;
                    self.strange_prev.push((number, before.owned()));
                }
            }
        }
    }

    pub fn data(&mut self, writes: &Writes<'_>, rows: &[DataRow<&str>]) {
        for row in rows {
            let holder = writes.seen(&row.token);
            match holder {
                Some(number) => self.held[number as usize] += 1,
                None => self.strange[0].push(row.token.owned()),
            }
            if let Some(key) = writes.key(row.key, holder)
                && self.holder[key as usize] == NONE
            {
                self.holder[key as usize] = holder.unwrap_or(STRANGE);
                if let Some(number) = holder.filter(|number| writes.op(*number).key == key) {
                    self.state(writes, number, row);
                }
            }
            if let Some(object) = row.object {
                self.reference(writes, holder, object);
            }
        }
    }

    /// A key's row that names a write of the key.
    fn state(&mut self, writes: &Writes<'_>, number: u32, row: &DataRow<&str>) {
        if fits(writes, number, row) {
            self.flags[number as usize] |= FITS;
        }
        if let Some(object) = &row.object
            && writes.op(number).file
            && writes.version(number).is_none()
        {
            self.versions.insert(number, object.version_id.into());
        }
    }

    fn reference(&mut self, writes: &Writes<'_>, writer: Option<u32>, object: ObjectReference<&str>) {
        let own = writes.object(object.object_key, writer);
        if let Some(number) = own {
            self.flags[number as usize] |= REFERENCED;
        }
        let is_usual = own.is_some_and(|number| {
            let file = writes.file(number);
            own == writer
                && writes.version(number) == Some(object.version_id)
                && file.is_some_and(|file| *file.sha256 == *object.sha256)
        });
        self.references.push(Reference { writer, other: (!is_usual).then(|| Box::new(object.owned())) });
    }

    pub fn accounts(&mut self, accounts: &[(u32, i64)]) {
        self.accounts.extend_from_slice(accounts);
    }

    pub fn legs(&mut self, writes: &Writes<'_>, legs: &[Leg<&str>]) {
        for leg in legs {
            *self.moved.entry(leg.account).or_default() += i128::from(leg.amount);
            let Some(number) = writes.seen(&leg.token) else {
                self.strange[1].push(leg.token.owned());
                continue;
            };
            let bit = match writes.intent(number).transfer {
                Some(Transfer { from, amount, .. }) if leg.account == from && leg.amount == -amount => FROM_LEG,
                Some(Transfer { to, amount, .. }) if leg.account == to && leg.amount == amount => TO_LEG,
                _ => WRONG_LEG,
            };
            let flags = &mut self.flags[number as usize];
            *flags |= if *flags & bit == 0 { bit } else { WRONG_LEG };
        }
    }

    /// Everything has been gone through.
    pub fn close(&mut self) {
        let [mut data, mut legs] = std::mem::take(&mut self.strange);
        // One data row goes with a history row of the same token; the others are rows of their own.
        data.sort_unstable();
        let known = self.sorted_foreign();
        let mut last = None;
        for token in data {
            let with_history = last.as_ref() != Some(&token) && known.binary_search(&token).is_ok();
            if !with_history {
                self.foreign.push(token.clone());
            }
            last = Some(token);
        }
        legs.sort_unstable();
        legs.dedup();
        let known = self.sorted_foreign();
        self.foreign.extend(legs.into_iter().filter(|token| known.binary_search(token).is_err()));
    }

    fn sorted_foreign(&self) -> Vec<Seen> {
        let mut known = self.foreign.clone();
        known.sort_unstable();
        known
    }

    /// A key has a data row.
    pub fn has_row(&self, key: u32) -> bool {
        self.holder[key as usize] != NONE
    }

    /// The row of its key names this write, and holds the value and the reference that it wrote.
    pub fn fits(&self, number: u32) -> bool {
        self.flags[number as usize] & FITS != 0
    }

    /// A data row refers to this write's object.
    pub fn is_referenced(&self, number: u32) -> bool {
        self.flags[number as usize] & REFERENCED != 0
    }

    /// The version of this write's object that the row of its key refers to, if its client was told none.
    pub fn version(&self, number: u32) -> Option<&str> {
        self.versions.get(&number).map(|version| &**version)
    }

    /// The history row of this write names another key.
    pub fn is_misplaced(&self, number: u32) -> bool {
        self.flags[number as usize] & MISPLACED != 0
    }

    /// What was found of a transfer's legs.
    pub fn legs_of(&self, number: u32) -> Legs {
        match self.flags[number as usize] & (FROM_LEG | TO_LEG | WRONG_LEG) {
            0 => Legs::None,
            both if both == FROM_LEG | TO_LEG => Legs::Both,
            _ => Legs::Torn,
        }
    }

    /// Rows found of a write: its history rows, and data rows beyond the one that goes with them; a leg without either
    /// is one.
    pub fn units(&self, number: u32) -> u64 {
        let (history, data) = (self.copies[number as usize], self.held[number as usize]);
        match (history, data) {
            (0, 0) => u64::from(self.legs_of(number) != Legs::None),
            (0, _) | (_, 0) => u64::from(history + data),
            _ => u64::from(history + data - 1),
        }
    }
}

/// Whether a row holds what this write wrote.
fn fits(writes: &Writes<'_>, number: u32, row: &DataRow<&str>) -> bool {
    let intent = writes.intent(number);
    let object_fits = match (&intent.file, &row.object) {
        (None, None) => true,
        (Some(file), Some(object)) => {
            *object.object_key == *file.object_key
                && *object.sha256 == *file.sha256
                && writes.version(number).is_none_or(|version| version == object.version_id)
        }
        _ => false,
    };
    object_fits && intent.token.has_value(row.value)
}
