//! What customers were answered of features: periods, and the figures of reports that were made of known truths.

use std::collections::BTreeMap;

use super::world::*;
use crate::{
    api::reports::{AccountFigures, Feature, Report},
    model::{
        SwitchKind,
        event::{Event, What},
        feature::{FeatureAnswer, FeaturePeriod},
        operation::*,
    },
};

const FIRST: EnvironmentIndex = EnvironmentIndex(0);

/// The figures that the database holds now.
fn figures(world: &World) -> Report {
    let mut accounts: BTreeMap<i64, AccountFigures> = BTreeMap::new();
    for leg in world.database().legs {
        let account = i64::from(leg.account);
        let figures = accounts.entry(account).or_insert(AccountFigures { account, postings: 0, balance: 0 });
        (figures.postings, figures.balance) = (figures.postings + 1, figures.balance + leg.amount);
    }
    Report { age_ms: 0, accounts: accounts.into_values().collect() }
}

/// A question for Financial Reporting that took 20 ms, and brought this.
fn ask(world: &mut World, answer: FeatureAnswer) {
    ask_for(world, Feature::FinancialReporting, answer);
}

fn ask_for(world: &mut World, feature: Feature, answer: FeatureAnswer) {
    let asked = ms(world.now);
    world.now += 20;
    let what = What::FeatureAsked { environment: FIRST, feature, asked, answer };
    world.events.push(Event { at: ms(world.now), what });
    world.now += 5;
}

fn unavailable(world: &mut World) {
    ask(world, FeatureAnswer::Unavailable("not here".into()));
}

fn report(world: &mut World, report: Report) {
    ask(world, FeatureAnswer::Given(report));
}

fn periods(world: World) -> Vec<FeaturePeriod> {
    world.finish().verify().features
}

/// Twelve transfers, then the script.
fn after(script: impl FnOnce(&mut World)) -> FeaturePeriod {
    let mut world = World::new();
    for number in 0..12 {
        world.transfer(1, number % 5, 5, 10 + i64::from(number), Answer::Ok);
    }
    script(&mut world);
    let mut periods = periods(world);
    assert_eq!(periods.len(), 1, "{periods:?}");
    periods.remove(0)
}

#[test]
fn figures_are_right_exactly_if_they_are_those_that_were_acknowledged() {
    let check = |expected: (u64, u64), script: &dyn Fn(&mut World)| {
        let period = after(script);
        assert_eq!((period.right, period.wrong), expected, "{period:?}");
    };
    check((1, 0), &|world| {
        let figures = figures(world);
        report(world, figures);
    });
    // Old ones lack what was acknowledged since; a reporting copy may be as old as it says.
    let old = |feature: Feature, age_ms: u64| {
        move |world: &mut World| {
            let old = Report { age_ms, ..figures(world) };
            world.transfer(1, 0, 1, 7, Answer::Ok);
            ask_for(world, feature, FeatureAnswer::Given(old));
        }
    };
    check((0, 1), &old(Feature::FinancialReporting, 0));
    check((0, 1), &old(Feature::FinancialReporting, 10));
    check((0, 1), &old(Feature::PowerBi, 0));
    check((1, 0), &old(Feature::PowerBi, 10));
    // Another amount, another account, a posting too many.
    let bend = |bend: fn(&mut Vec<AccountFigures>)| {
        move |world: &mut World| {
            let mut figures = figures(world);
            bend(&mut figures.accounts);
            report(world, figures);
        }
    };
    check((0, 1), &bend(|accounts| accounts[2].balance += 1));
    check((0, 1), &bend(|accounts| accounts[2].postings += 1));
    check((0, 1), &bend(|accounts| accounts[2].account = 77));
    check((0, 1), &bend(|accounts| accounts.truncate(5)));
    check((0, 1), &bend(|accounts| accounts.push(AccountFigures { account: 9, postings: 2, balance: 0 })));
    check((0, 1), &bend(Vec::clear));
    // An account that has no postings may be told or not.
    check((1, 0), &bend(|accounts| accounts.push(AccountFigures { account: 9, postings: 0, balance: 0 })));
}

