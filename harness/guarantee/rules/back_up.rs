//! `*.nonproduction.backup`, `*.nonproduction.data-movement`: backed up (exported), destroyed whole, and restored (imported), an environment holds what had been acknowledged to it; or, where a copy of production was put into it before, to production's customers.
//!
//! All of it comes after the last write, so what the ledger has is what the back-up has to have, and the readings at the end, which
//! are held against the ledger, are of what was restored.

use super::{Case, Ruling};
use crate::model::{RunTime, event::What, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let own = case.index;
    let backed_up =
        first(case, RunTime(0), |what| matches!(what, What::BackedUp { environment, .. } if *environment == own));
    let destroyed = backed_up
        .and_then(|at| first(case, at, |what| matches!(what, What::Destroyed { environment } if *environment == own)));
    let restored = destroyed.and_then(|at| {
        first(case, at, |what| matches!(what, What::Restored { environment, .. } if *environment == own))
    });
    match (backed_up, destroyed, restored) {
        (None, ..) => return Ruling::inconclusive("not exercised: it was not backed up"),
        (_, None, _) => return Ruling::inconclusive("not exercised: nothing was destroyed after the back-up"),
        (.., None) => return Ruling::inconclusive("it was destroyed, and no restore was done"),
        _ => {}
    }
    let Some(end) = case.evidence.events_of(own).find(|event| event.kind.is_none()) else {
        return Ruling::inconclusive("what it holds at the end was not read");
    };
    if let Some(why) = &end.unobserved {
        return Ruling::inconclusive(why.clone());
    }
    let lost = end.sql.lost() + end.files.lost();
    if lost > 0 {
        let (rows, objects) = (end.sql.lost(), end.files.lost());
        return Ruling::violated(format!(
            "after the restore {rows} rows and {objects} objects are not as acknowledged"
        ));
    }
    let mut found = case.evidence.measures.findings.iter().filter(|finding| finding.environment == own);
    match found.next() {
        Some(finding) => Ruling::violated(format!("after the restore: {}", finding.id.id())),
        None => Ruling::new(Verdict::Held).with_count(end.sql.acked + end.files.acked),
    }
}

/// The same of a copy from production, its export and its import. What is imported last is what is read, so it has to be what was
/// copied: only then one reading speaks of all three.
pub(super) fn movement(case: &Case<'_>) -> Ruling {
    let own = case.index;
    let ruling = rule(case);
    let is_copy = |what: &What| matches!(what, What::Copied { environment, .. } if *environment == own);
    let is_export = |what: &What| matches!(what, What::BackedUp { environment, .. } if *environment == own);
    let last_copy = case.evidence.events.iter().rev().find(|event| is_copy(&event.what)).map(|event| event.at);
    let first_export = first(case, RunTime(0), is_export);
    match (last_copy, first_export) {
        _ if ruling.verdict != Verdict::Held => ruling,
        (None, _) => Ruling::inconclusive(
            "what was exported and imported is as acknowledged; a copy from production was not tried",
        ),
        (Some(copied), Some(exported)) if copied <= exported => ruling,
        _ => Ruling::inconclusive("it was copied into after the export: what was imported was not read"),
    }
}

/// When something of the kind happened first, since then.
fn first(case: &Case<'_>, since: RunTime, is_it: impl Fn(&What) -> bool) -> Option<RunTime> {
    case.evidence.events.iter().find(|event| event.at >= since && is_it(&event.what)).map(|event| event.at)
}
