//! What a write owes at a reading, and what became of it: exactly one fate for each write and store.

use super::writes::{Class, Op, Writes};
use crate::{
    ledger::Head,
    model::{
        RunTime,
        measure::{Counts, LossKind},
        observation::Boundary,
    },
};

/// The moment that a reading stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Answers after this had not come when it was taken.
    pub began: RunTime,
    /// Nothing sent after this can be in it.
    pub ended: RunTime,
}

impl View {
    /// The final one: everything has been said.
    pub const LAST: View = View { began: RunTime(u64::MAX), ended: RunTime(u64::MAX) };

    pub fn of(head: &Head) -> Self {
        match head.boundary {
            Boundary::Event(_) => Self { began: head.began, ended: head.ended },
            Boundary::Final { .. } => Self::LAST,
        }
    }

    /// Sent, and not answered when the reading began.
    pub fn pending(self, op: &Op) -> bool {
        self.began.0 != u64::MAX && op.at > self.began
    }
}

/// What earlier readings made of a write in one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Past {
    /// No reading has changed what the client was told.
    #[default]
    Fresh,
    /// In doubt, and not in an earlier reading.
    Missed,
    /// Seen by a reading that ended then: it counts as acknowledged since.
    Seen(RunTime),
    /// Lost in an earlier event.
    Lost,
}

/// What a write owes to one store at a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Sent later: no part of the reading.
    Out,
    /// Lost in an earlier event, and counted there.
    Gone,
    /// Counts as acknowledged, since then: must be there.
    Required(RunTime),
    /// May be there.
    Doubt,
    /// May not be there.
    Refused,
}

/// `found`: the reading has something of it.
pub(super) fn standing(op: &Op, past: Past, view: View, found: bool) -> Standing {
    match past {
        Past::Lost => Standing::Gone,
        _ if op.sent > view.ended && !found => Standing::Out,
        Past::Seen(since) if op.class != Class::Acked => Standing::Required(since),
        Past::Fresh if view.pending(op) => Standing::Doubt,
        _ => match op.class {
            Class::Acked => Standing::Required(op.at),
            Class::Failed => Standing::Refused,
            Class::Doubt => Standing::Doubt,
        },
    }
}

/// The fate of one write in one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not of this reading, or (files) it writes nothing here.
    Out,
    /// Lost in an earlier event.
    Gone,
    Intact,
    Superseded,
    Lost(LossKind),
    Corrupt,
    InDoubtPresent,
    InDoubtAbsent,
    FailPresent,
    FailAbsent,
}

/// The fates of all writes in one store at one reading.
#[derive(Debug, Default)]
pub(super) struct Fates {
    pub standing: Vec<Standing>,
    pub fates: Vec<Fate>,
    pub counts: Counts,
}

impl Fates {
    pub fn new(room: usize) -> Self {
        Self { standing: Vec::with_capacity(room), fates: vec![Fate::Out; room], counts: Counts::default() }
    }

    /// What can be said without a reading: how many there were.
    pub fn unread(writes: &Writes<'_>, past: &[Past], view: View, files: bool) -> Self {
        let mut fates = Self::new(writes.len());
        for (op, past) in writes.ops.iter().zip(past).filter(|(op, _)| op.file || !files) {
            match standing(op, *past, view, false) {
                Standing::Out | Standing::Gone => continue,
                Standing::Required(_) => fates.counts.acked += 1,
                Standing::Doubt | Standing::Refused => {}
            }
            fates.counts.intents += 1;
        }
        fates
    }

    /// Counts one write: its fate, and `units` rows or versions that were found of it.
    pub fn count(&mut self, number: u32, units: u64) {
        let counts = &mut self.counts;
        let fate = self.fates[number as usize];
        counts.duplicate += units.saturating_sub(1);
        if matches!(fate, Fate::Out | Fate::Gone) {
            counts.lost_found += units.min(1);
            return;
        }
        counts.intents += 1;
        counts.acked += u64::from(matches!(self.standing[number as usize], Standing::Required(_)));
        match fate {
            Fate::Out | Fate::Gone => {}
            Fate::Intact => counts.intact += 1,
            Fate::Superseded => counts.superseded += 1,
            Fate::Corrupt => counts.corrupt += 1,
            Fate::InDoubtPresent => counts.in_doubt_present += 1,
            Fate::InDoubtAbsent => counts.in_doubt_absent += 1,
            Fate::FailPresent => counts.fail_present += 1,
            Fate::FailAbsent => counts.fail_absent += 1,
            Fate::Lost(kind) => {
                match kind {
                    LossKind::LostCreate => counts.lost_create += 1,
                    LossKind::Stale => counts.stale += 1,
                    LossKind::ResurrectedDelete => counts.resurrected += 1,
                }
                counts.lost_found += units.min(1);
            }
        }
    }

    /// Every write lost here, with how.
    pub fn lost(&self) -> impl Iterator<Item = (u32, LossKind)> {
        self.fates.iter().enumerate().filter_map(|(number, fate)| match fate {
            Fate::Lost(kind) => Some((number as u32, *kind)),
            _ => None,
        })
    }

    /// Every write of this fate.
    pub fn of(&self, wanted: Fate) -> impl Iterator<Item = u32> {
        self.fates.iter().enumerate().filter(move |(_, fate)| **fate == wanted).map(|(number, _)| number as u32)
    }

    /// When a write that must be there was acknowledged.
    pub fn since(&self, number: u32) -> Option<RunTime> {
        match self.standing.get(number as usize) {
            Some(Standing::Required(since)) => Some(*since),
            _ => None,
        }
    }

    /// What this reading changes for the next one, which ended then.
    pub fn remember(&self, writes: &Writes<'_>, past: &mut [Past], view: View, ended: RunTime) {
        for (number, past) in past.iter_mut().enumerate() {
            match self.fates[number] {
                Fate::Lost(_) => *past = Past::Lost,
                Fate::InDoubtPresent if writes.ops[number].class != Class::Failed => *past = Past::Seen(ended),
                Fate::InDoubtAbsent if !view.pending(&writes.ops[number]) => *past = Past::Missed,
                _ => {}
            }
        }
    }
}
