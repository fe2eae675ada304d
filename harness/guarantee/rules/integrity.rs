//! `integrity.*`: judged once for the whole run. One finding stands whatever else failed; that there is none means something
//! only if the final readings were whole and the books balance.

use super::{super::Evidence, Ruling};
use crate::model::{
    event::What,
    measure::{Finding, Integrity},
    promise::Promise,
    verdict::Verdict,
};

pub(in super::super) fn integrity(evidence: Evidence<'_>, promise: &Promise) -> Ruling {
    let findings: Vec<&Finding> =
        evidence.measures.findings.iter().filter(|finding| finding.id.id() == promise.id).collect();
    let count: u64 = findings.iter().map(|finding| finding.count).sum();
    if let Some(first) = findings.first() {
        let examples = first.examples.join(", ");
        let environment = evidence.name(first.environment).unwrap_or_default();
        return Ruling::violated(format!("{environment}: {examples}")).with_count(count);
    }
    if promise.id == Integrity::RegionsDiffer.id() {
        let Some(unread) = evidence.measures.regions.iter().find_map(|compared| compared.unread.clone()) else {
            return if evidence.measures.regions.is_empty() {
                let why = "no environment was protected at the end, so there was nothing to compare";
                Ruling { why: Some(why.to_owned()), ..Ruling::new(Verdict::Reported) }
            } else {
                Ruling::new(Verdict::Held).with_count(0)
            };
        };
        return Ruling::inconclusive(unread);
    }
    let foreign = evidence.measures.books.iter().find(|books| !books.balanced && books.foreign);
    if let Some(books) = foreign.filter(|_| promise.id == "integrity.books") {
        let environment = evidence.name(books.environment).unwrap_or_default();
        return Ruling::violated(format!("{environment}: tokens that nobody issued"));
    }
    let problems = evidence.events.iter().filter_map(|event| match &event.what {
        What::Problem(why) => Some(why.clone()),
        _ => None,
    });
    let blocker = evidence
        .environments()
        .flat_map(|(index, environment)| {
            let blockers = evidence.environment_blockers(index);
            blockers.into_iter().map(move |why| format!("{}: {why}", environment.id))
        })
        .chain(problems)
        .next();
    match blocker {
        Some(why) => Ruling::inconclusive(why),
        None => Ruling::new(Verdict::Held),
    }
    .with_count(0)
}
