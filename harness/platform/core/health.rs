//! Who is silent, and since when: three vantage points on each region.
//!
//! 1. Control itself: neither a node nor a compute of the region's has asked for permits.
//! 2. The other region's nodes, by what their own last messages said.
//! 3. The edge, by its last report.
//!
//! A statement counts while it is fresh; two of three make a suspicion, so one broken link never does.

use std::collections::BTreeMap;

use super::{
    machine::{Core, Turn},
    record::{Record, RegionStatus},
    settings::Settings,
};
use crate::api::{
    Region, Zone,
    permit::{Holder, PermitRequest, Processors},
    route::EdgeReport,
    sabotage::Sabotage,
};

/// Since when the edge has not heard each zone's compute, in milliseconds; `None`: never.
type Silences = BTreeMap<(Region, Zone), Option<u64>>;

/// What was heard and when. Volatile: after a restart everybody is silent since the start.
#[derive(Default)]
pub(super) struct Ears {
    heard: BTreeMap<(Region, Zone, Holder), u64>,
    /// What the nodes of a region's peer said of it, and when, by their zones.
    peers: BTreeMap<(Region, Zone), (u64, Option<u64>)>,
    edge: Option<(u64, Silences)>,
    suspected_since: BTreeMap<Region, u64>,
    /// What each node said last of its file store.
    files_ok: BTreeMap<(Region, Zone), bool>,
    /// What each node said last of its processors.
    processors: BTreeMap<(Region, Zone), Processors>,
}

impl Ears {
    /// Takes a sign of life.
    pub(super) fn hear(&mut self, now_ms: u64, request: &PermitRequest, settings: &Settings) {
        let zone = (request.region.clone(), request.zone);
        self.heard.insert((request.region.clone(), request.zone, request.holder), now_ms);
        if let (Holder::Node, Some(files_ok)) = (request.holder, request.files_ok) {
            self.files_ok.insert(zone, files_ok);
        }
        if let (Holder::Node, Some(processors)) = (request.holder, request.processors) {
            self.processors.insert((request.region.clone(), request.zone), processors);
        }
        if let (Holder::Node, Some(peer)) = (request.holder, settings.peer(&request.region)) {
            self.peers.insert((peer.clone(), request.zone), (now_ms, request.peer_silent_ms));
        }
    }

    /// Takes the edge's.
    pub(super) fn hear_edge(&mut self, now_ms: u64, report: &EdgeReport) {
        let silent = report.silent_ms.iter().cloned().map(|(region, zone, ms)| ((region, zone), ms)).collect();
        self.edge = Some((now_ms, silent));
    }

    /// Whether a zone's holder has been heard within the suspicion time.
    pub(super) fn hears(&self, now_ms: u64, (region, zone): (&Region, Zone), holder: Holder, suspect_ms: u64) -> bool {
        self.silence(now_ms, (region, zone), holder).is_some_and(|silence| silence <= suspect_ms)
    }

    /// Whether a zone's node has said last that its file store answers.
    pub(super) fn files_ok(&self, region: &Region, zone: Zone) -> bool {
        self.files_ok.get(&(region.clone(), zone)).copied().unwrap_or(false)
    }

    /// What a zone's node has said last of its processors.
    pub(super) fn processors(&self, region: &Region, zone: Zone) -> Option<Processors> {
        self.processors.get(&(region.clone(), zone)).copied()
    }

    /// Whether a zone's node and compute have both been heard within the suspicion time.
    pub(super) fn is_ready(&self, now_ms: u64, zone: (&Region, Zone), suspect_ms: u64) -> bool {
        [Holder::Node, Holder::Compute].into_iter().all(|holder| self.hears(now_ms, zone, holder, suspect_ms))
    }

    /// Whether the edge has been heard within the suspicion time.
    pub(super) fn hears_edge(&self, now_ms: u64, suspect_ms: u64) -> bool {
        self.edge.as_ref().is_some_and(|(at, _)| now_ms.saturating_sub(*at) <= suspect_ms)
    }

    /// Milliseconds since a holder was heard; `None` if never.
    pub(super) fn silence(&self, now_ms: u64, (region, zone): (&Region, Zone), holder: Holder) -> Option<u64> {
        self.heard.get(&(region.clone(), zone, holder)).map(|at| now_ms.saturating_sub(*at))
    }

