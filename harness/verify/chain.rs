//! The chain of each key: every history row says what stood there before it, under the row's lock, so the rows of a key
//! are one unforked chain in which a write that was answered before another was sent comes first. No search is needed.

use super::{
    fate::{Fates, Standing},
    rows::Rows,
    writes::{Class, NONE, STRANGE, Writes},
};
use crate::model::{RunTime, operation::OpKind, token::Seen};

/// What is wrong with the chains of an environment's keys.
#[derive(Debug, Default)]
pub(super) struct ChainFaults {
    /// Writes that are gone though a surviving one says that they stood there before it.
    pub skipped: Vec<u32>,
    /// Writes whose row says the same of what stood before as another's, or as many first ones as there may not be.
    pub forked: Vec<u32>,
    /// Writes whose row follows something that is not there and that nobody was told to be.
    pub broken: Vec<u32>,
    /// Writes whose row follows one that was sent only after they were answered.
    pub misordered: Vec<u32>,
}

/// Checks the chain of every key.
pub(super) fn check(writes: &Writes<'_>, rows: &Rows, fates: &Fates) -> ChainFaults {
    let mut faults = ChainFaults { forked: rows.forks.clone(), ..ChainFaults::default() };
    for (number, before) in &rows.strange_prev {
        // What a row of an unknown token left is that row's fault, and told there.
        if !is_in_history(rows, before) && fates.standing[*number as usize] != Standing::Gone {
            faults.broken.push(*number);
        }
    }
    let mut walk = Walk { writes, rows, reached: vec![false; writes.len()] };
    for number in &rows.forks {
        walk.from(*number, &mut faults.misordered);
    }
    for key in 0..writes.keys() {
        first_links(writes, rows, key, &mut faults);
        for number in writes.of_key(key) {
            if rows.copies[*number as usize] == 0 {
                if rows.next[*number as usize] != NONE {
                    absent_link(rows, fates, *number, &mut faults);
                }
            } else if !is_there(rows, rows.prev[*number as usize]) {
                walk.from(*number, &mut faults.misordered);
            }
        }
    }
    // What no walk from a beginning reaches goes round in a circle.
    let keyed = |number: &u32| writes.op(*number).key != NONE && rows.copies[*number as usize] > 0;
    let circling = (0..writes.len() as u32).filter(keyed).filter(|number| !walk.reached[*number as usize]);
    faults.broken.extend(circling);
    faults
}

fn is_there(rows: &Rows, number: u32) -> bool {
    number < STRANGE && rows.copies[number as usize] > 0
}

fn is_in_history(rows: &Rows, token: &Seen) -> bool {
    rows.foreign.contains(token)
}

/// A key begins once, and once more after each delete.
fn first_links(writes: &Writes<'_>, rows: &Rows, key: usize, faults: &mut ChainFaults) {
    let ops = writes.of_key(key);
    let begins = |number: &&u32| rows.copies[**number as usize] > 0 && rows.prev[**number as usize] == NONE;
    let first: Vec<u32> = ops.iter().filter(begins).copied().collect();
    if first.len() > 1 {
        let could_delete = |number: &&u32| {
            let op = writes.op(**number);
            op.kind == OpKind::Delete && (op.class != Class::Failed || rows.copies[**number as usize] > 0)
        };
        let deletes = ops.iter().filter(could_delete).count();
        faults.forked.extend(first.into_iter().skip(1 + deletes));
    }
}

fn absent_link(rows: &Rows, fates: &Fates, number: u32, faults: &mut ChainFaults) {
    match fates.standing[number as usize] {
        Standing::Required(_) => faults.skipped.push(number),
        Standing::Gone => {}
        Standing::Out | Standing::Doubt | Standing::Refused => faults.broken.push(rows.next[number as usize]),
    }
}

/// Follows pieces of chains from their first links.
struct Walk<'w, 'b> {
    writes: &'b Writes<'w>,
    rows: &'b Rows,
    reached: Vec<bool>,
}

impl Walk<'_, '_> {
    fn from(&mut self, first: u32, misordered: &mut Vec<u32>) {
        let (mut number, mut sent_max) = (first, RunTime::ZERO);
        while number != NONE && !std::mem::replace(&mut self.reached[number as usize], true) {
            let op = self.writes.op(number);
            if op.class == Class::Acked && op.at < sent_max {
                misordered.push(number);
            }
            sent_max = sent_max.max(op.sent);
            number = self.rows.next[number as usize];
        }
    }
}