#[test]
fn what_is_in_doubt_may_be_in_the_figures_and_what_failed_may_not() {
    for is_done in [true, false] {
        for answer in [Answer::Doubt(is_done), Answer::Silent(is_done)] {
            let period = after(|world| {
                for stream in 2..12 {
                    world.transfer(stream, stream % 5, 5, 100 + i64::from(stream), answer);
                }
                let figures = figures(world);
                report(world, figures);
            });
            assert_eq!((period.right, period.wrong), (1, 0), "{answer:?}: {period:?}");
        }
    }
    // Half of one is in none.
    let period = after(|world| {
        world.transfer(2, 0, 5, 100, Answer::Doubt(true));
        let mut figures = figures(world);
        figures.accounts[0].balance += 100;
        figures.accounts[0].postings -= 1;
        report(world, figures);
    });
    assert_eq!((period.right, period.wrong), (0, 1), "{period:?}");
    let period = after(|world| {
        let mut figures = figures(world);
        world.transfer(2, 0, 5, 100, Answer::Fail);
        (figures.accounts[0].postings, figures.accounts[0].balance) =
            (figures.accounts[0].postings + 1, figures.accounts[0].balance - 100);
        report(world, figures);
    });
    assert_eq!((period.right, period.wrong), (0, 1), "{period:?}");
}

#[test]
fn what_was_sent_while_the_question_was_under_way_may_be_in_it_and_nothing_sent_later() {
    let later = |gap: u64| {
        after(|world| {
            let asked = world.now;
            world.now += gap;
            world.transfer(2, 0, 5, 100, Answer::Ok);
            let figures = figures(world);
            world.now = asked;
            report(world, figures);
            world.now += 100;
        })
    };
    assert_eq!((later(10).right, later(10).wrong), (1, 0));
    assert_eq!((later(21).right, later(21).wrong), (0, 1));
}

#[test]
fn what_a_switch_lost_is_missing_in_figures_that_are_right() {
    let run = |with_lost: bool| {
        let mut world = World::new();
        for number in 0..10 {
            world.transfer(1, number % 5, 5, 10, Answer::Ok);
        }
        let before = figures(&world);
        report(&mut world, before.clone());
        world.fail_over("failover-1", 3, 0);
        world.transfer(2, 0, 5, 1, Answer::Ok);
        let now = figures(&world);
        let stale = Report { accounts: before.accounts, age_ms: 0 };
        report(&mut world, if with_lost { stale } else { now });
        world.observe("failover-1");
        periods(world)
    };
    for (with_lost, expected) in [(false, (1, 0)), (true, (0, 1))] {
        let periods = run(with_lost);
        assert_eq!(periods.iter().map(|period| period.side).collect::<Vec<_>>(), [Side(0), Side(1)]);
        assert_eq!((periods[0].right, periods[0].wrong), (1, 0), "{periods:?}");
        assert_eq!((periods[1].right, periods[1].wrong), expected, "{periods:?}");
    }
}

#[test]
fn periods_end_where_either_answer_would_be_right() {
    let mut world = World::new();
    world.transfer(1, 0, 1, 5, Answer::Ok);
    let at_home = figures(&world);
    report(&mut world, at_home.clone());
    // While the switch is under way.
    let asked = ms(world.now + 1);
    world.fail_over("failover-1", 0, 0);
    let what =
        |asked, answer| What::FeatureAsked { environment: FIRST, feature: Feature::FinancialReporting, asked, answer };
    world.event(what(asked, FeatureAnswer::Unavailable("not here".into())));
    world.write(2, OpKind::Create, "a", false, Answer::Ok);
    unavailable(&mut world);
    ask(&mut world, FeatureAnswer::Unanswered("deadline".into()));
    world.observe("failover-1");
    world.event(What::TicketOpened { environment: FIRST });
    unavailable(&mut world);
    report(&mut world, at_home.clone());
    world.event(What::TicketDone { environment: FIRST });
    report(&mut world, at_home.clone());
    report(&mut world, at_home.clone());
    world.switch("back", SwitchKind::Failback, 0, 0);
    world.write(2, OpKind::Create, "b", false, Answer::Ok);
    unavailable(&mut world);
    report(&mut world, at_home);
    world.observe("back");
    let periods = periods(world);
    let told: Vec<_> = (periods.iter())
        .map(|period| (period.side.0, period.ticket, period.asked, period.given, period.unavailable, period.last_given))
        .collect();
    let expected = [
        (0, false, 1, 1, 0, Some(true)),
        (1, false, 2, 0, 1, Some(false)),
        (1, true, 2, 2, 0, Some(true)),
        (0, false, 2, 1, 1, Some(true)),
    ];
    assert_eq!(told, expected);
    assert_eq!(periods[1].unanswered, 1);
    assert_eq!(periods[1].why.as_deref(), Some("not here"));
    assert!(periods[3].given_after_s.is_some_and(|after| after > 0.0), "{periods:?}");
    assert!(periods.iter().all(|period| period.wrong == 0 && period.right == period.given), "{periods:?}");
}
