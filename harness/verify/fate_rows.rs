//! The fate of each write in the database.

use super::{
    fate::{Fate, Fates, Past, Standing, View, standing},
    rows::{Legs, Rows},
    writes::{NONE, STRANGE, Writes},
};
use crate::model::{RunTime, measure::LossKind, operation::OpKind};

/// Gives each write exactly one fate.
pub(super) fn judge(writes: &Writes<'_>, rows: &Rows, past: &[Past], view: View) -> Fates {
    let mut fates = Fates::new(writes.len());
    for (number, (op, past)) in writes.ops.iter().zip(past).enumerate() {
        fates.standing.push(standing(op, *past, view, rows.units(number as u32) > 0));
    }
    for key in 0..writes.keys() {
        judge_key(writes, rows, key, &mut fates);
    }
    for number in &writes.transfers {
        fates.fates[*number as usize] = transfer(rows, *number, fates.standing[*number as usize]);
    }
    for number in 0..writes.len() as u32 {
        fates.count(number, rows.units(number));
    }
    fates
}

/// The state of a key, and who answers for it.
struct Key<'w, 'b> {
    writes: &'b Writes<'w>,
    rows: &'b Rows,
    /// It has a data row.
    has_row: bool,
    holder: u32,
    /// The write that the key's row names and those that stood there before it, by number; made only where it is asked.
    descent: Vec<u32>,
    /// The last of the key's chain by what survives; it alone answers for the key's state.
    last: u32,
    /// The key's state is what the last one left.
    fits: bool,
    /// A later acknowledged write of the key is itself gone: its absence explains a state that does not fit.
    explained: bool,
}

fn judge_key(writes: &Writes<'_>, rows: &Rows, number: usize, fates: &mut Fates) {
    let ops = writes.of_key(number);
    let holder = rows.holder[number];
    let last = last_of(writes, rows, ops, holder);
    let has_row = rows.has_row(number as u32);
    let fits = last != NONE && if writes.op(last).kind == OpKind::Delete { !has_row } else { holder == last };
    let explained = last != NONE && {
        let op = writes.op(last);
        let left = if fates.since(last).is_some() && op.at.0 != u64::MAX { op.at } else { op.sent };
        ops.iter().any(|other| rows.copies[*other as usize] == 0 && gone_since(writes, fates, *other) > Some(left))
    };
    let is_lost = |number: &u32| rows.copies[*number as usize] == 0 && fates.since(*number).is_some();
    let descent = if holder < STRANGE && ops.iter().any(is_lost) { descent(rows, holder, ops.len()) } else { vec![] };
    let key = Key { writes, rows, has_row, holder, descent, last, fits, explained };
    for number in ops {
        fates.fates[*number as usize] = key.fate(*number, fates.standing[*number as usize]);
    }
}

/// A write and all that stood there before it, as far as rows say, sorted.
fn descent(rows: &Rows, from: u32, limit: usize) -> Vec<u32> {
    let before = |number: &u32| Some(rows.prev[*number as usize]).filter(|before| *before < STRANGE);
    // Damage may have made a circle of it.
    let mut descent: Vec<u32> = std::iter::successors(Some(from), before).take(limit).collect();
    descent.sort_unstable();
    descent
}

/// When a write that is not there was acknowledged.
fn gone_since(writes: &Writes<'_>, fates: &Fates, number: u32) -> Option<RunTime> {
    match fates.standing[number as usize] {
        Standing::Required(since) => Some(since),
        Standing::Gone => Some(writes.op(number).at),
        Standing::Out | Standing::Doubt | Standing::Refused => None,
    }
}

/// Of the writes whose history row is there, the one that no other names as what stood before it. Where several are
/// left (a key was deleted and made again, or its chain is forked), the one sent last, unless the one that the data
/// row names was concurrent with it.
fn last_of(writes: &Writes<'_>, rows: &Rows, ops: &[u32], holder: u32) -> u32 {
    let there = |number: &&u32| rows.copies[**number as usize] > 0;
    let open = |number: &&u32| rows.next[**number as usize] == NONE;
    let latest = |number: &&u32| writes.op(**number).sent;
    let last = ops.iter().filter(there).filter(open).max_by_key(latest).or(ops.iter().filter(there).max_by_key(latest));
    let Some(last) = last.copied() else { return NONE };
    let names_it = holder < STRANGE
        && rows.copies[holder as usize] > 0
        && rows.next[holder as usize] == NONE
        && writes.op(holder).key == writes.op(last).key
        && writes.op(holder).at >= writes.op(last).sent;
    if names_it { holder } else { last }
}

