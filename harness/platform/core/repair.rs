//! What is put right outside of any operation: a route that the edge has lost, and whatever was out of reach when a switch
//! was undone: the second grantor, the old side's node and its compute.

use super::{
    calls,
    machine::{Core, Turn},
    parts::Part,
    progress::PAUSE_MS_MAX,
    record::Record,
    state::Environment,
};
use crate::api::{EnvironmentId, permit::Holder, route::EdgeReport};

impl Core {
    /// Sets routes anew that the edge has lost, as its report shows.
    pub(super) fn level_routes(&mut self, turn: &mut Turn, report: &EdgeReport) {
        let lost: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.is_settled())
            .map(|(id, environment)| (id, calls::route(environment)))
            .filter(|(_, wanted)| !report.routes.contains(wanted))
            .map(|(id, _)| id.clone())
            .filter(|id| !self.is_asking(id, Part::Level))
            .collect();
        lost.iter().for_each(|id| self.ask(turn, id, Part::Level, 0));
    }

    /// Tells whoever was out of reach when a switch was undone, as soon as it is heard.
    pub(super) fn repair(&mut self, turn: &mut Turn) {
        let due: Vec<(EnvironmentId, Part)> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.task.is_none())
            .flat_map(|(id, environment)| self.owed(turn.now_ms, environment).map(|part| (id.clone(), part)))
            .filter(|(id, part)| !self.is_asking(id, *part) && !self.mended.contains(&(id.clone(), *part)))
            .filter(|key| self.repairs.get(key).copied().unwrap_or(0) <= turn.now_ms)
            .collect();
        for (id, part) in due {
            self.repairs.insert((id.clone(), part), turn.now_ms + PAUSE_MS_MAX);
            self.ask(turn, &id, part, 0);
        }
    }

    /// What an environment without an operation still owes, to those who are heard.
    fn owed(&self, now_ms: u64, environment: &Environment) -> impl Iterator<Item = Part> + use<> {
        let suspect_ms = self.settings.timers.suspect_ms;
        let hears = |region, holder| self.ears.hears(now_ms, (region, environment.seat(region)), holder, suspect_ms);
        let peer = self.settings.peer(&environment.active);
        let is_halted = environment.halted_ms.is_some();
        let grant =
            environment.protected && !environment.peer_granting && peer.is_some_and(|peer| hears(peer, Holder::Node));
        let node = is_halted && hears(&environment.active, Holder::Node);
        let compute = is_halted && hears(&environment.active, Holder::Compute);
        let owed = [(grant, Part::Repair), (node, Part::MendNode), (compute, Part::MendCompute)];
        owed.into_iter().filter(|(is_owed, _)| *is_owed).map(|(_, part)| part)
    }

    /// Takes the answer to a repair.
    pub(super) fn end_repair(&mut self, turn: &mut Turn, id: &EnvironmentId, part: Part, is_ok: bool) {
        let Some(environment) = self.state.environments.get(id) else { return };
        if !is_ok || environment.task.is_some() {
            return;
        }
        if part == Part::Repair {
            return self.peer_allowed(turn, id);
        }
        self.mended.insert((id.clone(), part));
        let keys = [Part::MendNode, Part::MendCompute].map(|part| (id.clone(), part));
        if keys.iter().all(|key| self.mended.contains(key)) {
            self.mended.retain(|key| !keys.contains(key));
            self.record(turn, Record::Halted { environment: id.clone(), since_ms: None });
        }
    }
}
