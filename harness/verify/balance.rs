//! The second pass of the books. It starts at what was found, sorts it, and lays it beside the sorted ledger; the first
//! pass starts at the intents and looks each up. The two share no code: a mistake in one of them is seen as a residual.

use std::collections::BTreeMap;

use super::hash::{Table, hash, table};
use crate::{
    ledger::{History, Part},
    model::{
        RunTime, Token,
        measure::Counts,
        observation::Content,
        operation::{EnvironmentIndex, OpKind},
        token::Seen,
    },
};

/// What the second pass counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Rows, or versions with a body.
    pub found: u64,
    /// Of these, what nobody issued.
    foreign: u64,
}

/// Tokens of one run, stream and epoch differ by their sequence alone.
type Streams<T> = Table<(u32, u32, u32), T>;

/// What the ledger says was issued, sorted.
pub(super) struct Issued {
    /// Sequences of writes.
    writes: Streams<Vec<u32>>,
    /// Hashes of the keys of objects.
    objects: Vec<u64>,
    /// When each write was sent; and each that writes an object.
    sent: [Vec<RunTime>; 2],
}

impl Issued {
    pub fn of(history: &History, environment: EnvironmentIndex) -> Self {
        let mut issued = Self { writes: table(0), objects: Vec::new(), sent: [Vec::new(), Vec::new()] };
        for intent in history.intents.iter().filter(|intent| intent.environment == environment) {
            if matches!(intent.kind, OpKind::ReadSql | OpKind::ReadFile) {
                continue;
            }
            issued.writes.entry(stream(&intent.token)).or_default().push(intent.token.sequence);
            issued.sent[0].push(intent.sent);
            if let (OpKind::Create | OpKind::Overwrite, Some(file)) = (intent.kind, &intent.file) {
                issued.objects.push(hash(&*file.object_key));
                issued.sent[1].push(intent.sent);
            }
        }
        issued.writes.values_mut().for_each(|sequences| sequences.sort());
        issued.objects.sort_unstable();
        issued.sent.iter_mut().for_each(|sent| sent.sort());
        issued
    }

    /// Writes sent until then: of rows, and of objects.
    pub fn intents(&self, until: RunTime) -> [u64; 2] {
        self.sent.each_ref().map(|sent| sent.partition_point(|at| *at <= until) as u64)
    }
}

/// What a reading holds, as it is gone through.
#[derive(Default)]
pub(super) struct Second {
    /// Sequences of each table: history, data, legs.
    rows: Streams<[Vec<u32>; 3]>,
    /// Of what is no token, how often it is in each table.
    texts: BTreeMap<Box<str>, [u64; 3]>,
    /// Hashes of the keys of versions with a body.
    bodies: Vec<u64>,
}

impl Second {
    pub fn part(&mut self, part: &Part<&str>) {
        match part {
            Part::History(rows) => rows.iter().for_each(|row| self.row(&row.token, 0)),
            Part::Data(rows) => rows.iter().for_each(|row| self.row(&row.token, 1)),
            Part::Legs(legs) => legs.iter().for_each(|leg| self.row(&leg.token, 2)),
            Part::Versions(versions) => {
                let is_there =
                    |content: &Content<&str>| !matches!(content, Content::DeleteMarker | Content::Withheld(_));
                let bodies = versions.iter().filter(|version| is_there(&version.content));
                self.bodies.extend(bodies.map(|version| hash(version.object_key)));
            }
            Part::Accounts(_) | Part::Marked(_) => {}
        }
    }

    fn row(&mut self, token: &Seen<&str>, table: usize) {
        match token {
            Seen::Token(token) => self.rows.entry(stream(token)).or_default()[table].push(token.sequence),
            Seen::Foreign(text) => self.texts.entry((*text).into()).or_default()[table] += 1,
        }
    }

    /// Counts rows: every history row, every data row beyond the one that goes with it, and each transfer of which nothing
    /// but legs is there.
    pub fn rows(&mut self, issued: &Issued) -> Found {
        let mut found = Found::default();
        for (stream, tables) in &mut self.rows {
            // They lie in the order in which they were written, or nearly so.
            tables.iter_mut().for_each(|sequences| sequences.sort());
            let mut issued = issued.writes.get(stream).into_iter().flatten().copied().peekable();
            let mut tables = tables.each_ref().map(|sequences| sequences.iter().copied().peekable());
            while let Some(sequence) = tables.iter_mut().filter_map(|table| table.peek().copied()).min() {
                while issued.next_if(|next| *next < sequence).is_some() {}
                let counts = tables.each_mut().map(|table| {
                    let mut count = 0;
                    while table.next_if_eq(&sequence).is_some() {
                        count += 1;
                    }
                    count
                });
                found.add(weight(counts), issued.peek() == Some(&sequence));
            }
        }
        self.texts.values().for_each(|counts| found.add(weight(*counts), false));
        found
    }

    /// Counts versions with a body.
    pub fn versions(&mut self, issued: &Issued) -> Found {
        self.bodies.sort_unstable();
        let mut found = Found::default();
        let mut issued = issued.objects.iter().copied().peekable();
        for group in self.bodies.chunk_by(|a, b| a == b) {
            while issued.next_if(|next| *next < group[0]).is_some() {}
            found.add(group.len() as u64, issued.peek() == Some(&group[0]));
        }
        found
    }
}

impl Found {
    fn add(&mut self, weight: u64, issued: bool) {
        self.found += weight;
        if !issued {
            self.foreign += weight;
        }
    }

    /// What the first pass, whose counts these are, and this one disagree by: over the number of writes, over what was
    /// found in all, and over what is strange.
    pub fn residual(self, counts: &Counts, intents: u64) -> i64 {
        let fates = counts.intact
            + counts.superseded
            + counts.lost_create
            + counts.stale
            + counts.resurrected
            + counts.corrupt
            + counts.in_doubt_present
            + counts.in_doubt_absent
            + counts.fail_present
            + counts.fail_absent;
        let present = counts.intact
            + counts.superseded
            + counts.corrupt
            + counts.in_doubt_present
            + counts.fail_present
            + counts.lost_found;
        let expected = present + counts.duplicate + counts.foreign + counts.seeded;
        let sum = intents.abs_diff(fates) + self.found.abs_diff(expected) + self.foreign.abs_diff(counts.foreign);
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
}

fn weight([history, data, legs]: [u64; 3]) -> u64 {
    match (history, data) {
        (0, 0) => legs.min(1),
        (0, data) => data,
        (history, data) => history + data.saturating_sub(1),
    }
}

fn stream(token: &Token) -> (u32, u32, u32) {
    (token.run, token.stream, token.epoch)
}
