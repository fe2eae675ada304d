//! The second pass of the books. It starts at what was found, sorts it, and lays it beside the sorted ledger; the first
//! pass starts at the intents and looks each up. The two share no code: a mistake in one of them is seen as a residual.

use std::collections::BTreeMap;

use super::readings::Read;
use crate::{
    ledger::History,
    model::{
        RunTime, Token,
        measure::Counts,
        observation::{Content, FilesSnapshot, SqlSnapshot},
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

/// All that the second pass has to say of one reading.
pub(super) struct Second {
    /// Writes sent so far: of rows, and of objects.
    pub intents: [u64; 2],
    /// What was found of rows, and of objects, where there is a reading.
    pub found: [Option<Found>; 2],
}

impl Second {
    pub fn of(history: &History, environment: EnvironmentIndex, read: &Read<'_>) -> Self {
        let found = [
            read.rows.as_ref().ok().map(|snapshot| rows(history, environment, snapshot)),
            read.versions.as_ref().ok().map(|snapshot| versions(history, environment, snapshot)),
        ];
        Self { intents: intents(history, environment, read.view.ended), found }
    }
}

/// Counts rows: every history row, every data row beyond the one that goes with it, and each transfer of which nothing
/// but legs is there.
fn rows(history: &History, environment: EnvironmentIndex, snapshot: &SqlSnapshot<&str>) -> Found {
    let mut issued: Vec<u128> = history
        .intents
        .iter()
        .filter(|intent| intent.environment == environment)
        .filter(|intent| !matches!(intent.kind, OpKind::ReadSql | OpKind::ReadFile))
        .map(|intent| packed(&intent.token))
        .collect();
    issued.sort_unstable();

    let mut texts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let numbers = [
        sorted(snapshot.history.iter().map(|row| &row.token), 0, &mut texts),
        sorted(snapshot.data.iter().map(|row| &row.token), 1, &mut texts),
        sorted(snapshot.legs.iter().map(|leg| &leg.token), 2, &mut texts),
    ];

    let mut found = Found::default();
    let mut issued = issued.into_iter().peekable();
    let mut numbers = numbers.map(|numbers| numbers.into_iter().peekable());
    while let Some(token) = numbers.iter_mut().filter_map(|numbers| numbers.peek().copied()).min() {
        while issued.next_if(|next| *next < token).is_some() {}
        let tables = numbers.each_mut().map(|numbers| {
            let mut count = 0;
            while numbers.next_if_eq(&token).is_some() {
                count += 1;
            }
            count
        });
        found.add(weight(tables), issued.peek() == Some(&token));
    }
    texts.into_values().for_each(|tables| found.add(weight(tables), false));
    found
}

/// A table's tokens; what is none is counted in `texts`.
fn sorted<'a>(
    tokens: impl ExactSizeIterator<Item = &'a Seen<&'a str>>,
    table: usize,
    texts: &mut BTreeMap<&'a str, [u64; 3]>,
) -> Vec<u128> {
    let mut numbers = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Seen::Token(token) => numbers.push(packed(token)),
            Seen::Foreign(text) => texts.entry(text).or_default()[table] += 1,
        }
    }
    numbers.sort_unstable();
    numbers
}

/// Counts versions with a body.
fn versions(history: &History, environment: EnvironmentIndex, snapshot: &FilesSnapshot<&str>) -> Found {
    let mut issued: Vec<(&str, Option<&str>)> = Vec::new();
    for (intent, outcome) in history.operations().filter(|(intent, _)| intent.environment == environment) {
        if let (OpKind::Create | OpKind::Overwrite, Some(file)) = (intent.kind, &intent.file) {
            let version = outcome.and_then(|outcome| outcome.file_acked.as_ref()).map(|acked| &*acked.version_id);
            issued.push((&file.object_key, version));
        }
    }
    issued.sort_unstable();
    let mut bodies: Vec<(&str, &str)> = snapshot
        .versions
        .iter()
        .filter(|version| version.content != Content::DeleteMarker)
        .map(|version| (version.object_key, version.version_id))
        .collect();
    bodies.sort_unstable();

    let mut found = Found::default();
    let mut issued = issued.into_iter().peekable();
    for group in bodies.chunk_by(|a, b| a.0 == b.0) {
        while issued.next_if(|next| next.0 < group[0].0).is_some() {}
        found.add(group.len() as u64, issued.peek().is_some_and(|next| next.0 == group[0].0));
    }
    found
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

/// Writes sent so far: of rows, and of objects.
fn intents(history: &History, environment: EnvironmentIndex, sent_until: RunTime) -> [u64; 2] {
    let mut count = [0u64; 2];
    for intent in history.intents.iter().filter(|intent| intent.environment == environment) {
        if intent.sent <= sent_until {
            count[0] += u64::from(!matches!(intent.kind, OpKind::ReadSql | OpKind::ReadFile));
            let writes_object = matches!(intent.kind, OpKind::Create | OpKind::Overwrite) && intent.file.is_some();
            count[1] += u64::from(writes_object);
        }
    }
    count
}

fn weight([history, data, legs]: [u64; 3]) -> u64 {
    match (history, data) {
        (0, 0) => legs.min(1),
        (0, data) => data,
        (history, data) => history + data.saturating_sub(1),
    }
}

fn packed(token: &Token) -> u128 {
    u128::from(token.run) << 96
        | u128::from(token.stream) << 64
        | u128::from(token.sequence) << 32
        | u128::from(token.epoch)
}
