//! `inject`: a fault by name, with its fields.

use std::time::Duration;

use super::{
    catalogue::Availability,
    fields::{Fields, Sink, single},
    file::Context,
    scalars, timeline,
    tree::Node,
};
use crate::{
    api::{EnvironmentId, Region, Zone},
    model::{
        fault::{Direction, Fault, Mishap, OutageHow, PartitionMode, WebhookMode},
        link::Link,
        process::ProcessName,
    },
};

/// Fields of faults that may be left out.
pub(super) const OPTIONAL: [&str; 8] = ["jitter", "direction", "duty", "mode", "seed", "at", "down_for", "how"];
/// How long the control plane stays away unless the scenario says.
const DOWN_FOR: Duration = Duration::from_secs(1);
/// Share of a period in which a flapping link carries unless the scenario says, percent.
const DUTY_PERCENT: u8 = 50;
/// Shortest time that a flapping link is in either state: shorter ones could not be told from slowness.
const FLAP_MIN: Duration = Duration::from_millis(100);

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
        "region.isolate" => {
            let region = fields.require("region", sink).and_then(|node| region(node, context, sink))?;
            Some(Fault::RegionIsolate { region })
        }
        "zone.outage" => {
            let (region, zone) = zone(&fields, context, sink)?;
            let ways = OutageHow::ALL.map(OutageHow::as_str);
            let how = match fields.get("how", sink) {
                Some(node) => scalars::word(node, "way to lose a zone", &ways, sink)
                    .and_then(|word| OutageHow::ALL.into_iter().find(|how| how.as_str() == word)),
                None => Some(OutageHow::default()),
            };
            Some(Fault::ZoneOutage { region, zone, how: how? })
        }
        "zone.isolate" => {
            let (region, zone) = zone(&fields, context, sink)?;
            Some(Fault::ZoneIsolate { region, zone })
        }
        "link.flap" => flap(&fields, context, sink),
        "postgres.replay_pause" => {
            let (region, environment) = cluster(&fields, context, sink)?;
            Some(Fault::PostgresReplayPause { region, environment })
        }
        "postgres.primary_revive" => {
            let (region, environment) = cluster(&fields, context, sink)?;
            Some(Fault::PostgresPrimaryRevive { region, environment })
        }
        "files.replication_pause" => {
            let from = fields.require("from", sink).and_then(|node| region(node, context, sink))?;
            Some(Fault::FilesReplicationPause { from })
        }
        "control.crash" => {
            let at = match fields.get("at", sink) {
                Some(node) => scalars::word(node, "step", &context.catalogue.journal_steps, sink)
                    .map(|step| Some(step.to_owned())),
                None => Some(None),
            };
            let down_for = match fields.get("down_for", sink) {
                Some(node) => scalars::some_duration(node, sink),
                None => Some(DOWN_FOR),
            };
            Some(Fault::ControlCrash { at: at?, down_for: down_for? })
        }
        "webhook.fail" => {
            let modes = WebhookMode::ALL.map(WebhookMode::as_str);
            let word = fields.require("mode", sink).and_then(|node| scalars::word(node, "mode", &modes, sink))?;
            WebhookMode::ALL.into_iter().find(|mode| mode.as_str() == word).map(|mode| Fault::WebhookFail { mode })
        }
        "link.partition" => partition(&fields, context, sink),
        "link.latency" => {
            let link = link(&fields, context, sink);
            let latency = fields.require("latency", sink).and_then(|node| scalars::some_duration(node, sink));
            let jitter = jitter(&fields, "latency", latency, sink);
            Some(Fault::LinkLatency { link: link?, latency: latency?, jitter: jitter? })
        }
        "link.bandwidth" => {
            let link = link(&fields, context, sink);
            let rate = fields.require("rate", sink).and_then(|node| scalars::bandwidth(node, sink));
            Some(Fault::LinkBandwidth { link: link?, rate_kib: rate? })
        }
        "packet.loss" | "packet.delay" | "packet.reorder" | "packet.corrupt" => packets(name, &fields, context, sink),
        "network.disconnect" => process(&fields, context, sink).map(|process| Fault::NetworkDisconnect { process }),
        "disk.full" => process(&fields, context, sink).map(|process| Fault::DiskFull { process }),
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
    let regions = [&regions.primary, &regions.secondary];
    let found = regions.into_iter().find(|region| region.as_str() == name);
    if found.is_none() {
        sink.unknown(&node.span, "region", name, regions.into_iter().map(Region::as_str));
    }
    found.cloned()
}

