//! `workload`: the load offered to each environment. Every field may be left out.

use std::time::Duration;

use super::{
    fields::{Fields, Sink},
    scalars,
    tree::Node,
};
use crate::model::plan::{Mix, Workload};

/// Fields of `workload`.
pub(super) const FIELDS: [&str; 11] = [
    "rate",
    "writers",
    "mix",
    "file_share",
    "file_size",
    "prefill",
    "deadline",
    "probe_period",
    "warm_up",
    "settle",
    "min_acked",
];
/// Most rows and objects written before the load: they take some hours.
pub(super) const PREFILL_MAX: u32 = 1_000_000;
/// Kinds of write in `mix`.
pub(super) const MIX_FIELDS: [&str; 4] = ["create", "overwrite", "delete", "transfer"];

/// The workload of a scenario that says nothing about it.
pub(super) fn default() -> Workload {
    Workload {
        rate_per_s: 100.0,
        writers: 6,
        mix: Mix { create: 60, overwrite: 25, delete: 10, transfer: 5 },
        file_share: 0.1,
        file_bytes: 4096,
        prefill: 0,
        deadline: Duration::from_secs(2),
        probe_period: Duration::from_millis(100),
        warm_up: Duration::from_secs(3),
        settle: Duration::from_secs(2),
        min_acked: 100,
    }
}

pub(super) fn decode(file: &Fields<'_>, sink: &mut Sink<'_>) -> Option<Workload> {
    let default = default();
    let Some(node) = file.get("workload", sink) else { return Some(default) };
    let fields = Fields::open(node, "`workload`", &FIELDS, sink)?;
    let mut field = Reader { fields: &fields, sink };
    let rate_per_s = field.read("rate", default.rate_per_s, |node, sink| scalars::rate(node, 1..=10_000, sink));
    let writers = field.read("writers", default.writers, |node, sink| {
        scalars::count(node, 1..=256, sink).and_then(|count| u16::try_from(count).ok())
    });
    let mix = field.read("mix", default.mix, decode_mix);
    let file_share = field.read("file_share", default.file_share, scalars::percent);
    // A body starts with its token and a line feed: 28 bytes.
    let file_bytes = field.read("file_size", default.file_bytes, |node, sink| {
        scalars::size(node, 64..=16 * 1024 * 1024, sink).and_then(|bytes| u32::try_from(bytes).ok())
    });
    let prefill = field.read("prefill", default.prefill, |node, sink| {
        scalars::count(node, 0..=u64::from(PREFILL_MAX), sink).and_then(|count| u32::try_from(count).ok())
    });
    let deadline = field.read("deadline", default.deadline, |node, sink| {
        scalars::duration(node, Duration::from_millis(50)..=Duration::from_secs(60), sink)
    });
    let probe_period = field.read("probe_period", default.probe_period, |node, sink| {
        scalars::duration(node, Duration::from_millis(5)..=Duration::from_millis(100), sink)
    });
    let warm_up = field.read("warm_up", default.warm_up, scalars::any_duration);
    let settle = field.read("settle", default.settle, scalars::any_duration);
    let min_acked = field.read("min_acked", default.min_acked, |node, sink| scalars::count(node, 1..=1_000_000, sink));
    Some(Workload {
        rate_per_s: rate_per_s?,
        writers: writers?,
        mix: mix?,
        file_share: file_share?,
        file_bytes: file_bytes?,
        prefill: prefill?,
        deadline: deadline?,
        probe_period: probe_period?,
        warm_up: warm_up?,
        settle: settle?,
        min_acked: min_acked?,
    })
}

/// Reads fields that have a default.
struct Reader<'r, 'n, 't> {
    fields: &'r Fields<'n>,
    sink: &'r mut Sink<'t>,
}

impl<'n, 't> Reader<'_, 'n, 't> {
    fn read<T>(
        &mut self,
        name: &str,
        default: T,
        decode: impl FnOnce(&'n Node, &mut Sink<'t>) -> Option<T>,
    ) -> Option<T> {
        if !self.fields.has(name) {
            return Some(default);
        }
        self.fields.get(name, self.sink).and_then(|node| decode(node, self.sink))
    }
}

fn decode_mix(node: &Node, sink: &mut Sink<'_>) -> Option<Mix> {
    let fields = Fields::open(node, "`mix`", &MIX_FIELDS, sink)?;
    let mut weight = |name: &str| match fields.get(name, sink) {
        Some(node) => scalars::count(node, 0..=1_000, sink).and_then(|weight| u32::try_from(weight).ok()),
        None => Some(0),
    };
    let [create, overwrite, delete, transfer] = MIX_FIELDS.map(&mut weight);
    let mix = Mix { create: create?, overwrite: overwrite?, delete: delete?, transfer: transfer? };
    if mix.create == 0 && mix.overwrite == 0 && mix.transfer == 0 {
        let help = "give `create`, `overwrite` or `transfer` a weight of at least 1";
        sink.error_with(&node.span, "this mix writes nothing", Some(help.to_owned()));
        return None;
    }
    Some(mix)
}
