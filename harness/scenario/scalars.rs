//! Single values: durations, sizes, rates, shares, counts, names. Every one is bounded.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    fields::{Sink, nearest},
    tree::{Node, Value},
};
use crate::api::ids::is_name;

/// Longest duration accepted: a day. No drill is longer, and a typing mistake often is.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// The least of a processor that servers start with in a drill's time.
pub(super) const PROCESSORS_MIN: f64 = 0.1;
/// More than any machine has that this runs on.
pub(super) const PROCESSORS_MAX: f64 = 256.0;

/// A text.
pub(super) fn text<'n>(node: &'n Node, sink: &mut Sink<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => {
            sink.wrong_type(node, "a text");
            None
        }
    }
}

/// A text out of a few.
pub(super) fn word<'n>(node: &'n Node, what: &str, known: &[&str], sink: &mut Sink<'_>) -> Option<&'n str> {
    let found = text(node, sink)?;
    if known.contains(&found) {
        return Some(found);
    }
    sink.unknown(&node.span, what, found, known.iter().copied());
    None
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, sink: &mut Sink<'_>) -> Option<bool> {
    match node.value {
        Value::Bool(value) => Some(value),
        _ => {
            sink.wrong_type(node, "true or false");
            None
        }
    }
}

/// A whole number within bounds.
pub(super) fn count(node: &Node, bounds: RangeInclusive<u64>, sink: &mut Sink<'_>) -> Option<u64> {
    let Value::Int(number) = node.value else {
        sink.wrong_type(node, "a whole number");
        return None;
    };
    match u64::try_from(number).ok().filter(|number| bounds.contains(number)) {
        Some(number) => Some(number),
        None => {
            let (least, most) = bounds.into_inner();
            let range = if most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
            sink.error(&node.span, format!("{number} is out of range: {range}"));
            None
        }
    }
}

/// Processors, whole or not: `0.8`; in thousandths of one.
pub(super) fn processors(node: &Node, sink: &mut Sink<'_>) -> Option<u32> {
    let number = match node.value {
        Value::Int(number) => number as f64,
        Value::Float(number) => number,
        _ => {
            sink.wrong_type(node, "a number of processors such as 0.8");
            return None;
        }
    };
    if (PROCESSORS_MIN..=PROCESSORS_MAX).contains(&number) {
        return Some((number * 1_000.0).round() as u32);
    }
    sink.error(&node.span, format!("{number} is out of range: {PROCESSORS_MIN} to {PROCESSORS_MAX} processors"));
    None
}

/// A name: `[a-z][a-z0-9-]*`.
pub(super) fn name<'n>(node: &'n Node, sink: &mut Sink<'_>) -> Option<&'n str> {
    let found = text(node, sink)?;
    if is_name(found) {
        return Some(found);
    }
    let help =
        "a name starts with a small letter, holds small letters, digits and `-` only, and has at most 40 characters";
    sink.error_with(&node.span, format!("`{found}` is not a name"), Some(help.to_owned()));
    None
}

/// A duration: a whole number and `ms`, `s`, `m` or `h`.
pub(super) fn duration(node: &Node, bounds: RangeInclusive<Duration>, sink: &mut Sink<'_>) -> Option<Duration> {
    let form = "a duration such as 250ms, 10s, 5m or 1h";
    let found = quantity(node, form, sink)?;
    let parsed = split(found).and_then(|(number, unit)| {
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.checked_mul(milliseconds).map(Duration::from_millis)
    });
    let Some(parsed) = parsed else {
        let help = unit_help(found, &["ms", "s", "m", "h"]);
        sink.error_with(&node.span, format!("`{found}` is not {form}"), help);
        return None;
    };
    let (least, most) = bounds.into_inner();
    if parsed < least || parsed > most {
        let range = format!("{} to {}", humantime::format_duration(least), humantime::format_duration(most));
        sink.error(&node.span, format!("{found} is out of range: {range}"));
        return None;
    }
    Some(parsed)
}

/// Any duration up to a day.
pub(super) fn any_duration(node: &Node, sink: &mut Sink<'_>) -> Option<Duration> {
    duration(node, Duration::ZERO..=DURATION_MAX, sink)
}

