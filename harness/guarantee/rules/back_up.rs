//! `*.nonproduction.backup`, `*.nonproduction.data-movement`: backed up (exported), destroyed whole, and restored (imported), an environment holds what had been acknowledged to it.
//!
//! The three come after the last write, so what the ledger has is what the back-up has to have, and the readings at the end, which
//! are held against the ledger, are of what was restored.

use super::{Case, Ruling};
use crate::model::{RunTime, event::What, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let first = |since: RunTime, is_it: &dyn Fn(&What) -> bool| {
        case.evidence.events.iter().find(|event| event.at >= since && is_it(&event.what)).map(|event| event.at)
    };
    let own = case.index;
    let backed_up =
        first(RunTime(0), &|what| matches!(what, What::BackedUp { environment, .. } if *environment == own));
    let destroyed = backed_up
        .and_then(|at| first(at, &|what| matches!(what, What::Destroyed { environment } if *environment == own)));
    let restored = destroyed
        .and_then(|at| first(at, &|what| matches!(what, What::Restored { environment, .. } if *environment == own)));
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

/// The same of an export and an import. A copy from production is promised as well, and is not tried yet.
pub(super) fn movement(case: &Case<'_>) -> Ruling {
    match rule(case) {
        ruling if ruling.verdict == Verdict::Held => Ruling::inconclusive(
            "what was exported and imported is as acknowledged; a copy from production was not tried",
        ),
        ruling => ruling,
    }
}
