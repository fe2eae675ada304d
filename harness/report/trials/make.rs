//! Trials → statistics.

use std::collections::BTreeMap;

use super::{
    bound::{CONFIDENCE, failure_rate_at_most},
    contract::{CONTRACT, FailureRate, Point, Statistics, StatisticsRow, TrialRow, VerdictCounts},
    figures::figures,
};
use crate::{
    model::{testbed::TestbedName, verdict::Verdict},
    report::{Report, contract::GuaranteeRow},
};

/// One trial that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number, from 1.
    pub number: u32,
    /// The seed of its load and of its phases.
    pub seed: u64,
    /// Its phases, seconds, by step.
    pub phases_s: BTreeMap<String, f64>,
    /// Its report, or why there is none.
    pub report: Result<Report, String>,
}

/// What statistics say besides their figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// The scenario's name.
    pub scenario: String,
    /// As it was named on the command line: what repeats a trial.
    pub named: String,
    /// The testbed.
    pub testbed: TestbedName,
    /// The seed that the trials' seeds were derived from.
    pub seed: u64,
    /// How many trials were asked for.
    pub asked: u32,
    /// How many were run side by side, at most.
    pub at_once: u32,
    /// They were interrupted.
    pub interrupted: bool,
    /// Seconds below which phases were drawn.
    pub phases_below_s: f64,
}

impl Statistics {
    /// What these trials say together.
    pub fn new(info: &Info, mut trials: Vec<Trial>) -> Self {
        trials.sort_by_key(|trial| trial.number);
        let mut verdicts = VerdictCounts::default();
        for trial in &trials {
            verdicts.add(trial_verdict(trial), None);
        }
        Self {
            schema: CONTRACT.to_owned(),
            scenario: info.scenario.clone(),
            testbed: info.testbed.to_string(),
            seed: info.seed,
            asked: info.asked,
            at_once: info.at_once,
            interrupted: info.interrupted,
            phases_below_s: info.phases_below_s,
            verdict: trials.iter().map(trial_verdict).max().unwrap_or(Verdict::Inconclusive),
            verdicts,
            guarantees: places(&trials).iter().map(|place| row(place, &trials)).collect(),
            trials: trials.iter().map(|trial| trial_row(info, trial)).collect(),
        }
    }
}

fn trial_verdict(trial: &Trial) -> Verdict {
    trial.report.as_ref().map_or(Verdict::Inconclusive, |report| report.verdict)
}

fn trial_row(info: &Info, trial: &Trial) -> TrialRow {
    let reasons = match &trial.report {
        Ok(report) => report.reasons.clone(),
        Err(why) => vec![format!("it brought no report: {why}")],
    };
    let on =
        if info.testbed == TestbedName::default() { String::new() } else { format!(" --testbed {}", info.testbed) };
    let (named, seed) = (shell_word(&info.named), trial.seed);
    TrialRow {
        number: trial.number,
        seed,
        verdict: trial_verdict(trial),
        reasons,
        folder: trial.report.as_ref().ok().map(|report| report.folder.clone()),
        phases_s: trial.phases_s.clone(),
        repeat: format!("geodrill run {named}{on} --seed {seed} --phase-seed {seed}"),
    }
}

/// As a shell takes it for one word.
fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl VerdictCounts {
    fn add(&mut self, verdict: Verdict, stressed: Option<bool>) {
        let count = match (verdict, stressed) {
            (Verdict::Held, Some(false)) => &mut self.not_stressed,
            (Verdict::Held, _) => &mut self.held,
            (Verdict::Violated, _) => &mut self.violated,
            (Verdict::Inconclusive, _) => &mut self.inconclusive,
            (Verdict::Reported, _) => &mut self.reported,
        };
        *count += 1;
    }

    /// Of all trials.
    pub fn sum(&self) -> u64 {
        self.held + self.not_stressed + self.violated + self.inconclusive + self.reported
    }
}

/// What is judged: id, environment, event.
type Place<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn place(row: &GuaranteeRow) -> Place<'_> {
    (&row.id, row.environment.as_deref(), row.event.as_deref())
}

fn reports(trials: &[Trial]) -> impl Iterator<Item = &Report> {
    trials.iter().filter_map(|trial| trial.report.as_ref().ok())
}

/// Every place that a trial speaks of, in the order of the reports. A row without an event that stands where another trial
/// has the event's is no place of its own: it says why there is none.
fn places(trials: &[Trial]) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for row in reports(trials).flat_map(|report| &report.guarantees) {
        if !places.contains(&place(row)) {
            places.push(place(row));
        }
    }
    let has =
        |report: &Report, wanted: &dyn Fn(Place<'_>) -> bool| report.guarantees.iter().any(|row| wanted(place(row)));
    let stands_in = |&(id, environment, event): &Place<'_>| {
        let of_event = |other: Place<'_>| (other.0, other.1) == (id, environment) && other.2.is_some();
        let without = |other: Place<'_>| other == (id, environment, None);
        event.is_none()
            && reports(trials).any(|report| has(report, &of_event))
            && !reports(trials).any(|report| has(report, &of_event) && has(report, &without))
    };
    let (stand_ins, _): (Vec<Place<'_>>, Vec<Place<'_>>) = places.iter().partition(|place| stands_in(place));
    places.retain(|place| !stand_ins.contains(place));
    places
}

/// What a report says of a place: its own row, or the one that says why there is no such event.
fn found<'r>(report: &'r Report, wanted: &Place<'_>) -> Option<&'r GuaranteeRow> {
    let at = |wanted: &Place<'_>| report.guarantees.iter().find(|row| place(row) == *wanted);
    at(wanted).or_else(|| at(&(wanted.0, wanted.1, None)))
}

fn row(place: &Place<'_>, trials: &[Trial]) -> StatisticsRow {
    let mut verdicts = VerdictCounts::default();
    let mut points = Vec::new();
    let mut first: Option<&GuaranteeRow> = None;
    for trial in trials {
        let found = trial.report.as_ref().ok().and_then(|report| found(report, place));
        let verdict = found.map_or(Verdict::Inconclusive, |row| row.verdict);
        verdicts.add(verdict, found.and_then(|row| row.stressed));
        if let Some(value) = found.and_then(|row| row.measured) {
            points.push(Point { trial: trial.number, value, conclusive: verdict != Verdict::Inconclusive });
        }
        // Bounds are known to the rows that judged something.
        if first.is_none_or(|first| first.tested.is_none()) {
            first = found.or(first);
        }
    }
    let (tested, documented) = (first.and_then(|row| row.tested), first.and_then(|row| row.documented));
    let unit = first.and_then(|row| row.unit.clone());
    let is_yes_or_no = unit.is_none() || tested.or(documented) == Some(0.0);
    StatisticsRow {
        id: place.0.to_owned(),
        environment: place.1.map(str::to_owned),
        event: place.2.map(str::to_owned),
        expected: first.is_some_and(|row| row.expected),
        wanted: first.map_or(Verdict::Held, |row| row.wanted),
        documented,
        tested,
        unit,
        failure_rate: if is_yes_or_no { failure_rate(&verdicts) } else { None },
        verdicts,
        figures: figures(points),
    }
}

/// Of conclusive trials alone: what was not exercised, or not proven, says nothing of failures.
fn failure_rate(verdicts: &VerdictCounts) -> Option<FailureRate> {
    let (trials, failures) = (verdicts.held + verdicts.violated, verdicts.violated);
    let at_most = failure_rate_at_most(trials, failures)?;
    Some(FailureRate { trials, failures, at_most, confidence: CONFIDENCE })
}
