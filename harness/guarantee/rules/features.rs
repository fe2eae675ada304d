//! Features, as customers were answered: none away from home, with the reason (`*.secondary.features`); by a support ticket what it
//! is to restore, with right figures, and nothing else (`*.secondary.support-ticket`); all of them, with right figures, when
//! it is home again (a part of `*.failback.restored`).

use super::{Case, Ruling};
use crate::{
    api::reports::Feature,
    model::{RunTime, feature::FeaturePeriod, operation::Side, verdict::Verdict},
};

/// The region that scenarios deploy in.
const HOME: Side = Side(0);

pub(super) fn away(case: &Case<'_>) -> Ruling {
    let away: Vec<&FeaturePeriod> = periods(case).filter(|period| period.side != HOME && !period.ticket).collect();
    if let Some(period) = away.iter().find(|period| period.given > 0) {
        return Ruling::violated(told_away(case, period));
    }
    if let Some(period) = away.iter().find(|period| period.unavailable > 0 && period.why.as_deref() == Some("")) {
        return Ruling::violated(format!("{} is said not to be available, and no reason is told", period.feature));
    }
    for feature in features(case) {
        let of = |period: &&FeaturePeriod| period.feature == *feature;
        let told = away.iter().find(|period| of(period) && period.unavailable > 0);
        let Some(told) = told else {
            return Ruling::inconclusive(format!(
                "not exercised: nobody was told away from home that {feature} is not available"
            ));
        };
        // What was not there before either is not missed.
        let before = periods(case).find(|period| period.side == HOME && of(period) && period.began < told.began);
        match before {
            Some(period) if period.right > 0 && period.wrong == 0 => {}
            Some(period) if period.wrong > 0 => return Ruling::inconclusive(wrong(period, "at home, before")),
            _ => return Ruling::inconclusive(format!("not exercised: {feature} was not seen to be available at home")),
        }
    }
    Ruling::new(Verdict::Held).with_count(away.iter().map(|period| period.unavailable).sum())
}

pub(super) fn ticket(case: &Case<'_>) -> Ruling {
    let restored: Vec<&FeaturePeriod> = periods(case).filter(|period| period.ticket).collect();
    for period in &restored {
        match (period.feature.is_restored_by_ticket(), &period.why) {
            (false, _) if period.given > 0 => {
                let feature = period.feature;
                return Ruling::violated(format!("{feature} was given too, {} times", period.given));
            }
            (true, Some(why)) => {
                return Ruling::violated(format!("{} is not restored after the ticket: {why}", period.feature));
            }
            (true, None) if period.wrong > 0 => return Ruling::violated(wrong(period, "after the ticket")),
            _ => {}
        }
    }
    if restored.is_empty() {
        return Ruling::inconclusive("not exercised: no support ticket was done, or nobody asked after it");
    }
    for feature in features(case) {
        let of = |period: &&&FeaturePeriod| period.feature == *feature;
        let seen = |period: &&FeaturePeriod| match feature.is_restored_by_ticket() {
            true => period.right > 0,
            false => period.unavailable > 0,
        };
        let mut all = restored.iter().filter(of).copied();
        if !all.any(|period| seen(&period)) {
            let why = restored.iter().filter(of).find_map(|period| period.unchecked_why.clone());
            let why = why.unwrap_or_else(|| "no answer came".to_owned());
            return Ruling::inconclusive(format!("what became of {feature} after the ticket is not known: {why}"));
        }
    }
    Ruling::new(Verdict::Held).with_count(restored.iter().map(|period| period.right).sum())
}

/// Whether every feature was back in the end; `None` if it was, or if there is none.
pub(super) fn not_back(case: &Case<'_>, switched: RunTime) -> Option<Ruling> {
    for feature in features(case) {
        let mut back = periods(case).filter(|period| period.feature == *feature && period.began >= switched);
        let Some(period) = back.next_back() else {
            return Some(Ruling::inconclusive(format!("nobody asked for {feature} after the switch")));
        };
        match period.last_given {
            None => return Some(Ruling::inconclusive(format!("{feature} was not answered after the switch"))),
            Some(false) => {
                let why = period.why.clone().unwrap_or_default();
                return Some(Ruling::violated(format!("{feature} is not back: {why}")));
            }
            Some(true) if period.wrong > 0 => return Some(Ruling::violated(wrong(period, "after the switch"))),
            Some(true) if period.right == 0 => {
                let why = period.unchecked_why.clone().unwrap_or_default();
                return Some(Ruling::inconclusive(format!("the figures of {feature} could not be compared: {why}")));
            }
            Some(true) => {}
        }
    }
    None
}

fn features(case: &Case<'_>) -> &'static [Feature] {
    case.environment.kind.features()
}

fn periods<'a>(case: &Case<'a>) -> impl DoubleEndedIterator<Item = &'a FeaturePeriod> + use<'a> {
    let index = case.index;
    case.evidence.measures.features.iter().filter(move |period| period.environment == index)
}

fn told_away(case: &Case<'_>, period: &FeaturePeriod) -> String {
    let (feature, region) = (period.feature, case.evidence.region(period.side));
    let figures = match period.examples.first() {
        Some(example) => format!(", and its figures were wrong {} times: {example}", period.wrong),
        None => String::new(),
    };
    format!("{feature} was given in {region} {} times{figures}", period.given)
}

fn wrong(period: &FeaturePeriod, when: &str) -> String {
    let example = period.examples.first().map(String::as_str).unwrap_or_default();
    format!("{} of {} reports of {} {when} were wrong: {example}", period.wrong, period.given, period.feature)
}
