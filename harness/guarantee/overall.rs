//! The verdict of a run.
//!
//! What counts is what `expect` names, and all of `integrity.*`. Of each the *outcome* is reckoned: met, if the verdict is the
//! one wanted (`reported` meets a wanted `held`: what is only typical can neither hold nor fail); otherwise `inconclusive`
//! if the verdict is, and `violated` if it is another. The run's verdict is the worst outcome.
//!
//! So a sabotage or tampering that had to be found, and was, makes the run `held`: the harness did what was expected of it.
//! The judgements themselves are not touched: the report of such a run still says `violated` of every guarantee that is.
//! A scenario that expects nothing shows nothing: `inconclusive`, if not worse; and so is a run of which a step failed, a
//! fault was not proven, or which met with a problem: it did not do what its scenario says, whatever it expects.

use crate::model::{
    event::{Event, What},
    verdict::{Judgement, Verdict},
};

/// The verdict of a run, and what brought it about if it is not held.
pub fn overall(judgements: &[Judgement], events: &[Event]) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<(Verdict, String)> =
        events.iter().filter_map(spoilt).map(|why| (Verdict::Inconclusive, why)).collect();
    let mut worst = if reasons.is_empty() { Verdict::Held } else { Verdict::Inconclusive };
    for judgement in judgements.iter().filter(|judgement| counts(judgement)) {
        let outcome = outcome(judgement);
        if outcome != Verdict::Held {
            worst = worst.max(outcome);
            reasons.push((outcome, reason(judgement)));
        }
    }
    if !judgements.iter().any(|judgement| judgement.expected) {
        worst = worst.max(Verdict::Inconclusive);
        reasons.push((Verdict::Inconclusive, "the scenario expects nothing".to_owned()));
    }
    reasons.sort_by_key(|(outcome, _)| std::cmp::Reverse(*outcome));
    (worst, reasons.into_iter().map(|(_, reason)| reason).collect())
}

/// Why the run did not do what its scenario says, if this event says so.
fn spoilt(event: &Event) -> Option<String> {
    match &event.what {
        What::StepFailed { id, why } => Some(format!("step `{id}` failed: {why}")),
        What::Fault(record) if record.unproven => {
            let proof = record.healing.as_ref().unwrap_or(&record.proof);
            Some(format!("{} of step `{}` was not proven: {proof}", record.fault, record.step))
        }
        What::Problem(why) => Some(why.clone()),
        _ => None,
    }
}

/// Whether it counts for the run's verdict.
fn counts(judgement: &Judgement) -> bool {
    judgement.expected || judgement.id.starts_with("integrity.")
}

/// `Held` if what was wanted came out.
fn outcome(judgement: &Judgement) -> Verdict {
    match (judgement.wanted, judgement.verdict) {
        (wanted, found) if wanted == found => Verdict::Held,
        (Verdict::Held, Verdict::Reported) => Verdict::Held,
        (_, Verdict::Inconclusive) => Verdict::Inconclusive,
        _ => Verdict::Violated,
    }
}

fn reason(judgement: &Judgement) -> String {
    let mut text = judgement.id.clone();
    for place in [&judgement.environment, &judgement.event].into_iter().flatten() {
        text.push_str(&format!(" {place}"));
    }
    text.push_str(&format!(" is {}", judgement.verdict));
    if judgement.wanted != Verdict::Held {
        text.push_str(&format!(", though {} was wanted", judgement.wanted));
    }
    if let Some(why) = &judgement.why {
        text.push_str(&format!(": {why}"));
    }
    text
}
