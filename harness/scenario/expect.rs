//! `expect`: what must hold at the end, as documented or tighter.

use super::{
    fields::{Fields, Sink},
    file::{Context, Known},
    scalars,
    timeline::{self, Outline, is_automatic_event},
    tree::{Node, Value},
};
use crate::{
    api::EnvironmentId,
    model::{
        plan::{Expectation, Subject},
        promise::{Modality, Promise},
        verdict::Verdict,
    },
};

/// Fields of an entry.
pub(super) const FIELDS: [&str; 6] = ["guarantee", "measure", "environment", "step", "at_most", "verdict"];
/// Verdicts that an entry may want.
pub(super) const VERDICTS: [&str; 3] = ["held", "violated", "inconclusive"];

pub(super) fn decode(
    file: &Fields<'_>,
    context: &Context<'_>,
    steps: &[Outline],
    sink: &mut Sink<'_>,
) -> Vec<Expectation> {
    let Some(node) = file.get("expect", sink) else { return Vec::new() };
    let Value::List(items) = &node.value else {
        sink.wrong_type(node, "a list of what must hold");
        return Vec::new();
    };
    let mut all: Vec<Expectation> = Vec::new();
    for item in items {
        let Some(entry) = decode_entry(item, context, steps, sink) else { continue };
        let twice = all.iter().any(|other| {
            (&other.subject, &other.environment, &other.step) == (&entry.subject, &entry.environment, &entry.step)
        });
        if twice {
            sink.error(&item.span, "the same is expected already by an earlier entry");
        }
        all.push(entry);
    }
    all
}

fn decode_entry(item: &Node, context: &Context<'_>, steps: &[Outline], sink: &mut Sink<'_>) -> Option<Expectation> {
    let fields = Fields::open(item, "an expectation", &FIELDS, sink)?;
    let environment = match fields.get("environment", sink) {
        Some(node) => timeline::environment(node, context, sink).map(|id| Some((node, id))),
        None => Some(None),
    };
    let step = match fields.get("step", sink) {
        Some(node) => event(node, steps, sink).map(Some),
        None => Some(None),
    };
    let verdict = match fields.get("verdict", sink) {
        Some(node) => scalars::word(node, "verdict", &VERDICTS, sink).map(|word| match word {
            "held" => Verdict::Held,
            "violated" => Verdict::Violated,
            _ => Verdict::Inconclusive,
        }),
        None => Some(Verdict::Held),
    };
    let (name, _, value) = fields.one_of(&["guarantee", "measure"], sink)?;
    let id = scalars::text(value, sink)?;
    let (subject, at_most) = if name == "guarantee" {
        let known = &context.catalogue.guarantees;
        let Some(promise) = known.iter().find(|promise| promise.id == id) else {
            sink.unknown(&value.span, "guarantee", id, known.iter().map(|promise| promise.id.as_str()));
            return None;
        };
        let of = environment.as_ref().and_then(|named| named.as_ref());
        applies(promise, value, of, &fields, context, sink);
        (Subject::Guarantee(id.to_owned()), tightened(promise, &fields, sink))
    } else {
        let known = &context.catalogue.measures;
        let Some((_, unit)) = known.iter().find(|(measure, _)| *measure == id) else {
            sink.unknown(&value.span, "measure", id, known.iter().map(|(measure, _)| *measure));
            return None;
        };
        if let Some(span) = fields.key("step").filter(|_| ["switches", "regions.differ"].contains(&id)) {
            sink.error(span, format!("`{id}` is of the whole run: leave `step` out"));
        }
        let bound = match fields.get("at_most", sink) {
            Some(node) => bound(node, unit, sink).map(Some),
            None => {
                sink.error(&value.span, "a measure needs `at_most`: without a bound there is nothing to judge");
                None
            }
        };
        (Subject::Measure(id.to_owned()), bound)
    };
    Some(Expectation {
        subject,
        environment: environment?.map(|(_, id)| id),
        step: step?,
        at_most: at_most?,
        verdict: verdict?,
    })
}

