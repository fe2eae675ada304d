//! Every guarantee of the environments' products, judged, none missing.

use std::collections::BTreeSet;

use super::{
    Evidence, measure,
    rules::{Case, Ruling, integrity},
    set::promises,
};
use crate::{
    api::environment::Product,
    model::{
        operation::EnvironmentIndex,
        plan::{EnvironmentPlan, Expectation, Subject},
        promise::{MEASURES, Promise, Rule},
        verdict::{Judgement, Verdict},
    },
};

/// Judges a run by the guarantee sets that come with the program.
///
/// The list holds every guarantee of the products that the scenario has environments of: once for each environment, or for
/// each environment and switch of its kind; what nothing exercised is `inconclusive`, never held. Then `integrity.*`, once
/// each. Then the measures that the scenario expects something of.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Judgement> {
    judge_by(evidence, &promises())
}

/// Judges a run by any guarantees.
pub(super) fn judge_by(evidence: &Evidence<'_>, promises: &[Promise]) -> Vec<Judgement> {
    let run_blockers = evidence.run_blockers();
    let judge = Judge { evidence: *evidence, run_blockers };
    let products: BTreeSet<Product> =
        evidence.plan.environments.iter().map(|environment| environment.kind.product()).collect();
    let mut list = Vec::new();
    for promise in promises {
        match promise.product() {
            None => list.push(judge.of_run(promise)),
            Some(product) if products.contains(&product) => judge.of_environments(promise, &mut list),
            Some(_) => {}
        }
    }
    judge.measures(&mut list);
    list
}

struct Judge<'a> {
    evidence: Evidence<'a>,
    run_blockers: Vec<String>,
}

