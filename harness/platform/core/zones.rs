//! Zones of the active region: a standby in each that is not the seat, whom the primary waits for, and the failover to that
//! zone when the seat's is lost.
//!
//! *Published* is the one zone without whose standby nothing has been acknowledged since. It is published after the primary has
//! said that it waits for it, and taken back before the primary is told otherwise; so whatever was acknowledged is in the zone
//! that is published, and no other may take over. A zone is lost when neither control nor the edge has heard of it for the
//! suspicion time and a grace; the fence is the same as between regions. Customers are told nothing: their endpoint stays, and
//! so does their region.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    machine::{Core, Turn},
    parts::Part,
    progress::PAUSE_MS_MAX,
    record::{OperationKind, Outcome, Record, RegionStatus, Step},
    state::{Environment, Task},
};
use crate::api::{
    EnvironmentId, Epoch, Region, Zone,
    environment::EnvironmentPhase,
    permit::{Holder, NodeState, PermitRequest, SqlRole},
    sabotage::Sabotage,
};

/// How long a zone stays missed, past the suspicion time, before what it serves is moved: a role that is started anew is back
/// sooner.
const GRACE_MS: u64 = 500;
/// How long the standby that is waited for may be missed before another is waited for.
const UNFOLLOWED_MS: u64 = 500;

/// How often a store is tried while one of its zones is missed.
const ANSWERS_PERIOD_MS: u64 = 3_000;

/// What is known of the zones. Volatile.
#[derive(Default)]
pub(super) struct Zones {
    /// Since when a zone has been missed.
    missed: BTreeMap<(Region, Zone), u64>,
    /// What the node of a zone that is not the seat said last of an environment, and when.
    claims: BTreeMap<(EnvironmentId, Region, Zone), (u64, NodeState)>,
    /// Whom a primary has said that it waits for.
    told: BTreeMap<EnvironmentId, (Epoch, Option<Zone>)>,
    /// Since when the standby that is waited for has not followed.
    unfollowed: BTreeMap<EnvironmentId, u64>,
    /// Where no object lacks a part, as far as is known: no zone has been missed since its store said so.
    whole: BTreeSet<(EnvironmentId, Region)>,
    /// When a failover that was undone may be tried again.
    next: BTreeMap<EnvironmentId, u64>,
}

impl Zones {
    /// Takes what a node says of an environment that has its seat elsewhere in the region.
    pub(super) fn take(&mut self, now_ms: u64, request: &PermitRequest, claim: &NodeState) {
        let key = (claim.environment.clone(), request.region.clone(), request.zone);
        self.claims.insert(key, (now_ms, claim.clone()));
    }

    /// Nothing is known of the environment any more.
    pub(super) fn forget(&mut self, id: &EnvironmentId) {
        self.claims.retain(|(of, _, _), _| of != id);
        self.told.remove(id);
        self.unfollowed.remove(id);
        self.next.remove(id);
        self.whole.retain(|(of, _)| of != id);
    }

    /// An attempt was undone.
    pub(super) fn pause(&mut self, id: &EnvironmentId, until_ms: u64) {
        self.next.insert(id.clone(), until_ms);
    }
}

