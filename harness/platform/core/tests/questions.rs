//! What tests do to the world, and ask of it.

use std::collections::BTreeMap;

use super::{
    chaos::Who,
    world::{Due, EAST, World, environment, region},
};
use crate::{
    api::{
        Epoch,
        control::{
            BackUp, Conversion, Copy, Deploy, Failover, OperationView, PlatformEvent, Restore, Scope, SupportTicket,
            SwitchKind, Tenant,
        },
        environment::{EnvironmentKind, Login, Product},
        permit::{Credentials, SqlRole},
    },
    platform::core::{AskId, Event, OrderAnswer, Record, Refused, Settings},
};

impl World {
    /// Deploys production environments in the east and waits until they stand.
    pub fn deploy(&mut self, names: &[&str]) {
        self.deploy_as(EnvironmentKind::DataverseProduction, names);
    }

    /// Deploys environments of a kind in the east and waits until they stand.
    pub fn deploy_as(&mut self, kind: EnvironmentKind, names: &[&str]) {
        let mut licences = vec![Product::Dataverse];
        licences.extend(Some(kind.product()).filter(|product| *product != Product::Dataverse));
        let tenant = Tenant { licences };
        for name in names {
            for attempt in 0.. {
                assert!(attempt < 200, "{name} is not deployed");
                self.run_until(self.now + 300, |_| false);
                if self.core.as_ref().is_some_and(|core| core.state().environments.contains_key(&environment(name))) {
                    break;
                }
                let ask = self.ask();
                self.step(Event::TenantPut { ask, name: "contoso".to_owned(), tenant: tenant.clone() });
                let ask = self.ask();
                let order = Deploy { id: environment(name), kind, tenant: "contoso".to_owned(), region: region(EAST) };
                self.step(Event::DeployOrdered { ask, order, credentials: Box::new(credentials()) });
            }
        }
        let end = self.now + 120_000;
        let all = |world: &World| {
            let is_deployed = |name: &&str| {
                let mut events = world.events(name).into_iter().rev().map(|event| event.name);
                // Of one that had the name before nothing counts.
                events.find(|name| name == "environment.deployed" || name == "environment.deleted")
                    == Some("environment.deployed".to_owned())
            };
            names.iter().all(is_deployed)
        };
        assert!(self.run_until(end, all), "deployed in time (seed {})", self.chaos.seed);
    }

    /// Events of an environment, in order.
    pub fn events(&self, name: &str) -> Vec<PlatformEvent> {
        let of = |record: &Record| match record {
            Record::Event(event) if event.environment == Some(environment(name)) => Some(event.clone()),
            _ => None,
        };
        self.journal.iter().filter_map(of).collect()
    }

    /// Names of all events of a region.
    pub fn region_events(&self, index: usize) -> Vec<String> {
        let of = |record: &Record| match record {
            Record::Event(event) if event.environment.is_none() && event.region == Some(region(index)) => {
                Some(event.name.clone())
            }
            _ => None,
        };
        self.journal.iter().filter_map(of).collect()
    }

    /// Whether somebody holds a live permit.
    pub fn holds(&self, who: Who, name: &str) -> Option<Epoch> {
        let (epoch, until) = self.held.get(&who)?.get(&environment(name))?;
        (self.clock(who) < *until).then_some(*epoch)
    }

    pub fn lose(&mut self, index: usize) {
        self.outage(index, true);
    }

    pub fn return_region(&mut self, index: usize) {
        self.outage(index, false);
    }

    /// Kills control and keeps it down for so long.
    pub fn hold_control_down(&mut self, ms: u64) {
        self.core = None;
        self.actors.get_mut(&Who::Control).unwrap().alive = false;
        self.push(self.now + ms, Due::StartControl);
    }

    /// From now on replicas come back by themselves.
    pub fn allow_returns(&mut self) {
        self.settings.policy.automatic_return = true;
        self.kill_control();
    }

    /// One environment's replica in the west is gone.
    pub fn break_replica(&mut self, name: &str) {
        self.stores[1].get_mut(&environment(name)).unwrap().sql = Some(SqlRole::Down);
    }

    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    pub fn links() -> Vec<(Who, Who)> {
        let all = [Who::Control, Who::Edge, Who::Node(0), Who::Node(1), Who::Compute(0), Who::Compute(1)];
        let pairs = all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to)));
        pairs.filter(|(from, to)| from.index() != to.index()).collect()
    }
}

/// Gives an order; a control plane that is killed by it answers nothing.
pub fn order(world: &mut World, kind: SwitchKind, scope: Scope) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let order = Failover { kind, scope, accept_data_loss: false };
    world.step(Event::FailoverOrdered { ask: AskId(u64::MAX), order });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// Orders a conversion; a control plane that is killed by it answers nothing.
pub fn convert(world: &mut World, name: &str) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let order = Conversion { environment: environment(name) };
    world.step(Event::ConversionOrdered { ask: AskId(u64::MAX), order });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// Opens a support ticket; a control plane that is killed by it answers nothing.
pub fn ticket(world: &mut World, name: &str) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let order = SupportTicket { environment: environment(name) };
    world.step(Event::TicketOrdered { ask: AskId(u64::MAX), order });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// Orders a back-up, or a restore; a control plane that is killed by it answers nothing.
pub fn keep(world: &mut World, name: &str, restores: bool) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let (ask, environment) = (AskId(u64::MAX), environment(name));
    world.step(match restores {
        true => Event::RestoreOrdered { ask, order: Restore { environment } },
        false => Event::BackUpOrdered { ask, order: BackUp { environment } },
    });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// Orders a copy; a control plane that is killed by it answers nothing.
pub fn copy(world: &mut World, from: &str, to: &str) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    let order = Copy { from: environment(from), to: environment(to) };
    world.step(Event::CopyOrdered { ask: AskId(u64::MAX), order });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// Orders a deletion; a control plane that is killed by it answers nothing.
pub fn delete(world: &mut World, name: &str) -> Result<OrderAnswer, Refused> {
    let before = world.answers.len();
    world.step(Event::DeletionOrdered { ask: AskId(u64::MAX), environment: environment(name) });
    let answers = world.answers.split_off(before);
    answers.into_iter().next().unwrap_or_else(|| Err(Refused::not_now("no answer")))
}

/// The operation that an order which was taken has begun.
pub fn began(answer: Result<OrderAnswer, Refused>) -> u64 {
    match answer {
        Ok(OrderAnswer::Operation(view)) => view.id,
        Ok(_) => panic!("not an operation"),
        Err(refused) => panic!("{refused}"),
    }
}

/// An operation as the API shows it.
pub fn operation_of(world: &World, operation: u64) -> OperationView {
    world.core.as_ref().unwrap().operation_view(operation).unwrap()
}

pub fn credentials() -> Credentials {
    let login = || Login { user: "u".to_owned(), secret: "s".to_owned() };
    Credentials {
        app: login(),
        reader: login(),
        s3: login(),
        sql_replication: login(),
        files_replication: BTreeMap::new(),
    }
}
