//! Marks that stand beside the fates of rows: holes, zombies, answers that came late, torn transfers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    chain::ChainFaults,
    fate::{Fate, Fates, Standing},
    rows::{Legs, Rows},
    seats::{self, Move},
    timeline::Switch,
    writes::{Class, Op, Writes},
};
use crate::model::{
    RunTime,
    operation::{Lane, Side},
};

/// Writes lost although a later one survives: of the same side, seat and epoch, sent after their acknowledgement.
/// `lost` and `survives` say what that means in the store.
pub(super) fn overtaken(
    writes: &Writes<'_>,
    moves: &[Move],
    lost: impl Fn(u32) -> bool,
    survives: impl Fn(u32) -> bool,
) -> BTreeSet<u32> {
    // Every seat writes a log of its own, and what an old one is asked past the edge is in none that is served.
    let is_asked = |op: &Op| matches!(writes.history.intents[op.intent as usize].lane, Lane::OldSide { .. });
    let log = |op: &Op| {
        let era = seats::era(moves, op).filter(|_| moves.is_empty() || !is_asked(op))?;
        Some((op.side?, op.epoch, era))
    };
    let mut latest: BTreeMap<(Side, u32, usize), RunTime> = BTreeMap::new();
    let acked = |op: &&(u32, &Op)| op.1.class == Class::Acked;
    let numbered = || (0u32..).zip(&writes.ops);
    for (number, op) in numbered().filter(|pair| acked(&pair)) {
        if let Some(log) = log(op)
            && survives(number)
        {
            let sent = latest.entry(log).or_default();
            *sent = op.sent.max(*sent);
        }
    }
    numbered()
        .filter(|pair| acked(&pair))
        .filter(|(number, op)| lost(*number) && log(op).and_then(|log| latest.get(&log)).is_some_and(|y| *y > op.at))
        .map(|(number, _)| number)
        .collect()
}

/// Rows lost from the middle of the log.
pub(super) fn holes(
    writes: &Writes<'_>,
    moves: &[Move],
    rows: &Rows,
    fates: &Fates,
    chain: &ChainFaults,
) -> BTreeSet<u32> {
    let there = |number: u32| rows.copies[number as usize] > 0;
    let lost = |number: u32| matches!(fates.fates[number as usize], Fate::Lost(_)) && !there(number);
    let mut holes = overtaken(writes, moves, lost, there);
    holes.extend(chain.skipped.iter().copied());
    holes
}

/// Writes acknowledged by the old side after the new side's first acknowledgement: those sent after it too, and those
/// that were only answered late.
pub(super) fn zombies(writes: &Writes<'_>, switch: &Switch) -> (Vec<u32>, Vec<u32>) {
    let (mut zombies, mut late) = (Vec::new(), Vec::new());
    if let Some((opened, moved)) = switch.moved.and_then(|moved| Some((moved.opened?, moved))) {
        // Customers are answered by the region's name, whichever zone does: of the old seat is only what it was asked itself.
        let asked = |number: &u32| {
            let op = writes.op(*number);
            matches!(writes.intent(*number).lane, Lane::OldSide { side, .. } if Some(side) == switch.from)
                && op.class == Class::Acked
                && op.sent > opened
                && op.sent < moved.over
        };
        zombies.extend((0..writes.len() as u32).filter(asked));
    }
    if let (Some(from), Some(opened)) = (switch.from, switch.opened) {
        for (number, op) in (0u32..).zip(&writes.ops) {
            if op.class != Class::Acked || op.side != Some(from) || op.at <= opened || op.at >= switch.back {
                continue;
            }
            // Once traffic is going back to it, it is the next event's new side.
            if op.sent >= switch.returns {
                continue;
            }
            if op.sent > opened { zombies.push(number) } else { late.push(number) }
        }
    }
    (zombies, late)
}

/// Transfers of which not exactly both legs are there; and accounts that are off for no such reason, with by how much.
pub(super) fn torn(
    writes: &Writes<'_>,
    rows: &Rows,
    fates: &Fates,
    account_balance: i64,
) -> (Vec<u32>, Vec<(u32, i128)>) {
    let is_torn = |number: u32| match rows.legs_of(number) {
        Legs::Torn => true,
        Legs::Both => false,
        // Without any leg, an acknowledged one is lost.
        Legs::None => {
            rows.copies[number as usize] > 0 && !matches!(fates.standing[number as usize], Standing::Required(_))
        }
    };
    let torn: Vec<u32> = writes.transfers.iter().copied().filter(|number| is_torn(*number)).collect();
    // A torn transfer, or one that is lost while its row is there, explains what its accounts are off by.
    let explained: BTreeSet<u32> = writes
        .transfers
        .iter()
        .filter(|number| is_torn(**number) || rows.legs_of(**number) == Legs::None)
        .filter(|number| rows.copies[**number as usize] > 0 || is_torn(**number))
        .filter_map(|number| writes.intent(*number).transfer)
        .flat_map(|transfer| [transfer.from, transfer.to])
        .collect();
    let off = accounts_off(rows, account_balance);
    (torn, off.into_iter().filter(|(account, _)| !explained.contains(account)).collect())
}

/// Accounts that do not hold what they began with and the legs that are there.
fn accounts_off(rows: &Rows, account_balance: i64) -> Vec<(u32, i128)> {
    let mut moved = rows.moved.clone();
    let mut off = Vec::new();
    for (account, balance) in &rows.accounts {
        let expected = i128::from(account_balance) + moved.remove(account).unwrap_or_default();
        if i128::from(*balance) != expected {
            off.push((*account, i128::from(*balance) - expected));
        }
    }
    // Legs of accounts that are not there at all.
    off.extend(moved.into_iter().map(|(account, sum)| (account, -i128::from(account_balance) - sum)));
    off
}
