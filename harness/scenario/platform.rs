//! `platform`: which platform is under test, and its timers.

use std::time::Duration;

use super::{
    fields::{Fields, Sink, single},
    scalars,
};
use crate::{
    api::{
        guard::{Guard, GuardMode, SCAN_MS, skew_ms},
        role::{Policy, Timers},
        sabotage::Sabotage,
    },
    model::plan::Platform,
};

/// Fields of `platform: { reference: … }`.
pub(super) const FIELDS: [&str; 16] = [
    "permit",
    "poll",
    "suspect_after",
    "outage_grace",
    "cut",
    "notice",
    "drain",
    "gate",
    "stopped",
    "dwell",
    "automatic",
    "automatic_return",
    "at_once",
    "guard",
    "bound",
    "sabotage",
];
/// Environments whose writes may be stopped at once, at most.
pub(super) const AT_ONCE_MAX: u64 = 16;

pub(super) fn decode(file: &Fields<'_>, sink: &mut Sink<'_>) -> Option<Platform> {
    let Some(node) = file.get("platform", sink) else {
        return Some(Platform::Reference { timers: Timers::default(), policy: Policy::default(), sabotage: None });
    };
    let (name, key, value) = single(node, "a platform", &["reference"], sink)?;
    if name != "reference" {
        sink.unknown(&key.span, "platform", name, ["reference"].into_iter());
        return None;
    }
    let fields = Fields::open(value, "`reference`", &FIELDS, sink)?;
    let default = Timers::default();
    let mut timer = |field: &str, default: u64| match fields.get(field, sink) {
        Some(node) => {
            let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
            scalars::duration(node, bounds, sink).map(|set| u64::try_from(set.as_millis()).unwrap_or(u64::MAX))
        }
        None => Some(default),
    };
    let permit_ms = timer("permit", default.permit_ms);
    let poll_ms = timer("poll", default.poll_ms);
    let suspect_ms = timer("suspect_after", default.suspect_ms);
    let outage_grace_ms = timer("outage_grace", default.outage_grace_ms);
    let cut_ms = timer("cut", default.cut_ms);
    let notice_ms = timer("notice", default.notice_ms);
    let drain_ms = timer("drain", default.drain_ms);
    let gate_ms = timer("gate", default.gate_ms);
    let stopped_ms = timer("stopped", default.stopped_ms);
    let dwell_ms = timer("dwell", default.dwell_ms);
    let bound_ms = timer("bound", Guard::default().bound_ms);
    let automatic_return = match fields.get("automatic_return", sink) {
        Some(node) => scalars::flag(node, sink),
        None => Some(Policy::default().automatic_return),
    };
    let at_once = match fields.get("at_once", sink) {
        Some(node) => scalars::count(node, 1..=AT_ONCE_MAX, sink).and_then(|count| u16::try_from(count).ok()),
        None => Some(Policy::default().at_once),
    };
    let mode = match fields.get("guard", sink) {
        Some(node) => {
            let words = GuardMode::ALL.map(GuardMode::as_str);
            scalars::word(node, "kind of guard", &words, sink)
                .and_then(|word| GuardMode::ALL.into_iter().find(|mode| mode.as_str() == word))
        }
        None => Some(Guard::default().mode),
    };
    let sabotage = match fields.get("sabotage", sink) {
        Some(node) => {
            let words: Vec<&str> = Sabotage::ALL.iter().map(|sabotage| sabotage.as_str()).collect();
            scalars::word(node, "sabotage", &words, sink)
                .map(|word| Sabotage::ALL.iter().copied().find(|sabotage| sabotage.as_str() == word))
        }
        None => Some(None),
    };
    let automatic = match fields.get("automatic", sink) {
        Some(node) => scalars::flag(node, sink),
        None => Some(Policy::default().automatic),
    };
    let timers = Timers {
        permit_ms: permit_ms?,
        poll_ms: poll_ms?,
        suspect_ms: suspect_ms?,
        outage_grace_ms: outage_grace_ms?,
        cut_ms: cut_ms?,
        notice_ms: notice_ms?,
        drain_ms: drain_ms?,
        gate_ms: gate_ms?,
        stopped_ms: stopped_ms?,
        dwell_ms: dwell_ms?,
    };
    let mut sound = true;
    if timers.poll_ms * 3 > timers.permit_ms {
        sound = false;
        let message = format!(
            "a permit of {} ms leaves no room for two lost renewals at one every {} ms",
            timers.permit_ms, timers.poll_ms
        );
        let span = fields.key("permit").or(fields.key("poll")).unwrap_or(fields.span());
        sink.error_with(span, message, Some("make `permit` at least three times `poll`".to_owned()));
    }
    if timers.suspect_ms < timers.poll_ms * 2 {
        sound = false;
        let message = format!(
            "silence of {} ms is no sign when a sign of life comes every {} ms",
            timers.suspect_ms, timers.poll_ms
        );
        let span = fields.key("suspect_after").or(fields.key("poll")).unwrap_or(fields.span());
        sink.error_with(span, message, Some("make `suspect_after` at least twice `poll`".to_owned()));
    }
    if timers.stopped_ms <= timers.gate_ms {
        sound = false;
        let message = format!(
            "a switch that is undone {} ms after its stop never waits {} ms at a gate",
            timers.stopped_ms, timers.gate_ms
        );
        let span = fields.key("stopped").or(fields.key("gate")).unwrap_or(fields.span());
        sink.error_with(span, message, Some("make `stopped` longer than `gate`".to_owned()));
    }
    let least_ms = Guard::least_bound_ms(&timers);
    if let Some(bound_ms) = bound_ms.filter(|bound_ms| *bound_ms < least_ms) {
        sound = false;
        let Timers { permit_ms, poll_ms, .. } = timers;
        let message = format!(
            "a bound of {bound_ms} ms is less than {least_ms} ms, the least that can be kept: 3 × (permit {permit_ms} + poll \
             {poll_ms} + scan {SCAN_MS} + skew {})",
            skew_ms(&timers)
        );
        let span = fields.key("bound").unwrap_or(fields.span());
        sink.error_with(span, message, Some("set a longer `bound`, or a shorter `permit` and `poll`".to_owned()));
    }
    let guard = Guard { mode: mode?, bound_ms: bound_ms? };
    let policy = Policy { automatic: automatic?, automatic_return: automatic_return?, at_once: at_once?, guard };
    Some(Platform::Reference { timers, policy, sabotage: sabotage? }).filter(|_| sound)
}