    /// How many of the three vantage points miss a region: all of its zones.
    pub(super) fn votes(&self, now_ms: u64, region: &Region, settings: &Settings) -> u8 {
        let suspect_ms = settings.timers.suspect_ms;
        let fresh = |at: u64| now_ms.saturating_sub(at) <= suspect_ms;
        let by_control = Zone::all(settings.zones).all(|zone| self.is_unheard(now_ms, (region, zone), suspect_ms));
        let mut told = (self.peers.iter())
            .filter(|((missed, _), (at, ms))| missed == region && fresh(*at) && ms.is_some())
            .map(|(_, (_, ms))| ms.is_some_and(|ms| ms > suspect_ms))
            .peekable();
        let by_peer = told.peek().is_some() && told.all(|missed| missed);
        let by_edge = Zone::all(settings.zones).all(|zone| self.edge_misses(now_ms, (region, zone), suspect_ms));
        u8::from(by_control) + u8::from(by_peer) + u8::from(by_edge)
    }

    /// Whether a zone is missed: by control and by the edge, since the other region may be gone too.
    pub(super) fn misses(&self, now_ms: u64, zone: (&Region, Zone), suspect_ms: u64) -> bool {
        self.is_unheard(now_ms, zone, suspect_ms) && self.edge_misses(now_ms, zone, suspect_ms)
    }

    fn is_unheard(&self, now_ms: u64, zone: (&Region, Zone), suspect_ms: u64) -> bool {
        let silence = |holder| self.silence(now_ms, zone, holder).unwrap_or(now_ms);
        [Holder::Node, Holder::Compute].into_iter().all(|holder| silence(holder) > suspect_ms)
    }

    fn edge_misses(&self, now_ms: u64, (region, zone): (&Region, Zone), suspect_ms: u64) -> bool {
        let Some((at, silent)) = &self.edge else { return false };
        let silent = silent.get(&(region.clone(), zone));
        now_ms.saturating_sub(*at) <= suspect_ms && matches!(silent, Some(Some(ms)) if *ms > suspect_ms)
    }
}

impl Core {
    /// Whether a region could carry environments in each of its zones, as far as control hears.
    pub(super) fn is_ready(&self, now_ms: u64, region: &Region) -> bool {
        Zone::all(self.settings.zones).all(|zone| self.is_zone_ready(now_ms, region, zone))
    }

    /// Whether a zone could carry environments, as far as control hears.
    pub(super) fn is_zone_ready(&self, now_ms: u64, region: &Region, zone: Zone) -> bool {
        self.ears.is_ready(now_ms, (region, zone), self.settings.timers.suspect_ms)
    }

    /// Follows both regions: suspected, cleared, declared, returned.
    pub(super) fn watch_regions(&mut self, turn: &mut Turn) {
        for region in self.settings.regions.clone() {
            let missed = self.ears.votes(turn.now_ms, &region, &self.settings) >= 2;
            match (self.state.region(&region), missed) {
                (RegionStatus::Clear, true) => {
                    self.ears.suspected_since.insert(region.clone(), turn.now_ms);
                    self.judge(turn, &region, RegionStatus::Suspected, "region.suspected", "two of three miss it");
                }
                (RegionStatus::Suspected, false) => {
                    self.judge(turn, &region, RegionStatus::Clear, "region.cleared", "heard again within the grace");
                }
                (RegionStatus::Declared, false) => {
                    self.forget_attempts(&region);
                    self.judge(turn, &region, RegionStatus::Clear, "region.returned", "heard again");
                }
                (RegionStatus::Suspected, true) => {
                    // After a restart the suspicion counts from the first look: who was silent before, is not known.
                    let since = *self.ears.suspected_since.entry(region.clone()).or_insert(turn.now_ms);
                    let grace_ms = match self.settings.sabotage {
                        Some(Sabotage::IgnoreGrace) => 0,
                        Some(Sabotage::NeverDeclare) => u64::MAX,
                        _ => self.settings.timers.outage_grace_ms,
                    };
                    if turn.now_ms.saturating_sub(since) >= grace_ms {
                        let detail = "missed for the whole grace";
                        self.judge(turn, &region, RegionStatus::Declared, "region.declared", detail);
                        self.warn_unprotected(turn, &region);
                    }
                }
                (RegionStatus::Clear, false) | (RegionStatus::Declared, true) => {}
            }
        }
    }

    fn judge(&mut self, turn: &mut Turn, region: &Region, status: RegionStatus, name: &str, detail: &str) {
        self.record(turn, Record::Region { region: region.clone(), status });
        self.say_region(turn, name, region, detail);
    }
}