impl Key<'_, '_> {
    fn fate(&self, number: u32, standing: Standing) -> Fate {
        let there = self.rows.copies[number as usize] > 0;
        let held = self.rows.held[number as usize] > 0;
        match standing {
            Standing::Out => Fate::Out,
            Standing::Gone => Fate::Gone,
            Standing::Refused if there || held => Fate::FailPresent,
            Standing::Refused => Fate::FailAbsent,
            Standing::Doubt if there && self.is_spoilt(number) => Fate::Corrupt,
            Standing::Doubt if there && number == self.last && !self.fits && !self.explained => Fate::Corrupt,
            Standing::Doubt if there || held => Fate::InDoubtPresent,
            Standing::Doubt => Fate::InDoubtAbsent,
            Standing::Required(_) if !there => Fate::Lost(self.absent(number)),
            Standing::Required(_) if self.is_spoilt(number) => Fate::Corrupt,
            Standing::Required(_) if number != self.last => Fate::Superseded,
            Standing::Required(_) if self.fits => Fate::Intact,
            Standing::Required(_) if self.explained => Fate::Superseded,
            Standing::Required(_) => Fate::Lost(self.contradicted(number)),
        }
    }

    /// How a write is lost whose history row is not there.
    fn absent(&self, number: u32) -> LossKind {
        let strange = self.holder == STRANGE;
        match (self.writes.op(number).kind, self.has_row) {
            (OpKind::Overwrite, true) if strange || !self.descends_from(number) => LossKind::Stale,
            (OpKind::Delete, true) if strange || self.descends_from_before(number) => LossKind::ResurrectedDelete,
            _ => LossKind::LostCreate,
        }
    }

    /// The key's state was made on top of this write, which therefore once stood there.
    fn descends_from(&self, number: u32) -> bool {
        self.descent.binary_search(&number).is_ok()
    }

    /// The key's state was made on top of one from before this delete.
    fn descends_from_before(&self, delete: u32) -> bool {
        let sent = self.writes.op(delete).sent;
        self.descent.iter().any(|number| self.writes.op(*number).sent < sent)
    }

    /// How a write is lost whose history row is there, while the key is in another state.
    fn contradicted(&self, number: u32) -> LossKind {
        match (self.writes.op(number).kind, self.has_row) {
            (OpKind::Delete, _) => LossKind::ResurrectedDelete,
            (_, true) => LossKind::Stale,
            (_, false) => LossKind::LostCreate,
        }
    }

    /// The history row names another key; or value, hash or reference of the key's row do not fit the write that it
    /// rightly names. (Where it names an older one, the last write answers for it, and once.)
    fn is_spoilt(&self, number: u32) -> bool {
        let answers = self.fits && number == self.last;
        self.rows.is_misplaced(number) || (answers && self.has_row && !self.rows.fits(number))
    }
}

fn transfer(rows: &Rows, number: u32, standing: Standing) -> Fate {
    let there = rows.copies[number as usize] > 0;
    let legs = rows.legs_of(number);
    match standing {
        Standing::Out => Fate::Out,
        Standing::Gone => Fate::Gone,
        Standing::Refused if there || legs != Legs::None => Fate::FailPresent,
        Standing::Refused => Fate::FailAbsent,
        Standing::Doubt if there || legs != Legs::None => Fate::InDoubtPresent,
        Standing::Doubt => Fate::InDoubtAbsent,
        Standing::Required(_) if there && rows.is_misplaced(number) => Fate::Corrupt,
        Standing::Required(_) if there && legs != Legs::None => Fate::Intact,
        Standing::Required(_) => Fate::Lost(LossKind::LostCreate),
    }
}
