//! `*.interruption`: the longest interruption of any access against its bound; without a bound it is only told.

use super::{Case, Ruling};
use crate::model::{
    measure::{Gap, Interruptions},
    promise::Modality,
    verdict::Verdict,
};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let event = match case.observed_switch() {
        Ok((event, _)) => event,
        Err(ruling) => return ruling,
    };
    let tested = case.tested();
    // What is only typical is judged if the scenario sets a bound of its own, and told otherwise.
    let judged = if case.promise.modality == Modality::Typical { case.at_most } else { tested };
    let ruling = worst(&event.interruption, None, judged);
    Ruling { tested: judged.or(tested), ..ruling }
}

/// The worst gap of all accesses, or of one, against a bound.
pub(in super::super) fn worst(all: &Interruptions, access: Option<&str>, bound: Option<f64>) -> Ruling {
    let wanted = all.each().into_iter().filter(|(name, _)| access.is_none_or(|access| access == *name));
    let gaps: Vec<(&str, &Gap)> = wanted.filter_map(|(name, gap)| gap.map(|gap| (name, gap))).collect();
    let longest = gaps.iter().max_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds)).copied();
    let Some((name, gap)) = longest else { return Ruling::inconclusive("not probed") };
    let ruling = match bound {
        None => Ruling::new(Verdict::Reported),
        Some(bound) => against(&gaps, bound),
    };
    let at_least = if gap.censored { " at least, when the run ended" } else { "" };
    let told = format!("{name} for {:.3} s{at_least}", gap.seconds);
    let why = match (ruling.verdict, ruling.why) {
        (Verdict::Violated, _) => Some(told),
        (Verdict::Reported, _) if gap.censored => Some(told),
        (_, why) => why,
    };
    Ruling { why, ..Ruling::new(ruling.verdict) }.with_figures(bound, gap.seconds)
}

fn against(gaps: &[(&str, &Gap)], bound: f64) -> Ruling {
    if gaps.iter().any(|(_, gap)| gap.seconds > bound && !gap.examiner_stalled) {
        return Ruling::new(Verdict::Violated);
    }
    // A gap lies between two acknowledgements, so a stall of the examiner's can only have made it longer: within the bound it
    // is within the bound, past it nobody knows whose it was.
    if let Some((name, _)) = gaps.iter().find(|(_, gap)| gap.examiner_stalled && gap.seconds > bound) {
        return Ruling::inconclusive(format!("the gap of {name} overlaps a stall of the examiner's own"));
    }
    match gaps.iter().find(|(_, gap)| gap.censored) {
        Some((name, gap)) => Ruling::inconclusive(format!(
            "the run ended {:.1} s into the interruption of {name}, before the bound of {bound} s",
            gap.seconds
        )),
        None => Ruling::new(Verdict::Held),
    }
}
