//! The platform's salvage list beside what the ledger calls lost: the list must hold every write that a switch lost, and
//! whatever else it holds must be in doubt, or refused after its object was stored.
//!
//! Rows are told by the tokens of the history table, objects by key and version id. Delete markers are counted, and must be
//! of objects that the ledger knows: a marker whose row's delete survives is lost without anything being lost.

use std::collections::{BTreeMap, BTreeSet};

use super::input::Input;
use crate::model::{
    Token,
    measure::{LostWrite, Salvaged},
    operation::{EnvironmentIndex, Store, Told},
    salvage::SalvageClaim,
};

/// The table whose rows name one write each, as lists name it: with or without its schema.
const HISTORY: &str = "geodrill_history";

/// Entries told of one event.
const EXAMPLES_MAX: usize = 5;

/// The comparison for one switch; `None` if no list was fetched after it.
pub(super) fn compare(
    input: &Input<'_>,
    environment: EnvironmentIndex,
    event: &str,
    lost: &[LostWrite],
) -> Option<Salvaged> {
    let claim = input.salvages.iter().rev().find(|claim| claim.environment == environment && claim.event == event)?;
    let ledger = Ledger::of(input, environment);
    let mut salvaged = Salvaged::default();
    rows(claim, &ledger, lost, &mut salvaged);
    objects(claim, &ledger, lost, &mut salvaged);
    salvaged.examples.truncate(EXAMPLES_MAX);
    Some(salvaged)
}

/// What the ledger says of writes and their objects.
#[derive(Default)]
struct Ledger<'a> {
    /// Every write: whether it was acknowledged.
    writes: BTreeMap<Token, bool>,
    /// Every object that was intended: by its key, the write and the version that was acknowledged.
    objects: BTreeMap<&'a str, (Token, Option<&'a str>)>,
}

impl<'a> Ledger<'a> {
    fn of(input: &Input<'a>, environment: EnvironmentIndex) -> Self {
        let mut ledger = Self::default();
        for (intent, outcome) in input.history.operations() {
            if intent.environment != environment || !intent.kind.is_write() {
                continue;
            }
            ledger.writes.insert(intent.token, outcome.is_some_and(|outcome| matches!(outcome.told, Told::Ok { .. })));
            if let Some(file) = &intent.file {
                let version = outcome.and_then(|outcome| outcome.file_acked.as_ref()).map(|acked| &*acked.version_id);
                ledger.objects.insert(&file.object_key, (intent.token, version));
            }
        }
        ledger
    }
}

fn lost_of(lost: &[LostWrite], store: Store) -> BTreeSet<Token> {
    lost.iter().filter(|lost| lost.store == store).map(|lost| lost.token).collect()
}

fn rows(claim: &SalvageClaim, ledger: &Ledger<'_>, lost: &[LostWrite], salvaged: &mut Salvaged) {
    let lost = lost_of(lost, Store::Sql);
    let mut listed = BTreeSet::new();
    for row in &claim.list.rows {
        if row.table.rsplit('.').next() != Some(HISTORY) {
            continue;
        }
        salvaged.rows += 1;
        let text = row.row.get("token").and_then(|token| token.as_str()).unwrap_or_default();
        let token = text.parse::<Token>().ok().filter(|token| ledger.writes.contains_key(token));
        match token {
            None => salvaged.is_extra(format!("row of a token that nobody issued: `{text}`")),
            Some(token) if ledger.writes[&token] && !lost.contains(&token) => {
                salvaged.is_extra(format!("row {token}, which is not lost"));
            }
            Some(token) => _ = listed.insert(token),
        }
    }
    for token in lost.difference(&listed) {
        salvaged.is_missing(format!("row {token}, which is lost"));
    }
}

fn objects(claim: &SalvageClaim, ledger: &Ledger<'_>, lost: &[LostWrite], salvaged: &mut Salvaged) {
    let lost = lost_of(lost, Store::Files);
    let mut listed = BTreeSet::new();
    for object in &claim.list.objects {
        let known = ledger.objects.get(&*object.object_key);
        if object.delete_marker {
            salvaged.markers += 1;
            if known.is_none() {
                salvaged.is_extra(format!("marker of an unknown object: {}", object.object_key));
            }
            continue;
        }
        salvaged.objects += 1;
        match known {
            None => salvaged.is_extra(format!("object that nobody wrote: {}", object.object_key)),
            Some((token, Some(version))) if *version == object.version_id && lost.contains(token) => {
                listed.insert(*token);
            }
            Some((token, Some(version))) if *version == object.version_id && ledger.writes[token] => {
                salvaged.is_extra(format!("object of {token}, which is not lost"));
            }
            // Of a write that was refused or is in doubt; or a second version, from an attempt without an answer.
            Some(_) => {}
        }
    }
    for token in lost.difference(&listed) {
        salvaged.is_missing(format!("object of {token}, which is lost"));
    }
}

impl Salvaged {
    fn is_missing(&mut self, what: String) {
        self.missing += 1;
        self.examples.push(format!("missing: {what}"));
    }

    fn is_extra(&mut self, what: String) {
        self.extra += 1;
        self.examples.push(format!("extra: {what}"));
    }
}