/// One zone of a region that has others.
fn zone(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<(Region, Zone)> {
    let region = fields.require("region", sink).and_then(|node| region(node, context, sink));
    let node = fields.require("zone", sink)?;
    let zones = context.regions.as_ref()?.zones;
    if zones == 1 {
        let help = "set `zones: 3` in `regions`, or take the fault of the region that is of this kind";
        sink.error_with(&node.span, "each region has one zone alone, and no other to go on", Some(help.to_owned()));
        return None;
    }
    let number = scalars::count(node, 1..=u64::from(zones), sink)?;
    Some((region?, Zone(u8::try_from(number).ok()?)))
}

/// An environment's cluster in a region.
fn cluster(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<(Region, EnvironmentId)> {
    let region = fields.require("region", sink).and_then(|node| region(node, context, sink));
    let environment = fields.require("environment", sink);
    let environment = environment.and_then(|node| timeline::environment(node, context, sink));
    Some((region?, environment?))
}

fn partition(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Fault> {
    let link = link(fields, context, sink);
    let mode = fields.require("mode", sink).and_then(|node| mode(node, sink));
    let directions = Direction::ALL.map(Direction::as_str);
    let direction = match fields.get("direction", sink) {
        Some(node) => scalars::word(node, "direction", &directions, sink)
            .and_then(|word| Direction::ALL.into_iter().find(|direction| direction.as_str() == word)),
        None => Some(Direction::Both),
    };
    let (mode, direction) = (mode?, direction?);
    if let Some(span) =
        fields.key("direction").filter(|_| mode == PartitionMode::Refuse && direction != Direction::Both)
    {
        sink.error(span, "a link that refuses connections carries nothing either way: it has no `direction`");
        return None;
    }
    Some(Fault::LinkPartition { link: link?, mode, direction })
}

/// What goes either way of a delay, and so cannot be larger than it.
fn jitter(fields: &Fields<'_>, of: &str, delay: Option<Duration>, sink: &mut Sink<'_>) -> Option<Duration> {
    let Some(node) = fields.get("jitter", sink) else { return Some(Duration::ZERO) };
    let jitter = scalars::any_duration(node, sink)?;
    if delay.is_some_and(|delay| jitter > delay) {
        sink.error(&node.span, format!("`jitter` goes either way and cannot be larger than `{of}`"));
        return None;
    }
    Some(jitter)
}

fn packets(name: &str, fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Fault> {
    let link = link(fields, context, sink);
    let seed = seed(fields, sink);
    let share = match name {
        "packet.delay" => None,
        _ => fields.require("share", sink).and_then(|node| share(node, sink)),
    };
    let mishap = match name {
        "packet.delay" => {
            let delay = fields.require("delay", sink).and_then(|node| scalars::some_duration(node, sink));
            let jitter = jitter(fields, "delay", delay, sink);
            delay.zip(jitter).map(|(delay, jitter)| Mishap::Delay { delay, jitter })
        }
        "packet.reorder" => {
            let by = fields.require("by", sink).and_then(|node| scalars::some_duration(node, sink));
            share.zip(by).map(|(share, by)| Mishap::Reorder { share, by })
        }
        "packet.loss" => share.map(|share| Mishap::Loss { share }),
        _ => share.map(|share| Mishap::Corrupt { share }),
    };
    Some(Fault::Packets { link: link?, mishap: mishap?, seed: seed? })
}

/// A share of packets, of which there must be some.
fn share(node: &Node, sink: &mut Sink<'_>) -> Option<u8> {
    let percent = (scalars::percent(node, sink)? * 100.0).round() as u8;
    if percent == 0 {
        sink.error(&node.span, "0% of the packets is no fault: 1% to 100%");
        return None;
    }
    Some(percent)
}

/// What decides by chance; 0 unless the scenario says.
fn seed(fields: &Fields<'_>, sink: &mut Sink<'_>) -> Option<u64> {
    match fields.get("seed", sink) {
        Some(node) => scalars::count(node, 0..=u64::MAX, sink),
        None => Some(0),
    }
}

fn mode(node: &Node, sink: &mut Sink<'_>) -> Option<PartitionMode> {
    let modes = PartitionMode::ALL.map(PartitionMode::as_str);
    let word = scalars::word(node, "mode", &modes, sink)?;
    PartitionMode::ALL.into_iter().find(|mode| mode.as_str() == word)
}

fn flap(fields: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<Fault> {
    let link = link(fields, context, sink);
    let mode = match fields.get("mode", sink) {
        Some(node) => mode(node, sink),
        None => Some(PartitionMode::Blackhole),
    };
    let duty_percent = match fields.get("duty", sink) {
        Some(node) => scalars::percent(node, sink).map(|share| (share * 100.0).round() as u8),
        None => Some(DUTY_PERCENT),
    };
    let seed = seed(fields, sink);
    let period = fields.require("period", sink).and_then(|node| scalars::some_duration(node, sink))?;
    let duty_percent = duty_percent?;
    let up = period * u32::from(duty_percent) / 100;
    if up < FLAP_MIN || period.saturating_sub(up) < FLAP_MIN {
        let span = fields.key("period").unwrap_or(fields.span());
        let message =
            format!("up for {duty_percent} % of {period:?} leaves less than {FLAP_MIN:?} in one of the states");
        sink.error_with(span, message, Some("make `period` longer, or `duty` nearer to 50%".to_owned()));
        return None;
    }
    Some(Fault::LinkFlap { link: link?, mode: mode?, period, duty_percent, seed: seed? })
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
