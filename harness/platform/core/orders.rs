//! What an operator may order, and the refusals, each with its reason.

use std::collections::BTreeSet;

use super::{
    effect::{AskId, Effect, OrderAnswer, Refused},
    machine::{Core, Turn},
    record::{NewEnvironment, OperationKind, Record, RegionStatus, Step},
    state::{Environment, State},
};
use crate::api::{
    EnvironmentId, Region,
    control::{Deploy, Failover, Scope, SwitchKind, Tenant},
    environment::EnvironmentPhase,
    ids::is_name,
    permit::Credentials,
};

impl State {
    /// The number of the next operation.
    pub fn next_operation(&self) -> u64 {
        self.operations.keys().next_back().map_or(1, |last| last + 1)
    }

    fn free_slot(&self, slots: usize) -> Option<u16> {
        let taken: BTreeSet<u16> = self.environments.values().map(|environment| environment.given.slot).collect();
        (0..u16::try_from(slots).unwrap_or(u16::MAX)).find(|slot| !taken.contains(slot))
    }
}

impl Core {
    pub(super) fn put_tenant(&mut self, turn: &mut Turn, ask: AskId, name: String, tenant: Tenant) {
        let result = if is_name(&name) {
            self.record(turn, Record::Tenant { name, tenant: tenant.clone() });
            Ok(OrderAnswer::Tenant(tenant))
        } else {
            Err(Refused { status: 400, why: format!("`{name}` is not a name for a tenant: a-z, 0-9 and `-` only") })
        };
        turn.effects.push(Effect::Answer { ask, result });
    }

    pub(super) fn order_deploy(&mut self, turn: &mut Turn, ask: AskId, order: Deploy, credentials: Credentials) {
        let result = self.check_deploy(turn.now_ms, &order).and_then(|slot| {
            let id = order.id.clone();
            let operation = self.state.next_operation();
            let given = NewEnvironment {
                id: id.clone(),
                kind: order.kind,
                tenant: order.tenant,
                home: order.region,
                slot,
                database: id.to_string(),
                // A bucket's name has at least three characters and ends with none of `-`; an environment's may.
                bucket: format!("{id}-files"),
                credentials,
            };
            self.record(turn, Record::Created(Box::new(given)));
            let (kind, environments) = (OperationKind::Deploy, vec![id.clone()]);
            self.record(turn, Record::Began { operation, kind, environments });
            self.enter(turn, &id, operation, Step::CreatingPrimary);
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    fn check_deploy(&self, now_ms: u64, order: &Deploy) -> Result<u16, Refused> {
        let Deploy { id, kind, tenant, region } = order;
        let Some(peer) = self.settings.peer(region) else {
            return Err(Refused::unknown(format!("there is no region `{region}`")));
        };
        let licences = self.state.tenants.get(tenant).map(|tenant| tenant.licences.as_slice()).unwrap_or_default();
        if !licences.contains(&kind.product()) {
            let product = kind.product();
            return Err(Refused::not_allowed(format!(
                "tenant `{tenant}` has no licence for {product}: assign one first"
            )));
        }
        if !kind.has_replica() {
            return Err(Refused::not_allowed(format!("environments of kind {kind} are not offered yet")));
        }
        if self.state.environments.contains_key(id) {
            return Err(Refused::not_now(format!("there is an environment `{id}` already")));
        }
        for region in [region, peer] {
            if !self.is_ready(now_ms, region) {
                return Err(Refused::not_now(format!(
                    "region {region} is not ready: try again once `health` lists it"
                )));
            }
        }
        let slots = self.settings.doors.len();
        let full = || Refused::not_now(format!("all {slots} slots are taken"));
        self.state.free_slot(slots).ok_or_else(full)
    }

    pub(super) fn order_failover(&mut self, turn: &mut Turn, ask: AskId, order: &Failover) {
        let result = self.check_failover(turn.now_ms, order).and_then(|ids| {
            if let Scope::Region(region) = &order.scope
                && self.state.region(region) != RegionStatus::Declared
            {
                // A statement of the operator's, not of the vantage points: what those think stays as it is.
                self.say_region(turn, "region.declared", region, "by an operator");
            }
            let operation = self.begin_failover(turn, &ids, "ordered by an operator");
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    fn check_failover(&self, now_ms: u64, order: &Failover) -> Result<Vec<EnvironmentId>, Refused> {
        if order.kind != SwitchKind::Unplanned {
            return Err(Refused::not_allowed("planned failover and failback are not available in this version"));
        }
        let ids = match &order.scope {
            Scope::Region(region) => self.active_in(region)?,
            Scope::Environments(ids) => ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        };
        if ids.is_empty() {
            return Err(Refused::not_now("there is nothing to fail over"));
        }
        ids.iter().try_for_each(|id| self.check_environment(now_ms, id))?;
        Ok(ids)
    }

    /// Environments of a region that have a replica; those without one stay where they are.
    fn active_in(&self, region: &Region) -> Result<Vec<EnvironmentId>, Refused> {
        if self.settings.peer(region).is_none() {
            return Err(Refused::unknown(format!("there is no region `{region}`")));
        }
        let active = self.state.environments.iter().filter(|(_, environment)| &environment.active == region);
        let ids: Vec<_> =
            active.filter(|(_, environment)| is_switchable(environment)).map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            return Err(Refused::not_now(format!("no environment with a replica is active in {region}")));
        }
        Ok(ids)
    }

    fn check_environment(&self, now_ms: u64, id: &EnvironmentId) -> Result<(), Refused> {
        let Some(environment) = self.state.environments.get(id) else {
            return Err(Refused::unknown(format!("there is no environment `{id}`")));
        };
        let kind = environment.given.kind;
        if !kind.has_replica() {
            return Err(Refused::not_allowed(format!("`{id}` has no replica: environments of kind {kind} get none")));
        }
        let operation = environment.last_operation;
        // Past the switch of the register the region that must be ready is the active one already.
        let target = match (&environment.task, environment.phase) {
            (Some(task), _) if !task.stalled => {
                return Err(Refused::not_now(format!(
                    "operation {operation} is under way for `{id}`: wait for its end"
                )));
            }
            (Some(task), _) if task.kind == OperationKind::Deploy => {
                return Err(Refused::not_now(format!(
                    "the deployment of `{id}` has failed: there is nothing to switch"
                )));
            }
            (Some(_), _) => Some(&environment.active),
            (None, EnvironmentPhase::Unprotected) => {
                return Err(Refused::not_allowed(format!(
                    "`{id}` has no replica since its switch to {}: it can be switched again once one streams",
                    environment.active
                )));
            }
            (None, _) => self.settings.peer(&environment.active),
        };
        match target {
            Some(target) if self.is_ready(now_ms, target) => Ok(()),
            Some(target) => Err(Refused::not_now(format!("region {target} is not ready to take over `{id}`"))),
            None => Err(Refused::not_now(format!("`{id}` is in a region that is not configured"))),
        }
    }

    fn order_answer(&self, operation: u64) -> Result<OrderAnswer, Refused> {
        let view = self.operation_view(operation);
        view.map(OrderAnswer::Operation).ok_or_else(|| Refused::unknown(format!("there is no operation {operation}")))
    }
}

fn is_switchable(environment: &Environment) -> bool {
    let is_resumable = environment.task.as_ref().is_some_and(|task| task.kind == OperationKind::UnplannedFailover);
    environment.phase == EnvironmentPhase::Protected || is_resumable
}
