//! What every fault does.

use futures_util::future::BoxFuture;

use std::sync::Arc;

use super::{
    control_crash::ControlCrash,
    disk_full::DiskFull,
    files_replication_pause::FilesReplicationPause,
    link_bandwidth::LinkBandwidth,
    link_flap::{LinkFlap, Rhythm},
    link_latency::LinkLatency,
    link_partition::LinkPartition,
    network_disconnect::NetworkDisconnect,
    packets::Packets,
    postgres_primary_revive::PostgresPrimaryRevive,
    postgres_replay_pause::PostgresReplayPause,
    process_kill::ProcessKill,
    process_pause::ProcessPause,
    region_isolate::RegionIsolate,
    region_outage::RegionOutage,
    webhook_fail::{Receiver, WebhookFail},
};
use crate::{
    model::fault::Fault,
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
        Fault::RegionOutage { region } => Box::new(RegionOutage::new(region)),
        Fault::RegionIsolate { region } => Box::new(RegionIsolate::new(region)),
        Fault::ZoneOutage { .. } | Fault::ZoneIsolate { .. } => Box::new(NotHere),
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

/// A fault that nothing here can break yet.
struct NotHere;

impl NotHere {
    fn said<T>() -> Result<T, TestbedError> {
        Err(TestbedError::Unusable("this build cannot take a zone".to_owned()))
    }
}

impl Breakage for NotHere {
    fn before<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn act<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async { Self::said() })
    }

    fn prove<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async { Err("nothing was broken".to_owned()) })
    }

    fn undo<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async { Self::said() })
    }

    fn prove_healed<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async { Err("nothing was broken".to_owned()) })
    }
}
