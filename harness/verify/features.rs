//! What customers were answered of features, period by period: while one side served, with a support ticket or without.
//!
//! What is asked between the fault (or the order) and the switch, or between a ticket's opening and its end, belongs to no
//! period: either answer is right there.

use std::time::Duration;

use super::{
    fate::Past,
    figures::{self, Checked},
    input::Input,
    timeline::Switch,
    writes::Writes,
};
use crate::{
    api::reports::Feature,
    model::{
        RunTime,
        event::What,
        feature::{FeatureAnswer, FeaturePeriod},
        operation::{EnvironmentIndex, Side},
    },
};

/// Wrong figures told of each period.
const EXAMPLES_MAX: usize = 3;

/// One question.
struct Question<'a> {
    feature: Feature,
    asked: RunTime,
    answered: RunTime,
    answer: &'a FeatureAnswer,
}

/// The questions of an environment, told event by event.
pub(super) struct Told<'a> {
    environment: EnvironmentIndex,
    questions: Vec<Question<'a>>,
    tickets: Vec<(RunTime, Option<RunTime>)>,
    /// What is to come begins with the last switch that was seen, on this side.
    since: (RunTime, Side),
    periods: Vec<FeaturePeriod>,
}

impl<'a> Told<'a> {
    pub fn new(input: &Input<'a>, environment: EnvironmentIndex) -> Self {
        let mut told = Self {
            environment,
            questions: Vec::new(),
            tickets: Vec::new(),
            since: (RunTime::ZERO, Side(0)),
            periods: Vec::new(),
        };
        for event in input.events {
            match &event.what {
                What::FeatureAsked { environment: of, feature, asked, answer } if *of == environment => {
                    told.questions.push(Question { feature: *feature, asked: *asked, answered: event.at, answer });
                }
                What::TicketOpened { environment: of } if *of == environment => told.tickets.push((event.at, None)),
                What::TicketDone { environment: of } if *of == environment => {
                    if let Some((_, done)) = told.tickets.last_mut() {
                        *done = Some(event.at);
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// Takes the time up to an event, by what readings had made of each write until then.
    pub fn until(&mut self, switch: &Switch, writes: &Writes<'_>, past: &[Past]) {
        if switch.kind.is_some() && switch.switched.is_none() {
            return;
        }
        let (began, side) = self.since;
        let end = if switch.kind.is_some() { switch.began } else { RunTime(u64::MAX) };
        let ticket = self.tickets.iter().find(|(opened, _)| (began..end).contains(opened)).copied();
        let before = ticket.map_or(end, |(opened, _)| opened);
        let mut spans = vec![(false, began, before)];
        spans.extend(ticket.and_then(|(_, done)| done).map(|done| (true, done, end)));
        for (ticket, began, end) in spans {
            for feature in Feature::ALL {
                let within = |question: &&Question<'_>| {
                    question.feature == feature && question.asked >= began && question.answered <= end
                };
                let questions: Vec<&Question<'_>> = self.questions.iter().filter(within).collect();
                if !questions.is_empty() {
                    let mut period = empty(self.environment, feature, (side, ticket, began));
                    questions.into_iter().for_each(|question| period.add(question, writes, past));
                    self.periods.push(period);
                }
            }
        }
        if let (Some(switched), Some(to)) = (switch.switched, switch.to) {
            self.since = (switched, to);
        }
    }

    /// Every period, in the order of time.
    pub fn periods(self) -> Vec<FeaturePeriod> {
        self.periods
    }
}

fn empty(
    environment: EnvironmentIndex,
    feature: Feature,
    (side, ticket, began): (Side, bool, RunTime),
) -> FeaturePeriod {
    FeaturePeriod {
        environment,
        feature,
        side,
        ticket,
        began,
        asked: 0,
        given: 0,
        unavailable: 0,
        unanswered: 0,
        right: 0,
        wrong: 0,
        unchecked: 0,
        given_after_s: None,
        last_given: None,
        why: None,
        examples: Vec::new(),
        unchecked_why: None,
    }
}

impl FeaturePeriod {
    fn add(&mut self, question: &Question<'_>, writes: &Writes<'_>, past: &[Past]) {
        self.asked += 1;
        let report = match question.answer {
            FeatureAnswer::Unanswered(_) => return self.unanswered += 1,
            FeatureAnswer::Unavailable(why) => {
                self.unavailable += 1;
                self.last_given = Some(false);
                self.why = Some(why.clone());
                return;
            }
            FeatureAnswer::Given(report) => report,
        };
        self.given += 1;
        self.last_given = Some(true);
        self.given_after_s.get_or_insert(question.answered.since(self.began).as_secs_f64());
        // Of a reporting copy the platform tells the age, and one that calls itself older than it is cannot be told from one that
        // is. Financial Reporting is computed when it is asked for, whatever age it tells.
        let age = match question.feature {
            Feature::PowerBi => Duration::from_millis(report.age_ms),
            Feature::FinancialReporting => Duration::ZERO,
        };
        let from = RunTime(question.asked.0.saturating_sub(RunTime::from_duration(age).0));
        match figures::check(writes, past, from, question.answered, report) {
            Checked::Right => self.right += 1,
            Checked::Unchecked(why) => {
                self.unchecked += 1;
                self.unchecked_why = Some(why);
            }
            Checked::Wrong(how) => {
                self.wrong += 1;
                if self.examples.len() < EXAMPLES_MAX {
                    self.examples.push(format!("at {:.1} s {how}", question.asked.seconds()));
                }
            }
        }
    }
}
