//! Features: what customers must have been answered for each guarantee, and what bends it.

use super::sample::{Run, at};
use crate::{
    api::{control::SwitchKind, reports::Feature},
    model::{
        event::What,
        feature::FeaturePeriod,
        measure::{EventKind, RegionsCompared},
        operation::{EnvironmentIndex, Side},
        verdict::Verdict::{self, Held, Inconclusive, Violated},
    },
};

const BOOKS: EnvironmentIndex = EnvironmentIndex(1);
const FEATURES: &str = "finops.secondary.features";
const TICKET: &str = "finops.secondary.support-ticket";
const RESTORED: &str = "finops.failback.restored";

fn period(feature: Feature, side: u8, ticket: bool, began: f64, is_given: bool) -> FeaturePeriod {
    let (given, unavailable) = if is_given { (4, 0) } else { (0, 4) };
    FeaturePeriod {
        environment: BOOKS,
        feature,
        side: Side(side),
        ticket,
        began: at(began),
        asked: 4,
        given,
        unavailable,
        unanswered: 0,
        right: given,
        wrong: 0,
        unchecked: 0,
        given_after_s: is_given.then_some(0.3),
        last_given: Some(is_given),
        why: (!is_given).then(|| "not available in the secondary region".to_owned()),
        examples: Vec::new(),
        unchecked_why: None,
    }
}

/// Failed over at 13 s, a ticket done at 15 s, home again at 18 s.
fn round_trip() -> Run {
    use Feature::{FinancialReporting, PowerBi};
    let mut run = Run::good();
    let mut back = run.measures.events[2].clone();
    (back.id, back.kind) = ("back".to_owned(), Some(EventKind::Switch(SwitchKind::Failback)));
    (back.began, back.switched) = (at(17.0), Some(at(18.0)));
    (back.from, back.to) = (Some(Side(1)), Some(Side(0)));
    run.measures.events.insert(3, back);
    run.measures.regions.push(RegionsCompared { environment: BOOKS, ..RegionsCompared::default() });
    let (environment, detail) = (BOOKS, "looked".to_owned());
    run.happened(19.0, What::Protected { environment, replica: Side(1), seen: true, detail });
    run.measures.features = vec![
        period(FinancialReporting, 0, false, 0.0, true),
        period(PowerBi, 0, false, 0.0, true),
        period(FinancialReporting, 1, false, 13.0, false),
        period(PowerBi, 1, false, 13.0, false),
        period(FinancialReporting, 1, true, 15.0, true),
        period(PowerBi, 1, true, 15.0, false),
        period(FinancialReporting, 0, false, 18.0, true),
        period(PowerBi, 0, false, 18.0, true),
    ];
    run
}

fn check(id: &str, expected: Verdict, bend: impl FnOnce(&mut Vec<FeaturePeriod>)) {
    let mut run = round_trip();
    bend(&mut run.measures.features);
    let judged = run.judged(id);
    assert_eq!(judged.verdict, expected, "{judged:?}");
}

fn gives(period: &mut FeaturePeriod) {
    (period.given, period.last_given) = (1, Some(true));
}

fn wrong(period: &mut FeaturePeriod) {
    (period.right, period.wrong) = (3, 1);
    period.examples = vec!["at 3.0 s off".to_owned()];
}

fn refuses(period: &mut FeaturePeriod) {
    (period.unavailable, period.last_given, period.why) = (1, Some(false), Some("not here".to_owned()));
}

#[test]
fn a_round_trip_with_a_ticket_holds_all_that_is_promised_of_features() {
    for id in [FEATURES, TICKET, RESTORED] {
        check(id, Held, |_| {});
    }
}

#[test]
fn away_from_home_nothing_is_given_and_the_reason_is_told() {
    check(FEATURES, Violated, |all| gives(&mut all[2]));
    check(FEATURES, Violated, |all| gives(&mut all[3]));
    check(FEATURES, Violated, |all| all[3].why = Some(String::new()));
    // What a ticket restored is no word against it.
    check(FEATURES, Held, |all| refuses(&mut all[4]));
    check(FEATURES, Inconclusive, |all| all.retain(|period| period.side == Side(0)));
    check(FEATURES, Inconclusive, |all| drop(all.remove(3)));
    check(FEATURES, Inconclusive, |all| all[3].unavailable = 0);
    // What was not there before, or was wrong, is not missed.
    check(FEATURES, Inconclusive, |all| drop(all.remove(0)));
    check(FEATURES, Inconclusive, |all| wrong(&mut all[1]));
}

#[test]
fn a_ticket_restores_financial_reporting_with_right_figures_and_nothing_else() {
    check(TICKET, Violated, |all| refuses(&mut all[4]));
    check(TICKET, Violated, |all| wrong(&mut all[4]));
    check(TICKET, Violated, |all| gives(&mut all[5]));
    check(TICKET, Inconclusive, |all| all.retain(|period| !period.ticket));
    check(TICKET, Inconclusive, |all| (all[4].right, all[4].unchecked) = (0, 4));
    check(TICKET, Inconclusive, |all| drop(all.remove(5)));
    check(TICKET, Inconclusive, |all| (all[4].given, all[4].right, all[4].unanswered) = (0, 0, 4));
}

#[test]
fn at_home_again_everything_is_back_in_the_end() {
    // For a while it may be missing.
    check(RESTORED, Held, |all| (all[7].unavailable, all[7].why) = (2, Some("not yet".to_owned())));
    check(RESTORED, Violated, |all| refuses(&mut all[7]));
    check(RESTORED, Violated, |all| wrong(&mut all[6]));
    check(RESTORED, Inconclusive, |all| all.truncate(6));
    check(RESTORED, Inconclusive, |all| (all[6].last_given, all[6].given, all[6].right) = (None, 0, 0));
    check(RESTORED, Inconclusive, |all| (all[6].right, all[6].unchecked) = (0, 4));
}
