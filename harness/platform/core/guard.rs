//! The data-loss guard: what is told, slowed and withheld as more and more would be lost, and the word that each permit
//! carries. Exposure granted by an operator, and its end.
//!
//! Where it is in force (`enforce`, a replica follows, no exposure granted) a permit for writes is given only by a grantor
//! that knows how little would be lost: control here, or the other region's node by the same rules and by what it has itself
//! received. Whoever knows nothing, as after a restart, withholds; the other's word then suffices. So no write is acknowledged
//! that would have exposed more than the bound, whoever of the two is down.

use super::{
    effect::{AskId, Effect, OrderAnswer, Refused},
    exposure::seconds,
    machine::{Core, Turn},
    parts::Part,
    record::{Exposed, Record},
    state::Environment,
};
use crate::api::{
    EnvironmentId,
    control::{Exposure, GuardState, GuardStatus, NoticeKind},
    guard::{GuardLevel, GuardMode, Limits},
    sabotage::Sabotage,
};

impl Core {
    /// When what is done.
    pub(super) fn limits(&self) -> Limits {
        let Limits { alert_ms, throttle_ms, withhold_ms } = self.settings.policy.guard.limits(&self.settings.timers);
        let factor = if self.settings.sabotage == Some(Sabotage::GuardOffByFactor) { 4 } else { 1 };
        Limits { alert_ms: alert_ms * factor, throttle_ms: throttle_ms * factor, withhold_ms: withhold_ms * factor }
    }

    /// The guard keeps loss below its bound, as far as policy and operators have it so.
    fn is_enforced(&self, environment: &Environment) -> bool {
        self.settings.policy.guard.mode == GuardMode::Enforce && environment.exposed != Exposed::Granted
    }

    /// Whether the bound is guaranteed.
    pub(super) fn is_guaranteed(&self, environment: &Environment) -> bool {
        self.is_enforced(environment) && environment.protected && environment.exposed == Exposed::No
    }

    /// What the other region's node is told of the guard with its leave to grant.
    pub(super) fn leave(&self, environment: &Environment) -> Option<Limits> {
        self.is_enforced(environment).then(|| self.limits())
    }