impl Core {
    /// Follows the zones of both regions, and does what is due for the environments in them.
    pub(super) fn watch_zones(&mut self, turn: &mut Turn) {
        if self.settings.zones == 1 {
            return;
        }
        self.watch_missed(turn);
        let ids: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.given.kind.has_replica())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            self.follow_published(turn, id);
        }
        self.cover_zones(turn, &ids);
        for id in &ids {
            self.keep_standbys(turn, id);
            self.keep_synchronous(turn, id);
            self.keep_whole(turn, id);
            self.keep_answering(turn, id);
        }
    }

    fn watch_missed(&mut self, turn: &mut Turn) {
        let suspect_ms = self.settings.timers.suspect_ms;
        for region in self.settings.regions.clone() {
            for zone in Zone::all(self.settings.zones) {
                let missed = self.ears.misses(turn.now_ms, (&region, zone), suspect_ms);
                let key = (region.clone(), zone);
                match (missed, self.zones.missed.contains_key(&key)) {
                    (true, false) => {
                        self.zones.missed.insert(key, turn.now_ms);
                        self.zones.whole.retain(|(_, whole)| *whole != region);
                        self.say_region(turn, "zone.suspected", &region, &format!("zone {zone} is missed"));
                    }
                    (false, true) => {
                        self.zones.missed.remove(&key);
                        // What it took with it may have kept a replica from coming back.
                        self.returns.clear();
                        self.say_region(turn, "zone.cleared", &region, &format!("zone {zone} is heard again"));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether a zone's standby follows the seat, as its node says.
    fn stands(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment, zone: Zone) -> bool {
        let suspect_ms = self.settings.timers.suspect_ms;
        let claim = self.zones.claims.get(&(id.clone(), environment.active.clone(), zone));
        claim.is_some_and(|(at, claim)| {
            now_ms.saturating_sub(*at) <= suspect_ms
                && claim.epoch == environment.epoch
                && claim.sql == SqlRole::Standby
                && claim.streaming
        })
    }

    /// What the primary waits for in vain may take over no more: another will be waited for.
    fn follow_published(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(zone) = environment.synchronous else { return };
        if !environment.is_settled() || self.stands(turn.now_ms, id, environment, zone) {
            self.zones.unfollowed.remove(id);
            return;
        }
        let since = *self.zones.unfollowed.entry(id.clone()).or_insert(turn.now_ms);
        let seat = (&environment.active, environment.seat(&environment.active));
        let heard = self.ears.silence(turn.now_ms, seat, Holder::Node).map(|silence| turn.now_ms - silence);
        // Of a seat that has died nobody follows anything: that it lives shows by what it says afterwards.
        if heard.is_none_or(|heard| heard < since + UNFOLLOWED_MS) {
            return;
        }
        self.zones.unfollowed.remove(id);
        self.record(turn, Record::Synchronous { environment: id.clone(), zone: None });
        self.say(
            turn,
            "zone.unprotected",
            id,
            format!("the standby of zone {zone} does not follow: it may not take over"),
        );
    }

    /// Moves what a lost zone serves to the zone that has everything.
    fn cover_zones(&mut self, turn: &mut Turn, ids: &[EnvironmentId]) {
        let due: Vec<EnvironmentId> = (ids.iter())
            .filter(|id| {
                let Some(environment) = self.state.environments.get(*id) else { return false };
                let (active, seat) = (&environment.active, environment.seat(&environment.active));
                let since = self.zones.missed.get(&(active.clone(), seat));
                let is_lost = since.is_some_and(|since| turn.now_ms.saturating_sub(*since) >= GRACE_MS);
                is_lost
                    && self.state.region(active) != RegionStatus::Declared
                    && environment.task.is_none()
                    && matches!(environment.phase, EnvironmentPhase::Protected | EnvironmentPhase::Unprotected)
                    && self.zones.next.get(*id).is_none_or(|next| *next <= turn.now_ms)
                    && self.successor(environment).is_some_and(|zone| self.is_zone_ready(turn.now_ms, active, zone))
            })
            .cloned()
            .collect();
        if !due.is_empty() {
            self.begin_failover(turn, OperationKind::ZoneFailover, &due, "its zone is lost");
        }
    }

    /// The zone that takes over if the seat's is lost.
    pub(super) fn successor(&self, environment: &Environment) -> Option<Zone> {
        let published = environment.synchronous?;
        let seat = environment.seat(&environment.active);
        match self.settings.sabotage {
            Some(Sabotage::LessAdvanced) => {
                Zone::all(self.settings.zones).find(|zone| *zone != seat && *zone != published)
            }
            _ => Some(published),
        }
    }

    /// Compare-and-swap of the register within the region: from here only forward.
    pub(super) fn switch_zone(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let Some(zone) = self.successor(environment) else {
            return self.give_up(turn, id, "no zone has everything that was acknowledged");
        };
        let (from, to, active) = (environment.epoch, environment.epoch.next(), environment.active.clone());
        self.lay_aside_claims(id);
        self.forget_word(id);
        self.record(
            turn,
            Record::Switched { environment: id.clone(), from, to, active, clean: true, zone: Some(zone) },
        );
        self.say(turn, "zone.switched", id, format!("epoch register switched to zone {zone}: from here only forward"));
        self.enter(turn, id, task.operation, Step::Promoting);
    }

    /// Ends a zone's failover.
    pub(super) fn complete_zone(&mut self, turn: &mut Turn, id: &EnvironmentId, task: &Task) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let (active, seat) = (environment.active.clone(), environment.seat(&environment.active));
        self.promotions.remove(id);
        self.say(turn, "zone.routed", id, format!("zone {seat} of {active} serves"));
        self.finish(turn, id, task.operation, Outcome::Completed, None);
        self.say(turn, "zone.completed", id, "nothing is lost; unprotected until the other region follows again");
        self.suspend_guard(turn, id);
    }

    /// Has a standby made wherever there is none.
    fn keep_standbys(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id).filter(|environment| may_be_kept(environment)) else {
            return;
        };
        let (active, seat) = (&environment.active, environment.seat(&environment.active));
        let suspect_ms = self.settings.timers.suspect_ms;
        let hears = |zone| self.ears.hears(turn.now_ms, (active, zone), Holder::Node, suspect_ms);
        let due: Vec<Part> = Zone::all(self.settings.zones)
            .filter(|zone| *zone != seat && hears(*zone) && hears(seat))
            .filter(|zone| !self.stands(turn.now_ms, id, environment, *zone))
            .map(Part::ZoneStandby)
            .collect();
        self.ask_again(turn, id, due, PAUSE_MS_MAX);
    }

    /// Asks for those parts that are not being asked for and were not just now.
    fn ask_again(&mut self, turn: &mut Turn, id: &EnvironmentId, parts: Vec<Part>, pause_ms: u64) {
        for part in parts {
            let next_ms = self.repairs.get(&(id.clone(), part)).copied().unwrap_or(0);
            if !self.is_asking(id, part) && next_ms <= turn.now_ms {
                self.repairs.insert((id.clone(), part), turn.now_ms + pause_ms);
                self.ask(turn, id, part, 0);
            }
        }
    }

    /// Has the primary wait for a standby that follows; for none if none does.
    fn keep_synchronous(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id).filter(|environment| may_be_kept(environment)) else {
            return;
        };
        let (active, seat) = (&environment.active, environment.seat(&environment.active));
        let follows = |zone: &Zone| *zone != seat && self.stands(turn.now_ms, id, environment, *zone);
        let wanted = environment.synchronous.or_else(|| Zone::all(self.settings.zones).find(follows));
        let told = self.zones.told.get(id).filter(|(epoch, _)| *epoch == environment.epoch).map(|(_, zone)| *zone);
        let is_asking = self.calls.values().any(|(of, part)| of == id && matches!(part, Part::Synchronize(_)));
        let part = Part::Synchronize(wanted);
        let suspect_ms = self.settings.timers.suspect_ms;
        if told == Some(wanted)
            || is_asking
            || !self.ears.hears(turn.now_ms, (active, seat), Holder::Node, suspect_ms)
            || self.repairs.get(&(id.clone(), part)).copied().unwrap_or(0) > turn.now_ms
        {
            return;
        }
        self.repairs.insert((id.clone(), part), turn.now_ms + PAUSE_MS_MAX);
        self.renumber(turn, id);
        self.ask(turn, id, part, 0);
    }

    /// Takes that a primary waits for a zone's standby, and that this has all that was written before.
    pub(super) fn end_synchronize(&mut self, turn: &mut Turn, id: &EnvironmentId, zone: Option<Zone>, is_ok: bool) {
        let Some(environment) = self.state.environments.get(id).filter(|_| is_ok) else { return };
        self.zones.told.insert(id.clone(), (environment.epoch, zone));
        if zone.is_none() || environment.synchronous == zone {
            return;
        }
        self.record(turn, Record::Synchronous { environment: id.clone(), zone });
        let zone = zone.unwrap_or_default();
        self.say(turn, "zone.synchronous", id, format!("nothing is acknowledged that zone {zone} does not have"));
    }

    /// Has what the node of a lost zone missed made up for once it is back, in both regions: until then the loss of another zone would
    /// take more parts of an object than it can do without.
    fn keep_whole(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id).filter(|environment| may_be_kept(environment)) else {
            return;
        };
        let suspect_ms = self.settings.timers.suspect_ms;
        let due: Vec<Part> = (self.settings.regions.iter())
            .filter(|region| !self.zones.whole.contains(&(id.clone(), (*region).clone())))
            .filter(|region| {
                let hears = |zone| self.ears.hears(turn.now_ms, (*region, zone), Holder::Node, suspect_ms);
                Zone::all(self.settings.zones).all(hears)
            })
            .map(|region| Part::CompleteFiles { there: *region != environment.active })
            .collect();
        self.ask_again(turn, id, due, PAUSE_MS_MAX);
    }

    /// Sees to it, while a zone is missed, that the store of its region does without that zone's node: every node that is heard is
    /// told, all at once, and again for as long as the zone is missed, since it may hang only later.
    fn keep_answering(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id).filter(|environment| !environment.is_retired) else {
            return;
        };
        let suspect_ms = self.settings.timers.suspect_ms;
        let mut due = Vec::new();
        for region in &self.settings.regions {
            let is_missed = |zone| {
                let since = self.zones.missed.get(&(region.clone(), zone));
                since.is_some_and(|since| turn.now_ms.saturating_sub(*since) >= GRACE_MS)
            };
            let hears = |zone| self.ears.hears(turn.now_ms, (region, zone), Holder::Node, suspect_ms);
            if !Zone::all(self.settings.zones).any(is_missed) {
                continue;
            }
            let there = *region != environment.active;
            due.extend(
                Zone::all(self.settings.zones).filter(|zone| hears(*zone)).map(|zone| Part::RenewFiles { there, zone }),
            );
        }
        self.ask_again(turn, id, due, ANSWERS_PERIOD_MS);
    }

    /// Takes that every object in a region has all its parts.
    pub(super) fn end_complete(&mut self, turn: &mut Turn, id: &EnvironmentId, there: bool, is_ok: bool) {
        let Some(environment) = self.state.environments.get(id).filter(|_| is_ok) else { return };
        let region = if there { self.settings.peer(&environment.active) } else { Some(&environment.active) };
        let Some(region) = region.cloned() else { return };
        if Zone::all(self.settings.zones).any(|zone| self.zones.missed.contains_key(&(region.clone(), zone))) {
            return;
        }
        self.zones.whole.insert((id.clone(), region.clone()));
        self.say(turn, "zone.whole", id, format!("in {region} no object lacks a part: another zone may be lost"));
    }

    /// Whether the seat is one that the loss of its zone cannot take down, where zones are more than one.
    pub(super) fn is_zone_protected(&self, environment: &Environment) -> bool {
        self.settings.zones == 1 || environment.synchronous.is_some()
    }
}

/// Whether standbys of the zones may be made, and waited for: nothing is about to change which side is served.
fn may_be_kept(environment: &Environment) -> bool {
    let deploys = |task: &Task| task.kind == OperationKind::Deploy && task.step == Step::Opening;
    environment.is_settled() || environment.running().is_some_and(deploys)
}
