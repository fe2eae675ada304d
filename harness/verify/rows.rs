//! A reading of the database, sorted by write and by key.

use super::writes::{NONE, STRANGE, Writes};
use crate::model::{
    observation::{DataRow, SqlSnapshot},
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

/// What was found of a transfer's legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legs {
    None,
    Both,
    Torn,
}

/// What a reading of the database holds of each write and key.
pub(super) struct Rows<'a> {
    pub snapshot: &'a SqlSnapshot<&'a str>,
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
    pub strange_prev: Vec<(u32, Seen<&'a str>)>,
    /// Row of the data, of each key; [`NONE`] if there is none.
    data: Vec<u32>,
    /// Whose token that row holds; [`STRANGE`] if nobody's here.
    pub holder: Vec<u32>,
    /// Tokens that nobody issued, one for each row counted as foreign.
    pub foreign: Vec<Seen<&'a str>>,
    flags: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub fn new(writes: &Writes<'_>, snapshot: &'a SqlSnapshot<&'a str>) -> Self {
        let (ops, keys) = (writes.len(), writes.keys());
        let mut rows = Self {
            snapshot,
            copies: vec![0; ops],
            held: vec![0; ops],
            prev: vec![NONE; ops],
            next: vec![NONE; ops],
            forks: Vec::new(),
            strange_prev: Vec::new(),
            data: vec![NONE; keys],
            holder: vec![NONE; keys],
            foreign: Vec::new(),
            flags: vec![0; ops],
        };
        rows.history(writes);
        rows.data(writes);
        rows.legs(writes);
        rows
    }

    fn history(&mut self, writes: &Writes<'_>) {
        for row in &self.snapshot.history {
            let Some(number) = writes.seen(&row.token) else {
                self.foreign.push(row.token);
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
                    self.strange_prev.push((number, *before));
                }
            }
        }
    }

    fn data(&mut self, writes: &Writes<'_>) {
        let mut strange = Vec::new();
        for (place, row) in self.snapshot.data.iter().enumerate() {
            let holder = writes.seen(&row.token);
            match holder {
                Some(number) => self.held[number as usize] += 1,
                None => strange.push(row.token),
            }
            if let Some(key) = writes.key(row.key, holder).map(|key| key as usize)
                && self.data[key] == NONE
            {
                self.data[key] = place as u32;
                self.holder[key] = holder.unwrap_or(STRANGE);
            }
        }
        // One data row goes with a history row of the same token; the others are rows of their own.
        strange.sort_unstable();
        let mut known: Vec<Seen<&str>> = self.foreign.clone();
        known.sort_unstable();
        let mut last = None;
        for token in strange {
            let with_history = last != Some(token) && known.binary_search(&token).is_ok();
            if !with_history {
                self.foreign.push(token);
            }
            last = Some(token);
        }
    }

    fn legs(&mut self, writes: &Writes<'_>) {
        let mut strange = Vec::new();
        for leg in &self.snapshot.legs {
            let Some(number) = writes.seen(&leg.token) else {
                strange.push(leg.token);
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
        strange.sort_unstable();
        strange.dedup();
        let mut known: Vec<Seen<&str>> = self.foreign.clone();
        known.sort_unstable();
        self.foreign.extend(strange.into_iter().filter(|token| known.binary_search(token).is_err()));
    }

    /// The data row of a key.
    pub fn data_row(&self, key: u32) -> Option<&'a DataRow<&'a str>> {
        self.snapshot.data.get(self.data[key as usize] as usize)
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