/// Whether the guarantee is one of the environment named, or of any if none is.
fn applies(
    promise: &Promise,
    value: &Node,
    named: Option<&(&Node, EnvironmentId)>,
    fields: &Fields<'_>,
    context: &Context<'_>,
    sink: &mut Sink<'_>,
) {
    if promise.kinds.is_empty() {
        for field in ["environment", "step"] {
            if let Some(span) = fields.key(field) {
                sink.error(span, format!("`{}` is judged once for the whole run: leave `{field}` out", promise.id));
            }
        }
        return;
    }
    if let Some(span) = fields.key("step").filter(|_| promise.event().is_none()) {
        sink.error(span, format!("`{}` is about no event: leave `step` out", promise.id));
    }
    let Some(environments) = &context.environments else { return };
    let kinds = promise.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let fits = |known: &Known| known.comes_to_be(|kind| promise.kinds.contains(&kind));
    match named {
        Some((node, id)) => {
            let known = environments.iter().find(|known| known.id == *id);
            if let Some(kind) = known.filter(|known| !fits(known)).and_then(|known| known.kind) {
                let help = format!("it is promised to: {kinds}");
                sink.error_with(
                    &node.span,
                    format!("`{}` is not promised to a {kind} such as `{id}`", promise.id),
                    Some(help),
                );
            }
        }
        None if environments.iter().any(fits) => {}
        None => {
            let help = format!("it is promised to: {kinds}");
            sink.error_with(
                &value.span,
                format!("`{}` is promised to no environment of this scenario", promise.id),
                Some(help),
            );
        }
    }
}

/// The bound that the entry sets on a guarantee, if it sets one.
fn tightened(promise: &Promise, fields: &Fields<'_>, sink: &mut Sink<'_>) -> Option<Option<f64>> {
    let Some(node) = fields.get("at_most", sink) else { return Some(None) };
    let Some(unit) = &promise.unit else {
        let span = fields.key("at_most").unwrap_or(fields.span());
        sink.error(span, format!("`{}` has no number that `at_most` could tighten", promise.id));
        return None;
    };
    let set = bound(node, unit, sink)?;
    match promise.number {
        Some(documented) if promise.modality == Modality::Bound && set > documented => {
            let message = format!("{set} {unit} is more than the documented bound of {documented} {unit}");
            sink.error_with(&node.span, message, Some("a scenario can only tighten a bound".to_owned()));
            None
        }
        _ => Some(Some(set)),
    }
}

fn bound(node: &Node, unit: &str, sink: &mut Sink<'_>) -> Option<f64> {
    if unit == "s" {
        return scalars::any_duration(node, sink).map(|duration| duration.as_secs_f64());
    }
    scalars::count(node, 0..=1_000_000_000, sink).map(|count| count as f64)
}

/// An event of the report: the step that orders a switch or takes a zone, an automatic one, or the end.
fn event(node: &Node, steps: &[Outline], sink: &mut Sink<'_>) -> Option<String> {
    let id = scalars::text(node, sink)?;
    let makes_event = |step: &&Outline| step.makes_event;
    if id == "end" || is_automatic_event(id) || steps.iter().filter(makes_event).any(|step| step.id == id) {
        return Some(id.to_owned());
    }
    if steps.iter().any(|step| step.id == id) {
        let help =
            "name a step that orders a switch or takes a zone, `failover-1` for the first automatic switch, or `end`";
        sink.error_with(
            &node.span,
            format!("the step `{id}` orders no switch and takes no zone"),
            Some(help.to_owned()),
        );
    } else {
        let known = steps.iter().filter(makes_event).map(|step| step.id.as_str()).chain(["failover-1", "end"]);
        sink.unknown(&node.span, "step", id, known);
    }
    None
}
