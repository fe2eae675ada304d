//! What is put right outside of any operation: a route that the edge has lost, and the second grantor of an environment
//! whose failover was undone while that grantor was out of reach.

use super::{
    calls,
    machine::{Core, Turn},
    progress::{PAUSE_MS_MAX, Part},
    record::Record,
};
use crate::api::{EnvironmentId, environment::EnvironmentPhase, route::EdgeReport};

impl Core {
    /// Sets routes anew that the edge has lost, as its report shows.
    pub(super) fn level_routes(&mut self, turn: &mut Turn, report: &EdgeReport) {
        let lost: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.task.is_none() && environment.is_open())
            .map(|(id, environment)| (id, calls::route(environment)))
            .filter(|(_, wanted)| !report.routes.contains(wanted))
            .map(|(id, _)| id.clone())
            .filter(|id| !self.is_asking(id, Part::Level))
            .collect();
        lost.iter().for_each(|id| self.ask(turn, id, Part::Level, 0));
    }

    /// Tells a node that was out of reach when a failover was undone that it may grant again.
    pub(super) fn repair_granting(&mut self, turn: &mut Turn) {
        let wanting: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| {
                environment.phase == EnvironmentPhase::Protected
                    && environment.task.is_none()
                    && !environment.peer_granting
            })
            .filter(|(_, environment)| {
                let peer = self.settings.peer(&environment.active);
                peer.is_some_and(|peer| self.ears.hears_node(turn.now_ms, peer, self.settings.timers.suspect_ms))
            })
            .map(|(id, _)| id.clone())
            .filter(|id| !self.is_asking(id, Part::Repair))
            .collect();
        for id in wanting {
            let due = self.repairs.get(&id).copied().unwrap_or(0);
            if due <= turn.now_ms {
                self.repairs.insert(id.clone(), turn.now_ms + PAUSE_MS_MAX);
                self.ask(turn, &id, Part::Repair, 0);
            }
        }
    }

    /// Takes the second grantor's answer.
    pub(super) fn end_repair(&mut self, turn: &mut Turn, id: &EnvironmentId, is_ok: bool) {
        let is_idle = self.state.environments.get(id).is_some_and(|environment| environment.task.is_none());
        if is_ok && is_idle {
            self.record(turn, Record::PeerGranting { environment: id.clone(), allowed: true });
        }
    }
}
