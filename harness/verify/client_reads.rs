//! What clients read: never an older state than one that was acknowledged before they asked, never a lost write after
//! the switch that lost it.
//!
//! No order is guessed: a state is older than a write only if it was answered before that write was sent. So contended
//! keys are judged too, and a write in doubt is never older than anything.

use std::collections::BTreeSet;

use super::{
    seats::Move,
    timeline::Switch,
    writes::{Class, Writes},
};
use crate::model::{
    RunTime, Token,
    operation::{EnvironmentIndex, OpKind, Side, Told},
    token::Seen,
};

/// One answered read of a row.
#[derive(Debug, Clone)]
pub(super) struct Read<'a> {
    pub token: Token,
    pub sent: RunTime,
    at: RunTime,
    side: Side,
    key: u32,
    found: Option<&'a Seen>,
}

/// Every answered read of a row that some write names.
pub(super) fn reads<'a>(writes: &Writes<'a>, environment: EnvironmentIndex) -> Vec<Read<'a>> {
    let mut reads = Vec::new();
    for (intent, outcome) in writes.history.operations() {
        if intent.environment == environment
            && intent.kind == OpKind::ReadSql
            && let Some(outcome) = outcome
            && let Told::Ok { side: Some(side), found, .. } = &outcome.told
            && let Some(key) = writes.key(&intent.key, None)
        {
            let found = found.as_ref();
            reads.push(Read { token: intent.token, sent: intent.sent, at: outcome.at, side: *side, key, found });
        }
    }
    reads
}

/// Reads that returned an older state than one acknowledged by the same side before they were sent.
pub(super) fn stale<'r, 'a>(
    writes: &Writes<'_>,
    reads: &'r [Read<'a>],
    switches: &[Switch],
    moves: &[Move],
) -> Vec<&'r Read<'a>> {
    // What was lost is told as lost, and not once more by every read of what stood there before.
    let mut switched: Vec<RunTime> = switches.iter().filter_map(|switch| switch.switched).collect();
    switched.extend(moves.iter().map(|a| a.before));
    switched.sort_unstable();
    let mut by_key: Vec<&Read<'a>> = reads.iter().collect();
    by_key.sort_by_key(|read| (read.key, read.sent));
    let mut stale = Vec::new();
    for reads in by_key.chunk_by(|a, b| a.key == b.key) {
        let history = KeyHistory::new(writes, reads[0].key, &switched);
        stale.extend(reads.iter().copied().filter(|read| history.is_stale(writes, read)));
    }
    stale
}

/// Reads that returned a write which this switch lost, sent after it.
pub(super) fn ghosts<'r, 'a>(reads: &'r [Read<'a>], switch: &Switch, lost: &BTreeSet<Token>) -> Vec<&'r Read<'a>> {
    let moved = switch.moved.and_then(|moved| moved.opened);
    let Some(switched) = switch.switched.or(moved).filter(|_| switch.kind.is_some()) else { return Vec::new() };
    let returns_lost = |read: &&Read<'_>| {
        matches!(read.found, Some(Seen::Token(token)) if lost.contains(token)) && read.sent > switched
    };
    reads.iter().filter(returns_lost).collect()
}

/// Acknowledged writes of one key, by side and by the switches before, so that "the latest that was sent among those
/// answered until then" is one search.
struct KeyHistory<'s> {
    /// (side, switches before, answered, the latest sent among those answered until then), sorted.
    known: Vec<(Side, usize, RunTime, RunTime)>,
    /// When each delete was answered and sent; one in doubt never was.
    deletes: Vec<(RunTime, RunTime)>,
    switched: &'s [RunTime],
}

impl<'s> KeyHistory<'s> {
    fn new(writes: &Writes<'_>, key: u32, switched: &'s [RunTime]) -> Self {
        let (mut known, mut deletes) = (Vec::new(), Vec::new());
        for number in writes.of_key(key as usize) {
            let op = writes.op(*number);
            if op.kind == OpKind::Delete && op.class != Class::Failed {
                deletes.push((answered(op.class, op.at), op.sent));
            }
            if let (Class::Acked, Some(side)) = (op.class, op.side) {
                known.push((side, regime(switched, op.at), op.at, op.sent));
            }
        }
        known.sort_unstable();
        for place in 1..known.len() {
            let before = known[place - 1];
            if (before.0, before.1) == (known[place].0, known[place].1) {
                known[place].3 = known[place].3.max(before.3);
            }
        }
        Self { known, deletes, switched }
    }

    fn is_stale(&self, writes: &Writes<'_>, read: &Read<'_>) -> bool {
        let regime = regime(self.switched, read.sent);
        let after = self.known.partition_point(|known| (known.0, known.1, known.2) < (read.side, regime, read.sent));
        let Some(latest) = after.checked_sub(1).map(|place| self.known[place]) else { return false };
        if (latest.0, latest.1) != (read.side, regime) {
            return false;
        }
        let is_older = |answered: RunTime| answered < latest.3;
        match read.found {
            Some(seen) => writes
                .seen(seen)
                .map(|number| writes.op(number))
                .is_some_and(|op| op.key == read.key && op.class == Class::Acked && is_older(op.at)),
            // Nothing there: as it was at first, or after any delete that may have been the last.
            None => self.deletes.iter().filter(|(_, sent)| *sent <= read.at).all(|(answered, _)| is_older(*answered)),
        }
    }
}

fn answered(class: Class, at: RunTime) -> RunTime {
    if class == Class::Acked { at } else { RunTime(u64::MAX) }
}

/// How many switches had been seen.
fn regime(switched: &[RunTime], at: RunTime) -> usize {
    switched.partition_point(|switched| *switched <= at)
}