/// Any duration up to a day but nothing.
pub(super) fn some_duration(node: &Node, sink: &mut Sink<'_>) -> Option<Duration> {
    duration(node, Duration::from_millis(1)..=DURATION_MAX, sink)
}

/// A size in bytes: a whole number and `B`, `KiB` or `MiB`.
pub(super) fn size(node: &Node, bounds: RangeInclusive<u64>, sink: &mut Sink<'_>) -> Option<u64> {
    let form = "a size such as 512B, 4KiB or 1MiB";
    let found = quantity(node, form, sink)?;
    let Some(bytes) = split(found).and_then(|(number, unit)| bytes(number, unit)) else {
        sink.error_with(&node.span, format!("`{found}` is not {form}"), unit_help(found, &["B", "KiB", "MiB"]));
        return None;
    };
    if bounds.contains(&bytes) {
        return Some(bytes);
    }
    sink.error(&node.span, format!("{found} is out of range: {}B to {}B", bounds.start(), bounds.end()));
    None
}

/// Operations a second: `200/s`.
pub(super) fn rate(node: &Node, bounds: RangeInclusive<u64>, sink: &mut Sink<'_>) -> Option<f64> {
    let form = "a rate such as 200/s";
    let found = quantity(node, form, sink)?;
    let Some(number) = split(found).filter(|(_, unit)| *unit == "/s").map(|(number, _)| number) else {
        sink.error_with(&node.span, format!("`{found}` is not {form}"), unit_help(found, &["/s"]));
        return None;
    };
    if bounds.contains(&number) {
        return Some(number as f64);
    }
    sink.error(&node.span, format!("{found} is out of range: {}/s to {}/s", bounds.start(), bounds.end()));
    None
}

/// KiB a second: `20KiB/s`.
pub(super) fn bandwidth(node: &Node, sink: &mut Sink<'_>) -> Option<u64> {
    let form = "a bandwidth such as 20KiB/s or 1MiB/s";
    let found = quantity(node, form, sink)?;
    let parsed = split(found).and_then(|(number, unit)| bytes(number, unit.strip_suffix("/s")?));
    match parsed {
        Some(bytes) if bytes % 1024 == 0 && (1..=1024 * 1024).contains(&(bytes / 1024)) => Some(bytes / 1024),
        Some(_) => {
            sink.error(&node.span, format!("{found} is out of range: whole KiB, 1KiB/s to 1024MiB/s"));
            None
        }
        None => {
            sink.error_with(&node.span, format!("`{found}` is not {form}"), unit_help(found, &["KiB/s", "MiB/s"]));
            None
        }
    }
}

/// A share in percent, as a number from 0 to 1.
pub(super) fn percent(node: &Node, sink: &mut Sink<'_>) -> Option<f64> {
    let form = "a share such as 10%";
    let found = quantity(node, form, sink)?;
    match split(found).filter(|(_, unit)| *unit == "%").map(|(number, _)| number) {
        Some(number) if number <= 100 => Some(number as f64 / 100.0),
        Some(_) => {
            sink.error(&node.span, format!("{found} is out of range: 0% to 100%"));
            None
        }
        None => {
            sink.error_with(&node.span, format!("`{found}` is not {form}"), unit_help(found, &["%"]));
            None
        }
    }
}

/// The text of a number with a unit; a bare number is told what it lacks.
fn quantity<'n>(node: &'n Node, form: &str, sink: &mut Sink<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Int(number) => {
            sink.error_with(&node.span, format!("{number} has no unit"), Some(format!("write {form}")));
            None
        }
        _ => {
            sink.wrong_type(node, form);
            None
        }
    }
}

/// A whole number and what follows it at once.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn bytes(number: u64, unit: &str) -> Option<u64> {
    let factor = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// What to do about a unit that is not known, or a number that is not whole.
fn unit_help(found: &str, units: &[&str]) -> Option<String> {
    let (number, unit) = split(found)?;
    if unit.starts_with(['.', ',']) {
        return Some("only whole numbers: take a smaller unit".to_owned());
    }
    if unit.starts_with(' ') {
        return Some(format!("without a space: `{number}{}`", unit.trim()));
    }
    match nearest(unit, units) {
        Some(near) => Some(format!("did you mean `{number}{near}`?")),
        None => Some(format!("units: {}", units.join(", "))),
    }
}
