//! Triggers by what the examiner itself measures: `when: { lag: … }` and `when: { count: … }`.

use super::{
    fields::{Fields, Sink},
    file::Context,
    scalars, timeline,
    tree::Node,
};
use crate::{
    api::EnvironmentId,
    model::{operation::Store, plan::When},
};

/// Fields of `lag`.
pub(super) const LAG_FIELDS: [&str; 3] = ["environment", "store", "at_least"];
/// Fields of `count`.
pub(super) const COUNT_FIELDS: [&str; 2] = ["environment", "acked"];
/// Stores, as files write them.
pub(super) const STORES: [&str; 2] = ["sql", "files"];
/// More writes than any drill sends.
pub(super) const ACKED_MAX: u64 = 1_000_000_000;

pub(super) fn lag(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<When> {
    let fields = Fields::open(node, "`lag`", &LAG_FIELDS, sink)?;
    let environment = fields.require("environment", sink).and_then(|node| replicated(node, context, sink));
    let store = fields.require("store", sink).and_then(|node| scalars::word(node, "store", &STORES, sink));
    let at_least = fields.require("at_least", sink).and_then(|node| scalars::some_duration(node, sink));
    let store = if store? == "sql" { Store::Sql } else { Store::Files };
    Some(When::Lag { environment: environment?, store, at_least: at_least? })
}

/// An environment of which there is a replica that could be behind.
fn replicated(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<EnvironmentId> {
    let id = timeline::environment(node, context, sink)?;
    let known = context.environments.iter().flatten().find(|known| known.id == id);
    let alone = known.filter(|known| !known.comes_to_be(|kind| kind.has_replica()));
    if let Some(kind) = alone.and_then(|known| known.kind) {
        sink.error(&node.span, format!("`{id}` is a {kind}, which has no replica that could be behind"));
        return None;
    }
    Some(id)
}

pub(super) fn count(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<When> {
    let fields = Fields::open(node, "`count`", &COUNT_FIELDS, sink)?;
    let environment = match fields.get("environment", sink) {
        Some(node) => timeline::environment(node, context, sink).map(Some),
        None => Some(None),
    };
    let acked = fields.require("acked", sink).and_then(|node| scalars::count(node, 1..=ACKED_MAX, sink));
    Some(When::Count { environment: environment?, acked: acked? })
}
