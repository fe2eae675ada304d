//! What every fault does.

use futures_util::future::BoxFuture;

use std::sync::Arc;

use super::{
    control_crash::ControlCrash,
    disk_full::DiskFull,
    files_replication_pause::FilesReplicationPause,
    isolate::Isolate,
    link_bandwidth::LinkBandwidth,
    link_flap::{LinkFlap, Rhythm},
    link_latency::LinkLatency,
    link_partition::LinkPartition,
    network_disconnect::NetworkDisconnect,
    outage::Outage,
    packets::Packets,
    part::Part,
    postgres_primary_revive::PostgresPrimaryRevive,
    postgres_replay_pause::PostgresReplayPause,
    process_kill::ProcessKill,
    process_pause::ProcessPause,
    webhook_fail::{Receiver, WebhookFail},
    zone_freeze::ZoneFreeze,
};
use crate::{
    model::fault::{Fault, OutageHow},
    testbed::{Testbed, TestbedError},
};

/// What was observed, or why it proves nothing.
pub(super) type Proof = Result<String, String>;

/// One fault, from the look before it to the look after it.
pub(super) trait Breakage: Send + Sync {
    /// Looks at what is to be broken. `Err`: its breaking could not be seen, and why.
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>>;

    /// Breaks it.
    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Observes that it is broken.
    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof>;

    /// Mends it.
    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Observes that it is mended.
    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof>;
}

/// What breaks as this value says.
pub(super) fn breakage(
    fault: &Fault,
    testbed: &Arc<dyn Testbed>,
    receiver: Option<Arc<dyn Receiver>>,
) -> Box<dyn Breakage> {
    match fault.clone() {
        Fault::RegionOutage { region } => Box::new(Outage::new(Part::Region(region))),
        Fault::RegionIsolate { region } => Box::new(Isolate::new(Part::Region(region))),
        Fault::ZoneOutage { region, zone, how: OutageHow::Kill } => Box::new(Outage::new(Part::Zone(region, zone))),
        Fault::ZoneOutage { region, zone, how: OutageHow::Freeze } => Box::new(ZoneFreeze::new(region, zone)),
        Fault::ZoneIsolate { region, zone } => Box::new(Isolate::new(Part::Zone(region, zone))),
        Fault::LinkPartition { link, mode, direction } => Box::new(LinkPartition::new(link, mode, direction)),
        Fault::LinkFlap { link, mode, period, duty_percent, seed } => {
            Box::new(LinkFlap::new(link, mode, Rhythm::new(period, duty_percent, seed), Arc::clone(testbed)))
        }
        Fault::LinkLatency { link, latency, jitter } => Box::new(LinkLatency::new(link, latency, jitter)),
        Fault::LinkBandwidth { link, rate_kib } => Box::new(LinkBandwidth::new(link, rate_kib)),
        Fault::Packets { link, mishap, seed } => Box::new(Packets::new(link, mishap, seed)),
        Fault::NetworkDisconnect { process } => Box::new(NetworkDisconnect::new(process)),
        Fault::DiskFull { process } => Box::new(DiskFull::new(process)),
        Fault::ProcessKill { process } => Box::new(ProcessKill::new(process)),
        Fault::ProcessPause { process } => Box::new(ProcessPause::new(process)),
        Fault::PostgresReplayPause { region, environment } => Box::new(PostgresReplayPause::new(region, environment)),
        Fault::PostgresPrimaryRevive { region, environment } => {
            Box::new(PostgresPrimaryRevive::new(region, environment))
        }
        Fault::FilesReplicationPause { from } => Box::new(FilesReplicationPause::new(from)),
        Fault::ControlCrash { .. } => Box::new(ControlCrash::new()),
        Fault::WebhookFail { mode } => Box::new(WebhookFail::new(mode, receiver)),
    }
}
