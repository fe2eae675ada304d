//! `inject`: a fault by name, with its fields.

use super::{
    catalogue::Availability,
    fields::{Fields, Sink, single},
    file::Context,
    scalars,
    tree::Node,
};
use crate::{
    api::Region,
    model::{
        fault::{Fault, PartitionMode},
        link::Link,
        process::ProcessName,
    },
};

pub(super) fn decode(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Fault> {
    let names: Vec<&str> = context.catalogue.faults.iter().map(|entry| entry.name).collect();
    let (name, key, value) = single(node, "a fault", &names, sink)?;
    let Some(entry) = context.catalogue.faults.iter().find(|entry| entry.name == name) else {
        sink.unknown(&key.span, "fault", name, names.into_iter());
        return None;
    };
    if !available(key, "fault", name, entry.availability, context, sink) {
        return None;
    }
    let fields = Fields::open(value, entry.name, entry.fields, sink)?;
    match name {
        "region.outage" => {
            let region = fields.require("region", sink).and_then(|node| region(node, context, sink))?;
            Some(Fault::RegionOutage { region })
        }
        "link.partition" => partition(&fields, context, sink),
        "link.latency" => {
            let link = link(&fields, context, sink);
            let latency = fields.require("latency", sink).and_then(|node| scalars::some_duration(node, sink));
            let jitter = match fields.get("jitter", sink) {
                Some(node) => {
                    let jitter = scalars::any_duration(node, sink)?;
                    if latency.is_some_and(|latency| jitter > latency) {
                        sink.error(&node.span, "`jitter` goes either way and cannot be larger than `latency`");
                        return None;
                    }
                    jitter
                }
                None => std::time::Duration::ZERO,
            };
            Some(Fault::LinkLatency { link: link?, latency: latency?, jitter })
        }
        "link.bandwidth" => {
            let link = link(&fields, context, sink);
            let rate = fields.require("rate", sink).and_then(|node| scalars::bandwidth(node, sink));
            Some(Fault::LinkBandwidth { link: link?, rate_kib: rate? })
        }
        "process.kill" => process(&fields, context, sink).map(|process| Fault::ProcessKill { process }),
        "process.pause" => process(&fields, context, sink).map(|process| Fault::ProcessPause { process }),
        other => {
            sink.error(&key.span, format!("`{other}` is in the catalogue but has no grammar"));
            None
        }
    }
}

/// Tells why a thing that has a name cannot be done.
pub(super) fn available(
    key: &Node,
    what: &str,
    name: &str,
    availability: Availability,
    context: &Context<'_>,
    sink: &mut Sink<'_>,
) -> bool {
    match availability {
        Availability::Now => true,
        Availability::NotYet => {
            sink.error(&key.span, format!("the {what} `{name}` is not yet available"));
            false
        }
        Availability::Never(reason) => {
            let testbed = context.catalogue.testbed;
            sink.error_with(&key.span, format!("the testbed `{testbed}` cannot do `{name}`"), Some(reason.to_owned()));
            false
        }
    }
}

/// A region of the scenario.
pub(super) fn region(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Region> {
    let name = scalars::name(node, sink)?;
    let regions = context.regions.as_ref()?;
    let found = regions.iter().find(|region| region.as_str() == name);
    if found.is_none() {
        sink.unknown(&node.span, "region", name, regions.iter().map(Region::as_str));
    }
    found.cloned()
}

fn partition(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Fault> {
    let link = link(fields, context, sink);
    let modes = PartitionMode::ALL.map(PartitionMode::as_str);
    let mode = fields
        .require("mode", sink)
        .and_then(|node| scalars::word(node, "mode", &modes, sink))
        .and_then(|word| PartitionMode::ALL.into_iter().find(|mode| mode.as_str() == word));
    if let Some(span) = fields.key("direction") {
        sink.error(span, "the field `direction` is not yet available: a partition cuts both directions");
    }
    Some(Fault::LinkPartition { link: link?, mode: mode? })
}

fn link(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Link> {
    let node = fields.require("link", sink)?;
    let text = scalars::text(node, sink)?;
    let link: Link = match text.parse() {
        Ok(link) => link,
        Err(error) => {
            sink.error(&node.span, error.to_string());
            return None;
        }
    };
    let known = context.links.as_ref()?;
    if !known.contains(&link) {
        let names: Vec<String> = known.iter().map(Link::to_string).collect();
        sink.unknown(&node.span, "link", &link.to_string(), names.iter().map(String::as_str));
        return None;
    }
    Some(link)
}

fn process(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<ProcessName> {
    let node = fields.require("process", sink)?;
    let text = scalars::text(node, sink)?;
    let process: ProcessName = match text.parse() {
        Ok(process) => process,
        Err(error) => {
            sink.error(&node.span, error.to_string());
            return None;
        }
    };
    let known = context.processes.as_ref()?;
    if !known.contains(&process) {
        let names: Vec<String> = known.iter().map(ProcessName::to_string).collect();
        sink.unknown(&node.span, "process", &process.to_string(), names.iter().map(String::as_str));
        return None;
    }
    Some(process)
}
