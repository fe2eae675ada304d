//! The recovery point of one event: how far before the cut the first lost write was acknowledged.

use super::{
    fate::{Fate, Fates, Past, View},
    timeline::Switch,
    writes::{Class, Writes},
};
use crate::model::{
    RunTime,
    measure::{LostWrite, RecoveryPoint},
    operation::{OpKind, Store},
};

/// Bytes of a row's value.
const VALUE_BYTES: u64 = 32;

/// Every write lost in this event, by token and store.
pub(super) fn lost_writes(writes: &Writes<'_>, rows: &Fates, files: &Fates) -> Vec<LostWrite> {
    let of = |fates: &Fates, store| {
        let told = |(number, kind)| LostWrite { token: writes.token(number), store, kind };
        fates.lost().map(told).collect::<Vec<_>>()
    };
    let mut lost = of(rows, Store::Sql);
    lost.extend(of(files, Store::Files));
    lost.sort_unstable();
    lost
}

/// Bytes lost: values of rows, bodies of objects.
pub(super) fn lost_bytes(writes: &Writes<'_>, fates: &Fates, store: Store) -> u64 {
    fates
        .lost()
        .map(|(number, _)| match store {
            Store::Sql if matches!(writes.op(number).kind, OpKind::Create | OpKind::Overwrite) => VALUE_BYTES,
            Store::Sql => 0,
            Store::Files => writes.intent(number).file.as_ref().map_or(0, |file| u64::from(file.bytes)),
        })
        .sum()
}

/// Reckons the recovery point from the fates in both stores. `missed`: an earlier reading had not seen this in-doubt
/// write either, so its absence is no news of this event.
pub(super) fn point(
    writes: &Writes<'_>,
    rows: &Fates,
    files: &Fates,
    switch: &Switch,
    view: View,
    missed: impl Fn(usize) -> bool,
) -> RecoveryPoint {
    let Some(cut) = switch.cut else {
        return RecoveryPoint { operations: lost_tokens(rows, files), ..RecoveryPoint::default() };
    };
    let first = |fates: &Fates| fates.lost().filter_map(|(number, _)| fates.since(number)).min().unwrap_or(cut);
    let (sql, objects) = (first(rows), first(files));
    let joint = sql.min(objects);
    let age = |point: RunTime| cut.since(point).as_secs_f64();
    RecoveryPoint {
        age_s: age(joint),
        sql_age_s: age(sql),
        files_age_s: age(objects),
        tail_s: tail(writes, rows, files, switch, view),
        in_doubt_age_s: age(joint.min(first_doubt(writes, rows, files, missed).unwrap_or(cut))),
        operations: lost_tokens(rows, files),
    }
}

fn is_lost(fates: &Fates, number: usize) -> bool {
    matches!(fates.fates[number], Fate::Lost(_) | Fate::Gone)
}

fn lost_tokens(rows: &Fates, files: &Fates) -> u64 {
    let lost = |(row, file): &(&Fate, &Fate)| matches!(row, Fate::Lost(_)) || matches!(file, Fate::Lost(_));
    rows.fates.iter().zip(&files.fates).filter(lost).count() as u64
}

/// Last acknowledged write of the old side − the last one of these that survives in both stores.
fn tail(writes: &Writes<'_>, rows: &Fates, files: &Fates, switch: &Switch, view: View) -> f64 {
    let (mut last, mut surviving) = (None, None);
    let mut first = None;
    for (number, op) in writes.ops.iter().enumerate() {
        let old = switch.from.is_none() || (op.side == switch.from && op.at < switch.back);
        if op.class != Class::Acked || !old || view.pending(op) {
            continue;
        }
        last = last.max(Some(op.at));
        first = Some(first.map_or(op.at, |first: RunTime| first.min(op.at)));
        if !is_lost(rows, number) && !is_lost(files, number) {
            surviving = surviving.max(Some(op.at));
        }
    }
    // If nothing survives, the tail is everything.
    last.zip(surviving.or(first)).map_or(0.0, |(last, surviving)| last.since(surviving).as_secs_f64())
}

/// When the first in-doubt write that is nowhere was sent.
fn first_doubt(writes: &Writes<'_>, rows: &Fates, files: &Fates, missed: impl Fn(usize) -> bool) -> Option<RunTime> {
    let absent = |number: &usize| {
        matches!(rows.fates[*number], Fate::InDoubtAbsent) || matches!(files.fates[*number], Fate::InDoubtAbsent)
    };
    (0..writes.len()).filter(absent).filter(|number| !missed(*number)).map(|number| writes.ops[number].sent).min()
}

/// Whether any earlier event lost a write of this store.
pub(super) fn lost_before(past: &[Past]) -> u64 {
    past.iter().filter(|past| **past == Past::Lost).count() as u64
}
