//! The guard's side of the world: what computes say of their files, how a node judges as grantor, and that no switch loses
//! more than an enforced bound.

use super::{chaos::Who, world::World};
use crate::{
    api::{
        EnvironmentId, Epoch,
        control::Exposure,
        guard::{GuardLevel, GuardMode, Stamp},
        permit::{FilesAge, Holder, PermitRequest, SqlRole},
    },
    platform::core::{AskId, Event, OrderAnswer, Refused, Samples},
};

impl World {
    /// Whether a compute lets a write pass now.
    pub(super) fn may_write(&self, index: usize, id: &EnvironmentId) -> bool {
        let local = self.clock(Who::Compute(index));
        let words = self.writes_until[index].iter().filter(|((of, _), _)| of == id);
        words.map(|(_, until)| *until).any(|until| local < until)
    }

    /// What a compute says of the files that it acknowledged and the other region lacks.
    pub(super) fn files_ages(&self, index: usize) -> Vec<FilesAge> {
        let age = |(id, stores): (&EnvironmentId, &super::stores::Stores)| {
            let other = self.stores[1 - index].get(id);
            let customer = self.customers.get(id)?;
            let mut lacking = stores.carried().filter(|file| other.is_none_or(|other| !other.files.contains(file)));
            let oldest_ms = lacking.find_map(|file| customer.acked_at(file)).map_or(0, |at| self.now - at);
            // Its clock may run faster or slower.
            let oldest_ms = Some(oldest_ms * self.actors[&Who::Compute(index)].rate / 10_000);
            Some(FilesAge { environment: id.clone(), oldest_ms })
        };
        self.stores[index].iter().filter_map(age).collect()
    }

    /// What a node says of writes with its permit: as the real one, which has a test of its own.
    pub(super) fn node_word(
        &mut self,
        index: usize,
        id: &EnvironmentId,
        epoch: Epoch,
        request: &PermitRequest,
        stamp: Stamp,
    ) -> (bool, u64) {
        let stores = self.stores[index].get(id);
        let guard = stores.and_then(|stores| stores.allowed).and_then(|(_, _, _, guard)| guard);
        let received =
            stores.filter(|stores| stores.sql == Some(SqlRole::Standby)).map(|stores| 1 + stores.log.len() as u64);
        let fresh = || (epoch, Samples::over(60_000), GuardLevel::Clear);
        let known = self.exposures[index].entry(id.clone()).or_insert_with(fresh);
        if known.0 != epoch {
            *known = fresh();
        }
        let (_, samples, level) = known;
        received.into_iter().for_each(|lsn| samples.take_received(lsn));
        match request.holder {
            Holder::Compute => {
                let age = request.files.iter().find(|age| age.environment == *id);
                samples.take_files(stamp.life, request.after, age);
            }
            Holder::Node => {
                let claims = request.states.iter().filter(|claim| claim.environment == *id && claim.epoch == epoch);
                claims.for_each(|claim| samples.take_primary(stamp.life, claim));
            }
        }
        let Some(guard) = guard else { return (true, 0) };
        let Some(arrived) = samples.arrived() else { return (false, 0) };
        let exposure_ms = stamp.ms.saturating_sub(arrived);
        *level = guard.level(*level, exposure_ms);
        (*level != GuardLevel::Withheld, guard.pace_ms(exposure_ms))
    }

    /// A switch has lost writes of this age at the most: where the bound is enforced, no more than that.
    pub(super) fn check_loss(&self, id: &EnvironmentId, loss_ms: u64) {
        let guard = &self.settings.policy.guard;
        // This is the world's own time; what counts times runs up to 1 % slower.
        assert!(
            guard.mode == GuardMode::Observe || self.is_loss_accepted || loss_ms <= guard.bound_ms,
            "at {} {id} has lost the last {loss_ms} ms, more than {} (seed {})",
            self.now,
            guard.bound_ms,
            self.chaos.seed
        );
    }
}

impl World {
    /// When a customer was served last.
    pub fn last_ack_ms(&self, name: &str) -> u64 {
        self.customers.get(&super::world::environment(name)).map_or(0, |customer| customer.last_ack_ms)
    }

    /// The longest time that a switch has lost.
    pub fn longest_loss_ms(&self, name: &str) -> u64 {
        self.customers.get(&super::world::environment(name)).map_or(0, |customer| customer.longest_loss_ms)
    }
}

/// Orders exposure; a control plane that is killed by it answers nothing.
pub fn expose(world: &mut World, name: &str, granted: bool) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let environment = super::world::environment(name);
    world.step(Event::ExposureOrdered { ask: AskId(u64::MAX), environment, order: Exposure { granted } });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}
