//! Whether a report's figures are those that were acknowledged: there must be a set of transfers that makes them, in which
//! every one is that was acknowledged before the report's snapshot, and none that was sent after it or is lost.
//!
//! Transfers under way at that moment, or in doubt, may be in it or not; which of them are is searched for.

use std::collections::BTreeMap;

use super::{
    fate::Past,
    writes::{Class, Writes},
};
use crate::{api::reports::Report, model::RunTime};

/// The longest search, in transfers put in or left out.
const STEPS_MAX: u32 = 200_000;

/// What is said of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong(String),
    Unchecked(String),
}

/// Postings of an account, and their sum.
type Figures = (i64, i64);

/// A report whose snapshot was taken no earlier than `from`, and which arrived at `until`.
pub(super) fn check(writes: &Writes<'_>, past: &[Past], from: RunTime, until: RunTime, report: &Report) -> Checked {
    let mut left: BTreeMap<i64, Figures> = BTreeMap::new();
    for account in &report.accounts {
        let figures = left.entry(account.account).or_default();
        figures.0 += i64::try_from(account.postings).unwrap_or(i64::MAX);
        figures.1 += account.balance;
    }
    let mut open: Vec<[(i64, i64); 2]> = Vec::new();
    for number in &writes.transfers {
        let op = &writes.ops[*number as usize];
        let Some(transfer) = writes.history.intents[op.intent as usize].transfer else { continue };
        let legs = [(i64::from(transfer.from), -transfer.amount), (i64::from(transfer.to), transfer.amount)];
        match past[*number as usize] {
            Past::Lost => {}
            Past::Seen(since) if since <= from => take(&mut left, legs),
            Past::Fresh if op.class == Class::Acked && op.at <= from => take(&mut left, legs),
            _ if op.class == Class::Failed || op.sent > until => {}
            _ => open.push(legs),
        }
    }
    match explained(&left, &open) {
        Some(true) => Checked::Right,
        Some(false) => Checked::Wrong(difference(&left, open.len())),
        None => Checked::Unchecked(format!("{} transfers were under way or in doubt", open.len())),
    }
}

fn take(left: &mut BTreeMap<i64, Figures>, legs: [(i64, i64); 2]) {
    for (account, amount) in legs {
        let figures = left.entry(account).or_default();
        *figures = (figures.0 - 1, figures.1 - amount);
    }
}

fn give_back(left: &mut BTreeMap<i64, Figures>, legs: [(i64, i64); 2]) {
    for (account, amount) in legs {
        let figures = left.entry(account).or_default();
        *figures = (figures.0 + 1, figures.1 + amount);
    }
}

/// Whether some of the open transfers make what is left; `None`: not found out within the search's length.
fn explained(left: &BTreeMap<i64, Figures>, open: &[[(i64, i64); 2]]) -> Option<bool> {
    // How many postings of each account the transfers from a place on could still make.
    let mut rest: Vec<BTreeMap<i64, i64>> = vec![BTreeMap::new(); open.len() + 1];
    for place in (0..open.len()).rev() {
        rest[place] = rest[place + 1].clone();
        open[place].iter().for_each(|(account, _)| *rest[place].entry(*account).or_default() += 1);
    }
    let mut search = Search { left: left.clone(), open, rest, steps: 0 };
    search.from(0)
}

struct Search<'a> {
    left: BTreeMap<i64, Figures>,
    open: &'a [[(i64, i64); 2]],
    rest: Vec<BTreeMap<i64, i64>>,
    steps: u32,
}

impl Search<'_> {
    fn from(&mut self, place: usize) -> Option<bool> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let can_be = self.left.iter().all(|(account, (postings, balance))| {
            let most = self.rest[place].get(account).copied().unwrap_or_default();
            (0..=most).contains(postings) && (*postings > 0 || *balance == 0)
        });
        if !can_be {
            return Some(false);
        }
        let Some(legs) = self.open.get(place).copied() else { return Some(true) };
        // In the order in which they were sent, the first ones are likely to be in it.
        take(&mut self.left, legs);
        let with = self.from(place + 1);
        give_back(&mut self.left, legs);
        match with {
            Some(false) => self.from(place + 1),
            found => found,
        }
    }
}

/// What is off, in words.
fn difference(left: &BTreeMap<i64, Figures>, open: usize) -> String {
    const TOLD_MAX: usize = 2;
    let off = || left.iter().filter(|(_, figures)| **figures != (0, 0));
    let told: Vec<String> = off()
        .take(TOLD_MAX)
        .map(|(account, (postings, balance))| format!("account {account} by {postings} postings and {balance}"))
        .collect();
    let more = off().count().saturating_sub(TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("off from what was acknowledged: {}{more}; {open} transfers were under way or in doubt", told.join(", "))
}
