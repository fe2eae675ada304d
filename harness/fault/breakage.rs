//! What every fault does.

use futures_util::future::BoxFuture;

use super::{
    link_bandwidth::LinkBandwidth, link_latency::LinkLatency, link_partition::LinkPartition, process_kill::ProcessKill,
    process_pause::ProcessPause, region_outage::RegionOutage,
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
pub(super) fn breakage(fault: &Fault) -> Box<dyn Breakage> {
    match fault.clone() {
        Fault::RegionOutage { region } => Box::new(RegionOutage::new(region)),
        Fault::LinkPartition { link, mode } => Box::new(LinkPartition::new(link, mode)),
        Fault::LinkLatency { link, latency, jitter } => Box::new(LinkLatency::new(link, latency, jitter)),
        Fault::LinkBandwidth { link, rate_kib } => Box::new(LinkBandwidth::new(link, rate_kib)),
        Fault::ProcessKill { process } => Box::new(ProcessKill::new(process)),
        Fault::ProcessPause { process } => Box::new(ProcessPause::new(process)),
    }
}
