//! What a region must be to take over, to be failed back to, or to have replicas again.

use super::{
    machine::Core,
    record::RegionStatus,
    state::{Environment, Task},
};
use crate::api::{
    Region, Zone,
    permit::{Holder, NodeState},
};

/// Log that a standby may be behind for a failback to be accepted; the preflight is stricter.
const BEHIND_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

impl Core {
    /// Why a region is not fit, all of its zones; `None` if it is.
    pub(super) fn unfit(&self, now_ms: u64, region: &Region) -> Option<String> {
        self.unfit_in(now_ms, region, Zone::all(self.settings.zones))
    }

    /// Why one of the regions is not fit for an environment as it stands: the zones in which it is; `None` if both are.
    pub(super) fn unfit_for(&self, now_ms: u64, environment: &Environment) -> Option<String> {
        let mut regions = self.settings.regions.iter();
        regions.find_map(|region| self.unfit_in(now_ms, region, [environment.seat(region)].into_iter()))
    }

    fn unfit_in(&self, now_ms: u64, region: &Region, zones: impl Iterator<Item = Zone>) -> Option<String> {
        let suspect_ms = self.settings.timers.suspect_ms;
        let mut reasons = Vec::new();
        match self.state.region(region) {
            RegionStatus::Clear => {}
            RegionStatus::Suspected => reasons.push("it is suspected to be lost".to_owned()),
            RegionStatus::Declared => reasons.push("it is declared lost".to_owned()),
        }
        for zone in zones {
            let whose = if self.settings.zones == 1 { String::new() } else { format!(" of zone {zone}") };
            if !self.ears.hears(now_ms, (region, zone), Holder::Node, suspect_ms) {
                reasons.push(format!("its node{whose} is not heard"));
            } else if !self.ears.files_ok(region, zone) {
                reasons.push(format!("its file store does not answer its node{whose}"));
            }
            if !self.ears.hears(now_ms, (region, zone), Holder::Compute, suspect_ms) {
                reasons.push(format!("its compute{whose} is not heard"));
            }
        }
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }

    /// Why replication has not caught up, as far as nodes say; `None` if it has.
    pub(super) fn behind(&self, environment: &Environment) -> Option<String> {
        let peer = self.settings.peer(&environment.active)?;
        let claim = |region: &Region| {
            let claim = self.claims.get(&(environment.given.id.clone(), region.clone()));
            claim.filter(|claim| claim.epoch == environment.epoch)
        };
        let primary = claim(&environment.active)?;
        if !primary.streaming || claim(peer).is_some_and(|standby| !standby.streaming) {
            return Some(format!("the replica in {peer} does not stream"));
        }
        if behind_bytes(primary).is_some_and(|bytes| bytes > BEHIND_BYTES_MAX) {
            return Some(format!("the replica in {peer} is more than 64 MiB of log behind"));
        }
        if primary.files_oldest_ms > self.settings.timers.gate_ms {
            let (pending, seconds) = (primary.files_pending, primary.files_oldest_ms / 1_000);
            return Some(format!("{pending} files are not yet in {peer}, the oldest for {seconds} s"));
        }
        None
    }

    /// Why the other region cannot carry what an operation moves there: it may use less of the processors than the serving side
    /// has used of late. `None` if it can, and where nobody knows: without quotas, or where something stays that uses a part.
    pub(super) fn too_weak(&self, active: &Region, task: &Task) -> Option<String> {
        let peer = self.settings.peer(active)?;
        let moved = &self.state.operations.get(&task.operation)?.items;
        let mut served = self.state.environments.iter().filter(|(_, environment)| &environment.active == active);
        if !served.all(|(id, _)| moved.iter().any(|item| &item.environment == id)) {
            return None;
        }
        let item = moved.first()?;
        let environment = self.state.environments.get(&item.environment)?;
        let used = self.ears.processors(active, environment.seat(active))?.used_milli;
        let allowed = self.ears.processors(peer, environment.seat(peer))?.allowed_milli;
        let told = |milli: u32| f64::from(milli) / 1_000.0;
        (allowed < used).then(|| {
            format!(
                "{peer} cannot carry the load: it may use {:.2} processors, and {active} has used {:.2} of late",
                told(allowed),
                told(used)
            )
        })
    }
}

/// Bytes of log by which the standby of a primary is behind; `None` if not known.
pub(super) fn behind_bytes(primary: &NodeState) -> Option<u64> {
    (primary.other_lsn > 0).then(|| primary.lsn.saturating_sub(primary.other_lsn))
}