impl Judge<'_> {
    fn of_run(&self, promise: &Promise) -> Judgement {
        let ruling = match promise.rule {
            Some(Rule::Integrity) => integrity(self.evidence, promise),
            _ => Ruling::inconclusive("not exercised: nothing measures it yet"),
        };
        let expectation = self.expectation(&promise.id, None, None);
        judgement(Some(promise), &promise.id, (None, None), ruling, expectation)
    }

    fn of_environments(&self, promise: &Promise, list: &mut Vec<Judgement>) {
        let before = list.len();
        for (index, environment) in self.evidence.environments() {
            if self.evidence.plan.kinds(environment).iter().any(|kind| promise.kinds.contains(kind)) {
                self.of_environment(promise, index, environment, list);
            }
        }
        if list.len() == before {
            let kinds = promise.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
            let ruling = Ruling::inconclusive(format!("not exercised: no environment of kind {kinds}"));
            let expectation = self.expectation(&promise.id, None, None);
            list.push(judgement(Some(promise), &promise.id, (None, None), ruling, expectation));
        }
    }

    fn of_environment(
        &self,
        promise: &Promise,
        index: EnvironmentIndex,
        environment: &EnvironmentPlan,
        list: &mut Vec<Judgement>,
    ) {
        let events: Vec<_> =
            promise.event().into_iter().flat_map(|kind| self.evidence.events_of_kind(index, kind)).collect();
        // Each event; none, if there is none or something demanded one that never came; and each that the scenario names.
        let mut pairings: Vec<(Option<String>, Option<_>)> =
            events.iter().map(|event| (Some(event.id.clone()), Some(*event))).collect();
        let bare = Case { evidence: self.evidence, promise, index, environment, event: None, at_most: None };
        if events.is_empty() || bare.speaks_without_event() {
            pairings.push((None, None));
        }
        for step in self.steps_expected(&promise.id, environment) {
            if !pairings.iter().any(|(event, _)| *event == Some(step.clone())) {
                pairings.push((Some(step), None));
            }
        }
        for (id, event) in pairings {
            let expectation = self.expectation(&promise.id, Some(environment), id.as_deref());
            let at_most = expectation.and_then(|entry| entry.at_most);
            let ruling = Case { event, at_most, ..bare }.rule();
            let ruling = self.laid_over(ruling, index);
            list.push(judgement(
                Some(promise),
                &promise.id,
                (Some(environment.id.to_string()), id),
                ruling,
                expectation,
            ));
        }
    }

    /// Measures that the scenario bounds, in every environment and event that the entry covers.
    fn measures(&self, list: &mut Vec<Judgement>) {
        for (name, unit) in MEASURES {
            for (index, environment) in self.evidence.environments() {
                for (event, entry, ruling) in self.measure(name, index, environment) {
                    let pairing = (Some(environment.id.to_string()), event);
                    let ruling = self.laid_over(ruling, index);
                    let mut judged = judgement(None, name, pairing, ruling, Some(entry));
                    judged.unit = Some(unit.to_owned());
                    list.push(judged);
                }
            }
        }
    }

    fn measure(
        &self,
        name: &str,
        index: EnvironmentIndex,
        environment: &EnvironmentPlan,
    ) -> Vec<(Option<String>, &Expectation, Ruling)> {
        if measure::of_environment(name) {
            let entry = self.expectation(name, Some(environment), None);
            let judge = if name == "switches" { measure::switches } else { measure::regions };
            let judged = entry.and_then(|entry| Some((None, entry, judge(self.evidence, index, entry.at_most?))));
            return judged.into_iter().collect();
        }
        let mut list = Vec::new();
        for event in self.evidence.events_of(index) {
            let entry = self.expectation(name, Some(environment), Some(&event.id));
            if let Some((entry, bound)) = entry.and_then(|entry| Some((entry, entry.at_most?))) {
                list.push((Some(event.id.clone()), entry, measure::of_event(self.evidence, name, event, bound)));
            }
        }
        // An event that the scenario names and that never came, or a run in which nothing was measured at all.
        for step in self.steps_expected(name, environment) {
            if self.evidence.events_of(index).any(|event| event.id == step) {
                continue;
            }
            if let Some(entry) = self.expectation(name, Some(environment), Some(&step)) {
                let ruling = Ruling::inconclusive(format!("not exercised: there was no event `{step}`"));
                list.push((Some(step), entry, Ruling { tested: entry.at_most, ..ruling }));
            }
        }
        if list.is_empty()
            && let Some(entry) = self.expectation(name, Some(environment), None)
        {
            list.push((None, entry, Ruling::inconclusive("not exercised: nothing was measured")));
        }
        list
    }

    /// The entry of `expect` that is about this, the most particular one if there are several.
    fn expectation(
        &self,
        id: &str,
        environment: Option<&EnvironmentPlan>,
        event: Option<&str>,
    ) -> Option<&Expectation> {
        let covers = |entry: &&Expectation| {
            let subject = match &entry.subject {
                Subject::Guarantee(subject) | Subject::Measure(subject) => subject,
            };
            let of = entry.environment.as_ref();
            subject == id
                && of.is_none_or(|of| environment.is_some_and(|environment| *of == environment.id))
                && entry.step.as_deref().is_none_or(|step| event == Some(step))
        };
        let particular = |entry: &&Expectation| (entry.step.is_some(), entry.environment.is_some());
        self.evidence.plan.expect.iter().filter(covers).max_by_key(particular)
    }

    /// Events that `expect` names for this subject and environment.
    fn steps_expected(&self, id: &str, environment: &EnvironmentPlan) -> BTreeSet<String> {
        let about = |entry: &&Expectation| {
            matches!(&entry.subject, Subject::Guarantee(subject) | Subject::Measure(subject) if subject == id)
                && entry.environment.as_ref().is_none_or(|of| *of == environment.id)
        };
        self.evidence.plan.expect.iter().filter(about).filter_map(|entry| entry.step.clone()).collect()
    }

    /// What makes the run, or the environment, prove nothing turns *held* into *inconclusive*; a counter-example stands.
    fn laid_over(&self, ruling: Ruling, index: EnvironmentIndex) -> Ruling {
        const TOLD_MAX: usize = 3;
        if ruling.verdict != Verdict::Held {
            return ruling;
        }
        let mut blockers = self.run_blockers.clone();
        blockers.extend(self.evidence.environment_blockers(index));
        if blockers.is_empty() {
            return ruling;
        }
        let more = blockers.len().saturating_sub(TOLD_MAX);
        blockers.truncate(TOLD_MAX);
        let mut why = blockers.join("; ");
        if more > 0 {
            why.push_str(&format!("; and {more} more"));
        }
        Ruling { verdict: Verdict::Inconclusive, why: Some(why), ..ruling }
    }
}

fn judgement(
    promise: Option<&Promise>,
    id: &str,
    (environment, event): (Option<String>, Option<String>),
    ruling: Ruling,
    expectation: Option<&Expectation>,
) -> Judgement {
    Judgement {
        id: id.to_owned(),
        environment,
        event,
        verdict: ruling.verdict,
        stressed: ruling.stressed,
        documented: promise.filter(|promise| !promise.ours).and_then(|promise| promise.number),
        tested: ruling.tested,
        measured: ruling.measured,
        count: ruling.count,
        unit: promise.and_then(|promise| promise.unit.clone()),
        why: ruling.why,
        expected: expectation.is_some(),
        wanted: expectation.map_or(Verdict::Held, |entry| entry.verdict),
    }
}