    /// The other region's node has confirmed that it grants, as it was told to.
    pub(super) fn peer_allowed(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let guard = self.leave(environment);
        self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: true, guard });
    }

    /// Whether writes may pass, and how long each is held back: the word of a permit.
    pub(super) fn word(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment) -> (bool, u64) {
        if !environment.protected || !self.is_enforced(environment) {
            return (true, 0);
        }
        let limits = self.limits();
        match self.exposure_ms(now_ms, id) {
            Some(ms) => {
                let is_ok = environment.level != GuardLevel::Withheld && ms < limits.withhold_ms;
                (is_ok, limits.pace_ms(ms))
            }
            None => (false, 0),
        }
    }

    /// Follows how much each environment would lose.
    pub(super) fn watch_exposure(&mut self, turn: &mut Turn) {
        let ids: Vec<EnvironmentId> = (self.state.environments.iter())
            // In a switch writes stop by themselves, and what is known of the old side ends.
            .filter(|(_, environment)| environment.protected && environment.halted_ms.is_none() && environment.granting)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.follow_level(turn, &id);
            self.end_exposure(turn, &id);
        }
    }

    fn follow_level(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let known_ms = self.exposure_ms(turn.now_ms, id);
        // What is not known has not been heard of since the start of this control plane.
        let exposure_ms = known_ms.unwrap_or(turn.now_ms);
        let is_enforced = self.is_enforced(environment);
        let highest = if is_enforced { GuardLevel::Withheld } else { GuardLevel::Alerted };
        let (old, active, operation) = (environment.level, environment.active.clone(), environment.last_operation);
        let level = self.limits().level(old, exposure_ms).min(highest);
        if level == old || (level < old && known_ms.is_none()) {
            return;
        }
        self.record(turn, Record::Guard { environment: id.clone(), level });
        let (bound, exposed) = (seconds(self.settings.policy.guard.bound_ms), seconds(exposure_ms));
        let behind = format!("up to the last {exposed} of writes would be lost with {active}, of {bound} that may be");
        let (name, what) = match level {
            GuardLevel::Clear => ("guard.released", "the other region has caught up".to_owned()),
            GuardLevel::Alerted => ("guard.alerted", behind),
            GuardLevel::Throttled => ("guard.throttled", format!("{behind}: writes are slowed")),
            GuardLevel::Withheld => ("guard.withheld", format!("{behind}: writes are withheld until it has caught up")),
        };
        self.say(turn, name, id, what.clone());
        self.notify(turn, id, operation, NoticeKind::Warning, format!("{id}: {what}"));
    }

    /// An exposure that an operator has ended is over once the other region has caught up, and its node guards again.
    fn end_exposure(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        let Some(environment) = self.state.environments.get(id) else { return };
        let is_over =
            environment.exposed == Exposed::Ending && environment.peer_granting && self.is_caught_up(turn.now_ms, id);
        if is_over {
            self.record(turn, Record::Exposed { environment: id.clone(), exposed: Exposed::No });
            self.say(turn, "guard.resumed", id, "the other region has caught up: the bound is guaranteed again");
        }
    }

    /// Takes an operator's order to expose an environment, or to end that.
    pub(super) fn order_exposure(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId, order: Exposure) {
        let result = self.check_exposure(id, order).map(|is_new| {
            if is_new {
                self.set_exposure(turn, id, order);
            }
            OrderAnswer::Exposure(order)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    /// Whether the order changes anything.
    fn check_exposure(&self, id: &EnvironmentId, order: Exposure) -> Result<bool, Refused> {
        let environment = self.known(id)?;
        if self.settings.policy.guard.mode == GuardMode::Observe {
            return Err(Refused::not_allowed("the data-loss guard only observes: it withholds nothing"));
        }
        if let Some(task) = &environment.task {
            let (operation, kind) = (task.operation, task.kind.name());
            return Err(Refused::not_now(format!("operation {operation} ({kind}) is under way for `{id}`")));
        }
        if !environment.protected {
            return Err(Refused::not_now(format!(
                "`{id}` has no replica: the data-loss guard is suspended until one streams, and withholds nothing"
            )));
        }
        Ok((environment.exposed == Exposed::Granted) != order.granted)
    }

    fn set_exposure(&mut self, turn: &mut Turn, id: &EnvironmentId, order: Exposure) {
        let exposed = if order.granted { Exposed::Granted } else { Exposed::Ending };
        self.record(turn, Record::Exposed { environment: id.clone(), exposed });
        self.tell_peer_anew(turn, id);
        let bound = seconds(self.settings.policy.guard.bound_ms);
        let (name, what) = match exposed {
            Exposed::Granted => (
                "guard.exposed",
                format!(
                    "exposure is granted by an operator: that no more than {bound} of writes are lost is not guaranteed, and \
                     there is no automatic failover"
                ),
            ),
            _ => (
                "guard.restoring",
                format!(
                    "exposure is ended by an operator: {bound} are guaranteed again once the other region has caught up"
                ),
            ),
        };
        self.say(turn, name, id, what.clone());
        let operation = self.state.environments.get(id).map_or(0, |environment| environment.last_operation);
        self.notify(turn, id, operation, NoticeKind::Warning, format!("{id}: {what}"));
    }

    /// The other region's node gets its leave anew, under a number that no earlier one can undo.
    fn tell_peer_anew(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: false, guard: None });
        self.renumber(turn, id);
        let earlier = (id.clone(), Part::Repair);
        self.calls.retain(|_, call| *call != earlier);
        self.repairs.remove(&earlier);
    }

    /// After a restart: where policy has changed the other region's node is told, and nothing is guaranteed before.
    pub(super) fn renew_leaves(&mut self, turn: &mut Turn) {
        let ids: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.protected && environment.task.is_none() && environment.peer_granting)
            .filter(|(_, environment)| environment.peer_guard != self.leave(environment))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let is_enforced = self.state.environments.get(&id).is_some_and(|environment| self.is_enforced(environment));
            let exposed = if is_enforced { Exposed::Ending } else { Exposed::No };
            self.record(turn, Record::Exposed { environment: id.clone(), exposed });
            self.tell_peer_anew(turn, &id);
        }
    }

    /// Says, once a switch has left an environment without a replica, that nothing is guarded.
    pub(super) fn suspend_guard(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        if self.settings.policy.guard.mode == GuardMode::Enforce {
            self.say(turn, "guard.suspended", id, "nothing is guarded until a replica streams again");
        }
    }

    /// Says that a replica follows, and is guarded by.
    pub(super) fn resume_guard(&mut self, turn: &mut Turn, id: &EnvironmentId) {
        if self.settings.policy.guard.mode == GuardMode::Enforce {
            let bound = seconds(self.settings.policy.guard.bound_ms);
            self.say(turn, "guard.resumed", id, format!("no more than {bound} of writes are lost with a region"));
        }
    }

    /// Why a failover may not be ordered without accepting what it loses; `None` if it may.
    pub(super) fn loses_too_much(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment) -> Option<String> {
        let guard = &self.settings.policy.guard;
        if guard.mode == GuardMode::Observe {
            return None;
        }
        let expected = match self.expected_ms(now_ms, id, environment) {
            Some(ms) if ms <= guard.bound_ms => return None,
            Some(ms) => format!("up to the last {} of writes", seconds(ms)),
            None => "writes of an unknown time".to_owned(),
        };
        let bound = seconds(guard.bound_ms);
        Some(format!(
            "a failover of `{id}` would lose {expected}, more than the {bound} of the enforced bound: order it with \
             `accept_data_loss` if that is accepted"
        ))
    }

    /// The guard as an operator sees it.
    pub(super) fn guard_status(&self, now_ms: u64, id: &EnvironmentId, environment: &Environment) -> GuardStatus {
        let guard = &self.settings.policy.guard;
        let state = match (guard.mode, environment.exposed) {
            _ if !environment.protected => GuardState::Suspended,
            (GuardMode::Observe, _) => GuardState::Observing,
            (GuardMode::Enforce, Exposed::No) => GuardState::Enforcing,
            (GuardMode::Enforce, Exposed::Granted) => GuardState::Exposed,
            (GuardMode::Enforce, Exposed::Ending) => GuardState::Restoring,
        };
        let samples = self.samples.get(id);
        let since = |moment: Option<u64>| moment.map(|moment| now_ms.saturating_sub(moment));
        GuardStatus {
            mode: guard.mode,
            bound_ms: guard.bound_ms,
            state,
            level: environment.level,
            exposure_ms: self.exposure_ms(now_ms, id),
            sql_ms: since(samples.and_then(|samples| samples.rows_arrived())),
            files_ms: since(samples.and_then(|samples| samples.files_arrived())),
            guaranteed: self.is_guaranteed(environment),
            automatic: self.settings.policy.automatic && environment.protected && environment.exposed == Exposed::No,
        }
    }
}
