//! What an operator may order, and the refusals, each with its reason.

use std::collections::BTreeSet;

use super::{
    effect::{AskId, Effect, OrderAnswer, Refused},
    machine::{Core, Turn},
    record::{NewEnvironment, OperationKind, Record, RegionStatus, Step},
    state::{Environment, State, Task},
};
use crate::api::{
    EnvironmentId, Region,
    control::{Deploy, Failover, Scope, SwitchKind, Tenant},
    ids::is_name,
    permit::Credentials,
    sabotage::Sabotage,
};

impl State {
    /// The number of the next operation.
    pub fn next_operation(&self) -> u64 {
        self.last_number + 1
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

    /// The environment of this name.
    pub(super) fn known(&self, id: &EnvironmentId) -> Result<&Environment, Refused> {
        self.state.environments.get(id).ok_or_else(|| Refused::unknown(format!("there is no environment `{id}`")))
    }

    fn check_deploy(&self, now_ms: u64, order: &Deploy) -> Result<u16, Refused> {
        let Deploy { id, kind, tenant, region } = order;
        let Some(peer) = self.settings.peer(region) else {
            return Err(Refused::unknown(format!("there is no region `{region}`")));
        };
        let licences = self.state.tenants.get(tenant).map(|tenant| tenant.licences.as_slice()).unwrap_or_default();
        if !licences.contains(&kind.product()) && self.settings.sabotage != Some(Sabotage::DeployUnlicensed) {
            let product = kind.product();
            return Err(Refused::not_allowed(format!(
                "tenant `{tenant}` has no licence for {product}: assign one first"
            )));
        }
        match self.state.environments.get(id) {
            Some(old) if old.is_retired => {
                let operation = old.last_operation;
                return Err(Refused::not_now(format!(
                    "an environment `{id}` is being deleted: its name is free once operation {operation} is completed"
                )));
            }
            Some(_) => return Err(Refused::not_now(format!("there is an environment `{id}` already"))),
            None => {}
        }
        // What has no replica needs nothing of the other region.
        for region in [Some(region), Some(peer).filter(|_| kind.has_replica())].into_iter().flatten() {
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
        let result = self.check_failover(turn, order).and_then(|ids| {
            let operation = match order.kind {
                SwitchKind::Unplanned => {
                    if let Scope::Region(region) = &order.scope
                        && self.state.region(region) != RegionStatus::Declared
                    {
                        // A statement of the operator's, not of the vantage points: what those think stays as it is.
                        self.say_region(turn, "region.declared", region, "by an operator");
                    }
                    self.begin_failover(turn, OperationKind::UnplannedFailover, &ids, "ordered by an operator")
                }
                SwitchKind::Planned => self.begin_planned(turn, &ids, OperationKind::PlannedFailover),
                SwitchKind::Failback => self.begin_planned(turn, &ids, OperationKind::Failback),
            };
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    fn check_failover(&self, turn: &Turn, order: &Failover) -> Result<Vec<EnvironmentId>, Refused> {
        let ids = match &order.scope {
            Scope::Region(region) => self.meant_by(region, order.kind)?,
            Scope::Environments(ids) => ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        };
        if ids.is_empty() {
            return Err(Refused::not_now("there is nothing to switch: name an environment or a region"));
        }
        ids.iter().try_for_each(|id| self.check_environment(turn, order, id))?;
        Ok(ids)
    }

    /// Environments that an order of this kind for a region concerns: a failback's are those that have their home there and
    /// are served elsewhere, any other's those that are served there. The others stay where they are.
    fn meant_by(&self, region: &Region, kind: SwitchKind) -> Result<Vec<EnvironmentId>, Refused> {
        if self.settings.peer(region).is_none() {
            return Err(Refused::unknown(format!("there is no region `{region}`")));
        }
        let concerned = |environment: &Environment| match kind {
            SwitchKind::Failback => &environment.given.home == region,
            _ => &environment.active == region,
        };
        let ids: Vec<_> = (self.state.environments.iter())
            .filter(|(_, environment)| concerned(environment) && is_switchable(environment, kind))
            .map(|(id, _)| id.clone())
            .collect();
        if ids.is_empty() {
            let why = match kind {
                SwitchKind::Failback => format!("no environment whose home is {region} is served elsewhere"),
                _ => format!("no environment with a replica is active in {region}"),
            };
            return Err(Refused::not_now(why));
        }
        Ok(ids)
    }

    fn check_environment(&self, turn: &Turn, order: &Failover, id: &EnvironmentId) -> Result<(), Refused> {
        let kind = order.kind;
        let Some(environment) = self.state.environments.get(id) else {
            return Err(Refused::unknown(format!("there is no environment `{id}`")));
        };
        if !environment.given.kind.has_replica() {
            return Err(Refused::not_now(no_replica(id, environment)));
        }
        if let Some(task) = &environment.task {
            match task.kind {
                _ if !task.stalled && !is_adoptable(task, kind) => {
                    let (operation, what) = (task.operation, task.kind.name());
                    return Err(Refused::not_now(format!(
                        "operation {operation} ({what}) is under way for `{id}`: wait for its end"
                    )));
                }
                OperationKind::Deploy => {
                    return Err(Refused::not_now(format!(
                        "the deployment of `{id}` has failed: there is nothing to switch"
                    )));
                }
                // Past the switch of the register the region that must be ready is the active one already.
                _ if task.stalled => return self.check_ready(turn.now_ms, id, environment, &environment.active),
                _ => {}
            }
        }
        if kind != SwitchKind::Unplanned {
            self.check_uncopied(id)?;
        }
        self.check_place(kind, id, environment)?;
        self.check_dwell(turn, id, environment)?;
        self.check_regions(turn.now_ms, kind, id, environment)?;
        let is_accepted = kind != SwitchKind::Unplanned || order.accept_data_loss;
        match self.loses_too_much(turn.now_ms, id, environment).filter(|_| !is_accepted) {
            Some(why) => Err(Refused::not_now(why)),
            None => Ok(()),
        }
    }

    /// Whether the order fits where the environment is.
    fn check_place(&self, kind: SwitchKind, id: &EnvironmentId, environment: &Environment) -> Result<(), Refused> {
        let (active, home) = (&environment.active, &environment.given.home);
        match kind {
            SwitchKind::Failback if active == home => {
                Err(Refused::not_now(format!("`{id}` is at home in {home} already")))
            }
            SwitchKind::Failback if !environment.protected && environment.fork.is_none() => Err(Refused::not_allowed(
                format!("`{id}` has no replica, and no switch is known that one could return from"),
            )),
            SwitchKind::Planned if active != home => Err(Refused::not_allowed(format!(
                "`{id}` is active in {active}, away from its home {home}: order a failback"
            ))),
            SwitchKind::Unplanned | SwitchKind::Planned if !environment.protected => {
                Err(Refused::not_allowed(format!(
                    "`{id}` has no replica since its switch to {active}: it can be switched again once one streams"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Ordered switches of one environment keep their distance.
    fn check_dwell(&self, turn: &Turn, id: &EnvironmentId, environment: &Environment) -> Result<(), Refused> {
        let dwell_ms = self.settings.timers.dwell_ms;
        let since = environment.switched_ms.map(|at| (self.age_ms + turn.now_ms).saturating_sub(at));
        match since.map(|since| dwell_ms.saturating_sub(since)) {
            Some(left_ms) if left_ms > 0 => {
                Err(Refused::not_now(format!("`{id}` was switched just now: order again in {left_ms} ms")))
            }
            _ => Ok(()),
        }
    }

    fn check_regions(
        &self,
        now_ms: u64,
        kind: SwitchKind,
        id: &EnvironmentId,
        environment: &Environment,
    ) -> Result<(), Refused> {
        let Some(target) = self.settings.peer(&environment.active) else {
            return Err(Refused::not_now(format!("`{id}` is in a region that is not configured")));
        };
        if kind == SwitchKind::Unplanned {
            return self.check_ready(now_ms, id, environment, target);
        }
        if kind == SwitchKind::Failback && self.settings.sabotage == Some(Sabotage::FailBackUnfit) {
            return Ok(());
        }
        for region in [target, &environment.active] {
            if let Some(why) = self.unfit(now_ms, region) {
                return Err(Refused::not_now(format!("region {region} is not fit for a switch of `{id}`: {why}")));
            }
        }
        // What is not protected gets its replica first, and a planned failover finds out by its preflight.
        let behind = (environment.protected && kind == SwitchKind::Failback).then(|| self.behind(environment));
        match behind.flatten() {
            Some(why) => Err(Refused::not_now(format!("`{id}` cannot be failed back yet: {why}"))),
            None => Ok(()),
        }
    }

    fn check_ready(
        &self,
        now_ms: u64,
        id: &EnvironmentId,
        environment: &Environment,
        target: &Region,
    ) -> Result<(), Refused> {
        match self.is_zone_ready(now_ms, target, environment.seat(target)) {
            true => Ok(()),
            false => Err(Refused::not_now(format!("region {target} is not ready to take over `{id}`"))),
        }
    }

    pub(super) fn order_answer(&self, operation: u64) -> Result<OrderAnswer, Refused> {
        let view = self.operation_view(operation);
        view.map(OrderAnswer::Operation).ok_or_else(|| Refused::unknown(format!("there is no operation {operation}")))
    }
}

fn is_switchable(environment: &Environment, kind: SwitchKind) -> bool {
    let is_resumable = environment.task.as_ref().is_some_and(|task| task.stalled && task.kind != OperationKind::Deploy);
    // An environment under way counts, so that the order is refused and not done by half.
    let is_switch = |task: &Task| !matches!(task.kind, OperationKind::Deploy | OperationKind::Convert);
    let is_under_way = environment.running().is_some_and(is_switch);
    // What has no replica is never meant, whatever is under way for it, nor is what is being deleted.
    environment.given.kind.has_replica()
        && !environment.is_retired
        && match kind {
            SwitchKind::Failback => environment.active != environment.given.home || is_resumable,
            _ => environment.protected || is_resumable || is_under_way,
        }
}

/// Why what was never promised a replica is not switched.
fn no_replica(id: &EnvironmentId, environment: &Environment) -> String {
    let kind = environment.given.kind;
    let until = match kind.upgrades_to() {
        Some(production) => format!(" until they are converted to {production}"),
        None => String::new(),
    };
    format!("`{id}` has no replica in the other region: environments of kind {kind} have none{until}")
}

/// Whether nothing is under way for an environment; what has failed may have.
pub(super) fn check_under_way(id: &EnvironmentId, environment: &Environment) -> Result<(), Refused> {
    if environment.running().is_some() { check_idle(id, environment) } else { Ok(()) }
}

/// Whether nothing is under way for an environment, nor has failed.
pub(super) fn check_idle(id: &EnvironmentId, environment: &Environment) -> Result<(), Refused> {
    let Some(task) = &environment.task else { return Ok(()) };
    let (operation, what) = (task.operation, task.kind.name());
    let state = if task.stalled { "has failed" } else { "is under way" };
    Err(Refused::not_now(format!("operation {operation} ({what}) {state} for `{id}`")))
}

/// A failback goes on with a return under way.
fn is_adoptable(task: &Task, kind: SwitchKind) -> bool {
    task.kind == OperationKind::Return && kind == SwitchKind::Failback
}
