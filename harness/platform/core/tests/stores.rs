//! The stores of the world: a log and files in each region, what replicates them, and customers who write through the edge
//! and remember what was acknowledged. Here is checked that a switch without loss loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    chaos::Who,
    world::{Due, Message, World, environment},
};
use crate::{
    api::{
        EnvironmentId, Epoch, compute,
        control::FileReference,
        guard::Limits,
        node::{Action, Answer, Command, Fork, LogEnd, Rejoin},
        permit::SqlRole,
        reports::{Feature, FeatureStatus},
    },
    platform::core::{CallFailure, CallId, Record},
};

/// Rows and files of one moment.
type Copied = (Vec<u64>, BTreeSet<u64>);

/// One environment's stores in one region, with what its node keeps durably.
#[derive(Default, Clone)]
pub(super) struct Stores {
    pub(super) seen: Epoch,
    /// Epoch, region, the operation that gave it, and the guard.
    pub(super) allowed: Option<(Epoch, usize, u64, Option<Limits>)>,
    pub(super) stopped: Option<(Epoch, u64)>,
    pub(super) sql: Option<SqlRole>,
    pub(super) answered: Option<u64>,
    pub(super) lsn: u64,
    /// Numbers of writes.
    pub(super) log: Vec<u64>,
    pub(super) files: BTreeSet<u64>,
    /// Files after this one are carried to the other region where the environment is served here; `None`: none is.
    pub(super) carried_from: Option<u64>,
    /// The last operation that made or unmade a replica.
    replica_by: u64,
    timeline: u32,
    /// The number of the last command that stopped it or made it run.
    order: u64,
    promoted: Option<(Epoch, Fork)>,
    /// Rows and files of each back-up; `None`: customers were let in while it was made.
    backups: BTreeMap<u64, Option<Copied>>,
    /// Rows and files of each copy of another environment, with what its customers had been told by then.
    copies: BTreeMap<u64, (Copied, BTreeMap<u64, u64>)>,
    /// The last operation that put a back-up, or a copy, in their place.
    replaced_by: u64,
    /// What was salvaged under which epoch.
    secured: Option<(Epoch, u64)>,
}

impl Stores {
    /// Another region owns the environment.
    pub(super) fn quarantine(&mut self) {
        if self.sql == Some(SqlRole::Primary) {
            self.sql = Some(SqlRole::Fenced);
        }
    }

    /// Files that replication, or the node, is to bring to the other region.
    pub(super) fn carried(&self) -> impl Iterator<Item = u64> {
        let from = self.carried_from.map(|from| from + 1);
        from.into_iter().flat_map(|from| self.files.range(from..)).copied()
    }

    /// Takes an order to make or unmake a replica, unless a later one has spoken.
    fn take_turn(&mut self, operation: u64) -> Result<(), CallFailure> {
        if operation < self.replica_by {
            return Err(outdated("a later operation has made a replica, or unmade it"));
        }
        self.replica_by = operation;
        Ok(())
    }
}

/// What a compute keeps durably of one environment.
#[derive(Default, Clone)]
pub(super) struct ComputeState {
    stopped: Option<Epoch>,
    order: u64,
    account: u64,
    /// The last word on features: its epoch and operation, and what it said.
    word: Option<(Epoch, u64, Vec<FeatureStatus>)>,
}

/// A customer's memory.
#[derive(Default, Clone)]
pub(super) struct Customer {
    /// Acknowledged, and not known to be lost by an unplanned switch; each with its time.
    acked: BTreeMap<u64, u64>,
    pub(super) lost: usize,
    /// The longest time from the acknowledgement of a write that a switch lost to the last acknowledgement before it.
    pub(super) longest_loss_ms: u64,
    pub(super) last_ack_ms: u64,
    next: u64,
    /// Writes up to this one were deleted.
    deleted: u64,
}

impl Customer {
    /// When a write was acknowledged, unless it is known to be lost.
    pub(super) fn acked_at(&self, write: u64) -> Option<u64> {
        self.acked.get(&write).copied()
    }
}

fn outdated(why: &str) -> CallFailure {
    CallFailure { outdated: true, why: why.to_owned() }
}

fn unmet(why: &str) -> Result<Answer, CallFailure> {
    Ok(Answer::Unmet { why: why.to_owned() })
}

impl World {
    /// Whether somebody durably lets nothing pass under an epoch, whatever permit it holds.
    pub(super) fn is_confirmed_shut(&self, who: Who, id: &EnvironmentId, epoch: Epoch) -> bool {
        match who {
            Who::Compute(index) => {
                self.computes[index].get(id).is_some_and(|state| state.stopped.is_some_and(|stopped| stopped >= epoch))
            }
            // Only `Promote` and `TakeBack` open a cluster that was shut; no permit does.
            Who::Node(index) => (self.stores[index].get(id)).is_some_and(|stores| stores.sql != Some(SqlRole::Primary)),
            _ => false,
        }
    }

    /// Every 40 ms: replication, then one write by each customer.
    pub(super) fn write_as_customers(&mut self) {
        self.push(self.now + 40, Due::Write);
        let routes: Vec<_> = self.routes.values().filter(|route| !route.withdrawn).cloned().collect();
        for route in routes {
            let id = &route.environment;
            (0..2).for_each(|index| self.stream(index, id));
            let index = usize::from(route.region.as_str() == "west");
            let (compute, node) = (Who::Compute(index), Who::Node(index));
            let is_served = self.actors[&compute].alive
                && self.actors[&node].alive
                && self.holds(compute, id.as_str()) == Some(route.epoch)
                && self.holds(node, id.as_str()) == Some(route.epoch)
                && self.may_write(index, id)
                && !self.is_confirmed_shut(compute, id, route.epoch);
            let stores = self.stores[index].entry(id.clone()).or_default();
            if !is_served || stores.sql != Some(SqlRole::Primary) {
                continue;
            }
            // No two customers write the same, so that a copy can be told from what was there before.
            let first = 1_000_000 * self.customers.len() as u64;
            let customer =
                self.customers.entry(id.clone()).or_insert_with(|| Customer { next: first, ..Customer::default() });
            customer.next += 1;
            customer.last_ack_ms = self.now;
            customer.acked.insert(customer.next, self.now);
            stores.log.push(customer.next);
            stores.files.insert(customer.next);
            self.computes[index].entry(id.clone()).or_default().account += 1;
        }
    }

    /// The west's receiver streams nothing now.
    fn is_stalled(&self) -> bool {
        self.chaos.stalled || self.chaos.stalls.iter().any(|(begin, end)| (*begin..*end).contains(&self.now))
    }

    /// What `index` has reaches the other region, if that follows it.
    fn stream(&mut self, index: usize, id: &EnvironmentId) {
        let is_cut = self.is_cut(Who::Node(index), Who::Node(1 - index));
        if is_cut || (0..2).any(|index| !self.actors[&Who::Node(index)].alive) {
            return;
        }
        let Some(source) = self.stores[index].get(id).filter(|stores| stores.sql == Some(SqlRole::Primary)) else {
            return;
        };
        let Some(target) = self.stores[1 - index].get(id).filter(|stores| stores.sql == Some(SqlRole::Standby)) else {
            return;
        };
        let rows = source.log.get(target.log.len()..).unwrap_or_default().to_vec();
        let is_behind = source.files.len() != target.files.len() || source.files.last() != target.files.last();
        let files: Vec<u64> = match is_behind && !self.chaos.files_stalled {
            true => source.carried().filter(|file| !target.files.contains(file)).collect(),
            false => Vec::new(),
        };
        let is_stalled = self.is_stalled();
        let Some(target) = self.stores[1 - index].get_mut(id) else { return };
        if !(is_stalled && index == 0) {
            target.log.extend(rows);
        }
        target.files.extend(files);
    }

    /// A step is entered for the first time: trouble may begin.
    pub(super) fn reach(&mut self, step: &str) {
        if self.chaos.stall_at == Some(step) {
            self.chaos.stalled = true;
            self.chaos.stall_at = None;
        }
        if let Some((_, region)) = self.chaos.lose_at.take_if(|(at, _)| *at == step) {
            self.push(self.now, Due::Outage { region, begins: true });
        }
    }

    /// A compute as performer.
    pub(super) fn compute_command(&mut self, index: usize, call: CallId, life: u32, command: &compute::Command) {
        let who = Who::Compute(index);
        let is_served = self.holds(who, command.environment.as_str()) == Some(command.epoch);
        let fails = matches!(command.action, compute::Action::Provide(_)) && self.roll(self.chaos.failing);
        let held = self.held.get(&who).and_then(|held| held.get(&command.environment)).map(|(epoch, _)| *epoch);
        let state = self.computes[index].entry(command.environment.clone()).or_default();
        let mut takes = 0;
        let result = if held.is_some_and(|held| held > command.epoch) {
            Err(outdated("a later epoch has been seen"))
        } else {
            match &command.action {
                compute::Action::Stop { .. } | compute::Action::Resume if command.operation < state.order => {
                    Err(outdated("a later operation has spoken"))
                }
                compute::Action::Stop { .. } => {
                    state.order = command.operation;
                    state.stopped = state.stopped.max(Some(command.epoch));
                    Ok(Answer::Sealed { account: state.account, cut: 0 })
                }
                compute::Action::Resume => {
                    state.order = command.operation;
                    state.stopped = None;
                    Ok(Answer::Done)
                }
                compute::Action::Provide(_)
                    if state.word.as_ref().is_some_and(|(epoch, operation, _)| {
                        (*epoch, *operation) > (command.epoch, command.operation)
                    }) =>
                {
                    Err(outdated("a later word on the features stands"))
                }
                compute::Action::Provide(_) if fails || !is_served => {
                    Err(CallFailure { outdated: false, why: "the reports cannot be made".to_owned() })
                }
                compute::Action::Provide(provision) => {
                    takes = 2 * self.chaos.delay_ms;
                    state.word = Some((command.epoch, command.operation, provision.features.clone()));
                    Ok(Answer::Done)
                }
                compute::Action::Forget => {
                    state.word = None;
                    Ok(Answer::Done)
                }
                compute::Action::Renew => {
                    takes = 2 * self.chaos.delay_ms + 1;
                    Ok(Answer::Done)
                }
            }
        };
        if takes > 0 {
            self.look_around(who);
        }
        let message = Box::new(Message::Ended { call, life, result });
        let delay = self.chaos.delay_ms.max(1);
        self.push(self.now + takes + delay, Due::Arrives { from: who, to: Who::Control, message });
    }

    /// What a region's compute offers to a customer who comes by the present route; `None` before it is told.
    pub fn offers(&self, index: usize, name: &str) -> Option<Vec<Feature>> {
        let id: EnvironmentId = name.parse().unwrap();
        let route = self.routes.get(&id)?;
        let (epoch, _, features) = self.computes[index].get(&id)?.word.as_ref()?;
        let offered = features.iter().filter(|status| status.unavailable.is_none());
        (*epoch == route.epoch).then(|| offered.map(|status| status.feature).collect())
    }

    /// A node opens its stores under a new epoch. A switch without loss must have lost nothing.
    pub(super) fn promote(&mut self, index: usize, id: &EnvironmentId, epoch: Epoch) -> Answer {
        let is_clean = (self.journal.iter().rev())
            .find_map(|record| match record {
                Record::Switched { environment, clean, .. } if environment == id => Some(*clean),
                _ => None,
            })
            .unwrap_or(false);
        let stores = self.stores[index].entry(id.clone()).or_default();
        if let Some((_, fork)) = stores.promoted.filter(|(promoted, _)| *promoted == epoch) {
            return Answer::Promoted { timeline: fork.timeline, fork_lsn: stores.lsn };
        }
        stores.sql = Some(SqlRole::Primary);
        stores.timeline += 1;
        let fork = Fork { timeline: stores.timeline, lsn: stores.log.len() as u64 };
        stores.promoted = Some((epoch, fork));
        let rows: BTreeSet<u64> = stores.log.iter().copied().collect();
        let customer = self.customers.entry(id.clone()).or_default();
        let missing: Vec<u64> = customer
            .acked
            .keys()
            .copied()
            .filter(|write| !rows.contains(write) || !stores.files.contains(write))
            .collect();
        let loss_ms = missing.iter().map(|write| customer.last_ack_ms - customer.acked[write]).max().unwrap_or(0);
        customer.longest_loss_ms = customer.longest_loss_ms.max(loss_ms);
        assert!(
            !is_clean || missing.is_empty(),
            "a switch of {id} to epoch {epoch} without loss has lost {missing:?} (seed {})",
            self.chaos.seed
        );
        customer.lost += missing.len();
        customer.acked.retain(|write, _| !missing.contains(write));
        let fork_lsn = stores.lsn;
        self.check_loss(id, loss_ms);
        Answer::Promoted { timeline: fork.timeline, fork_lsn }
    }

    /// A node as performer of everything that concerns what is stored.
    pub(super) fn store_command(&mut self, index: usize, command: &Command) -> Result<Answer, CallFailure> {
        let id = &command.environment;
        if matches!(command.action, Action::HandOver | Action::AwaitFiles { .. } | Action::AwaitLog { .. }) {
            (0..2).for_each(|index| self.stream(index, id));
        }
        let other_alive = self.actors[&Who::Node(1 - index)].alive;
        let other = self.stores[1 - index].get(id).cloned().unwrap_or_default();
        let is_stalled = self.is_stalled();
        let source = match &command.action {
            Action::TakeCopy { from, from_epoch, .. } => self.source_of_copy(index, from, *from_epoch),
            _ => None,
        };
        if matches!(command.action, Action::Delete(_)) {
            self.delete(index, command);
            return Ok(Answer::Done);
        }
        let stores = self.stores[index].entry(id.clone()).or_default();
        let is_old = command.operation < stores.order;
        let stopped = self.computes[index].get(id).and_then(|state| state.stopped);
        let is_quiet = stopped.is_some_and(|stopped| stopped >= command.epoch);
        match &command.action {
            Action::BackUp { backup } => {
                let copy = is_quiet.then(|| (stores.log.clone(), stores.files.clone()));
                stores.backups.entry(*backup).or_insert(copy);
            }
            // Customers have been let in since.
            Action::PutBack { .. } | Action::PutIn { .. } if command.operation <= stores.replaced_by => {}
            Action::PutBack { backup } => {
                assert!(is_quiet, "{id} is restored while customers are let in");
                let copy = stores.backups.get(backup).cloned().expect("control knows of no back-up that was not made");
                let (log, files) = copy.expect("a back-up that counts is of one moment");
                if let Some(customer) = self.customers.get_mut(id) {
                    customer.acked.retain(|write, _| log.contains(write));
                }
                (stores.log, stores.files, stores.replaced_by) = (log, files, command.operation);
            }
            Action::TakeCopy { copy, .. } if *copy <= stores.replaced_by || stores.copies.contains_key(copy) => {}
            Action::TakeCopy { copy, .. } => match source {
                Some(source) => drop(stores.copies.insert(*copy, source)),
                None => return Err(outdated("what is copied is not served here under that epoch")),
            },
            Action::PutIn { copy } => {
                assert!(is_quiet, "a copy is put into {id} while customers are let in");
                let ((log, files), acked) = stores.copies.remove(copy).expect("a copy is put in once it was taken");
                self.customers.entry(id.clone()).or_default().acked = acked;
                (stores.log, stores.files, stores.replaced_by) = (log, files, command.operation);
            }
            Action::CreatePrimary(spec) => {
                stores.sql = Some(SqlRole::Primary);
                stores.timeline = 1;
                stores.carried_from = spec.kind.has_replica().then_some(0);
            }
            Action::CreateReplica(spec) => {
                assert!(spec.kind.has_replica(), "a replica is made of what is promised none");
                stores.take_turn(command.operation)?;
                match stores.sql {
                    Some(SqlRole::Standby) => {}
                    Some(_) => return Err(outdated("there is another cluster")),
                    None if !other_alive => {
                        return Err(CallFailure { outdated: false, why: "no base to be had".to_owned() });
                    }
                    None => {
                        stores.sql = Some(SqlRole::Standby);
                        stores.timeline = other.timeline;
                        stores.log = other.log;
                        stores.carried_from = Some(0);
                    }
                }
            }
            Action::PrepareReplica(_) => {
                stores.take_turn(command.operation)?;
                let last = stores.files.last().copied().unwrap_or_default();
                stores.carried_from.get_or_insert(last);
            }
            Action::WithdrawReplica(_) => {
                stores.take_turn(command.operation)?;
                stores.carried_from = None;
            }
            Action::DropReplica(_) => {
                stores.take_turn(command.operation)?;
                if stores.sql.is_some_and(|sql| sql != SqlRole::Standby) {
                    return Err(outdated("what is here is a primary"));
                }
                let (seen, replica_by) = (stores.seen, stores.replica_by);
                *stores = Stores { seen, replica_by, ..Stores::default() };
            }
            Action::ReplicateFiles(_) if command.operation < stores.replica_by => {
                return Err(outdated("a later operation has unmade the replica"));
            }
            Action::Fence | Action::HandOver | Action::TakeBack if is_old => {
                return Err(outdated("a later operation has spoken"));
            }
            Action::Fence => {
                stores.order = command.operation;
                stores.quarantine();
            }
            Action::PreflightPrimary => {
                let follows = other_alive && other.sql == Some(SqlRole::Standby) && !is_stalled;
                let has_files = stores.files.difference(&other.files).count() < 10;
                if stores.sql != Some(SqlRole::Primary) || !follows || !has_files {
                    return unmet("the standby does not stream, or files are missing");
                }
            }
            Action::PreflightStandby if stores.sql != Some(SqlRole::Standby) => return unmet("no standby"),
            Action::HandOver => {
                stores.order = command.operation;
                stores.sql = Some(SqlRole::Down);
                let (timeline, lsn) = (stores.timeline, stores.log.len() as u64);
                return Ok(Answer::HandedOver(LogEnd { system_id: "7".to_owned(), timeline, lsn }));
            }
            Action::TakeBack => {
                stores.order = command.operation;
                stores.sql = Some(SqlRole::Primary);
            }
            Action::AwaitLog { end, .. } if (stores.log.len() as u64) < end.lsn => {
                return unmet("the standby has not replayed to the end");
            }
            Action::AwaitFiles { .. } if !other_alive || !stores.files.is_subset(&other.files) => {
                if !other_alive || self.chaos.files_stalled {
                    return unmet("files have not arrived");
                }
                // Driven by the node, whatever the replication does.
                let files: Vec<u64> = stores.carried().collect();
                self.stores[1 - index].entry(id.clone()).or_default().files.extend(files);
            }
            Action::ReconcileReferences => {
                let lacking = stores.log.iter().filter(|write| !stores.files.contains(write));
                let reference =
                    |write: &u64| FileReference { object_key: write.to_string(), version_id: "1".to_owned() };
                return Ok(Answer::Marked { references: lacking.map(reference).collect(), orphans: 0 });
            }
            // Sent twice and late, it must not stop what has rejoined since.
            Action::Secure { .. } if stores.secured.is_some_and(|(epoch, _)| epoch == command.epoch) => {
                let rows = stores.secured.map_or(0, |(_, rows)| rows);
                return Ok(Answer::Secured { diverged: rows > 0, rows, objects: 0 });
            }
            Action::Secure { fork } => {
                stores.sql = Some(SqlRole::Quarantined);
                let rows = (stores.log.len() as u64).saturating_sub(fork.lsn.min(other.log.len() as u64));
                stores.secured = Some((command.epoch, rows));
                return Ok(Answer::Secured { diverged: rows > 0, rows, objects: 0 });
            }
            Action::Rejoin { .. } => {
                assert_eq!(
                    stores.secured.map(|(epoch, _)| epoch),
                    Some(command.epoch),
                    "rejoined before it was secured"
                );
                if !other_alive {
                    return Err(CallFailure { outdated: false, why: "the live side does not answer".to_owned() });
                }
                stores.log = other.log;
                stores.timeline = other.timeline;
                stores.sql = Some(SqlRole::Standby);
                return Ok(Answer::Rejoined(Rejoin::Rewound));
            }
            Action::ReturnFiles { clean } => {
                let alone = stores.files.difference(&other.files).copied().collect::<Vec<_>>();
                let reference =
                    |write: &u64| FileReference { object_key: write.to_string(), version_id: "1".to_owned() };
                let gaps = if *clean { alone.iter().map(reference).collect() } else { Vec::new() };
                let removed = alone.len() as u64;
                stores.files = other.files;
                return Ok(Answer::FilesReturned { removed, copied: 0, gaps });
            }
            Action::RepairFiles { references } => {
                let wanted = references.iter().filter_map(|reference| reference.object_key.parse().ok());
                stores.files.extend(wanted.filter(|write: &u64| other.files.contains(write)));
            }
            _ => {}
        }
        Ok(Answer::Done)
    }

    /// A node removes everything. Nobody may be answered any more then.
    fn delete(&mut self, index: usize, command: &Command) {
        let id = &command.environment;
        for who in [Who::Compute(0), Who::Compute(1)] {
            let Some((epoch, until)) = self.held.get(&who).and_then(|held| held.get(id)) else { continue };
            let is_served = self.clock(who) < until + self.settings.timers.cut_ms;
            assert!(
                !is_served || self.is_confirmed_shut(who, id, *epoch),
                "at {} {id} is removed while {who:?} serves it (seed {})",
                self.now,
                self.chaos.seed
            );
        }
        if let Some(customer) = self.customers.get_mut(id) {
            customer.acked.clear();
            customer.deleted = customer.next;
        }
        let stores = self.stores[index].entry(id.clone()).or_default();
        let (replica_by, replaced_by) = (command.operation, command.operation);
        *stores = Stores { seen: stores.seen, stopped: stores.stopped, replica_by, replaced_by, ..Stores::default() };
    }

    /// Whether nothing is left of an environment: nowhere stored, led to by nobody, offered by nobody.
    pub fn is_gone(&self, name: &str) -> Result<(), String> {
        let id: EnvironmentId = name.parse().unwrap();
        if self.core.as_ref().is_none_or(|core| core.state().environments.contains_key(&id)) {
            return Err("control has it still".to_owned());
        }
        if self.routes.get(&id).is_none_or(|route| !route.withdrawn) {
            return Err("the edge leads there".to_owned());
        }
        for index in 0..2 {
            let stores = self.stores[index].get(&id).cloned().unwrap_or_default();
            let is_empty = stores.log.is_empty() && stores.files.is_empty();
            let keeps = !stores.backups.is_empty() || !stores.copies.is_empty();
            if stores.sql.is_some() || !is_empty || keeps || stores.allowed.is_some() {
                return Err(format!("region {index} has something of it: {:?}", stores.sql));
            }
            if self.computes[index].get(&id).is_some_and(|state| state.word.is_some()) {
                return Err(format!("region {index} offers something of it"));
            }
        }
        Ok(())
    }

    /// Whether an environment has nothing of one that had its name before.
    pub fn has_begun_empty(&self, name: &str) -> Result<(), String> {
        let id: EnvironmentId = name.parse().unwrap();
        let deleted = self.customers.get(&id).map_or(0, |customer| customer.deleted);
        let all = self.stores.iter().filter_map(|stores| stores.get(&id));
        let old = all.flat_map(|stores| stores.log.iter().chain(&stores.files)).find(|write| **write <= deleted);
        match old {
            Some(write) => Err(format!("write {write} is of the environment that was deleted")),
            None if deleted == 0 => Err("nothing was deleted".to_owned()),
            None => Ok(()),
        }
    }

    /// Rows, files and what customers were told of an environment that is served here under this epoch.
    fn source_of_copy(&self, index: usize, from: &EnvironmentId, epoch: Epoch) -> Option<(Copied, BTreeMap<u64, u64>)> {
        let source = self.stores[index].get(from)?;
        let is_served = source.sql == Some(SqlRole::Primary) && source.seen == epoch;
        let acked = self.customers.get(from).map(|customer| customer.acked.clone()).unwrap_or_default();
        is_served.then(|| ((source.log.clone(), source.files.clone()), acked))
    }

    /// Whether an environment holds nothing but what was copied from another one, and what was written to it since.
    pub fn is_copy_of(&self, name: &str, of: &str) -> Result<(), String> {
        let [own, other] =
            [name, of].map(|name| self.customers.get(&environment(name)).map(|one| one.next / 1_000_000));
        let stores = self.stores[0].get(&environment(name)).ok_or("no stores")?;
        let writer = |write: &u64| Some(write / 1_000_000);
        // Copied rows come first.
        let since = stores.log.iter().position(|write| writer(write) != other).unwrap_or(stores.log.len());
        match since > 0 && stores.log[since..].iter().all(|write| writer(write) == own) {
            true => Ok(()),
            false => Err(format!("{since} rows of {of} in {name}, and what was there before, or other ones")),
        }
    }

    /// Whether everything acknowledged and not lost by an unplanned switch is where the environment is served, the other
    /// region follows, and a customer was served just now.
    pub fn is_whole(&self, name: &str) -> Result<(), String> {
        let id: EnvironmentId = name.parse().unwrap();
        let Some(route) = self.routes.get(&id) else { return Err("no route".to_owned()) };
        let index = usize::from(route.region.as_str() == "west");
        let (Some(active), Some(other)) = (self.stores[index].get(&id), self.stores[1 - index].get(&id)) else {
            return Err("no stores".to_owned());
        };
        let Some(customer) = self.customers.get(&id) else { return Err("no customer was served".to_owned()) };
        if active.sql != Some(SqlRole::Primary) {
            return Err(format!("the active side is {:?}", active.sql));
        }
        if other.sql != Some(SqlRole::Standby) || active.log.len().abs_diff(other.log.len()) > 5 {
            return Err(format!("the other side is {:?} and does not follow", other.sql));
        }
        if self.now - customer.last_ack_ms > 1_000 {
            return Err("nobody is served".to_owned());
        }
        let rows: BTreeSet<u64> = active.log.iter().copied().collect();
        if let Some(write) = customer.acked.keys().find(|write| !rows.contains(write) || !active.files.contains(write))
        {
            return Err(format!("write {write} was acknowledged and is gone"));
        }
        let mut old = customer.acked.iter().filter(|(_, at)| **at + 1_000 < self.now);
        match old.find(|(write, _)| !other.files.contains(write)) {
            Some((write, _)) => Err(format!("the file of write {write} is not in the other region")),
            None => Ok(()),
        }
    }

    /// Whether an environment without a replica is served just now, with everything acknowledged, and nothing of it is in the
    /// other region or on its way there.
    pub fn is_alone(&self, name: &str) -> Result<(), String> {
        let id: EnvironmentId = name.parse().unwrap();
        let (Some(active), Some(customer)) = (self.stores[0].get(&id), self.customers.get(&id)) else {
            return Err("no stores, or no customer was served".to_owned());
        };
        let other = self.stores[1].get(&id).cloned().unwrap_or_default();
        if other.sql.is_some() || !other.log.is_empty() || !other.files.is_empty() || active.carried_from.is_some() {
            return Err(format!("there is something of a replica: {:?}", other.sql));
        }
        if self.now - customer.last_ack_ms > 1_000 {
            return Err("nobody is served".to_owned());
        }
        let rows: BTreeSet<u64> = active.log.iter().copied().collect();
        match customer.acked.keys().find(|write| !rows.contains(write) || !active.files.contains(write)) {
            Some(write) => Err(format!("write {write} was acknowledged and is gone")),
            None => Ok(()),
        }
    }

    /// Writes lost by unplanned switches.
    pub fn lost(&self, name: &str) -> usize {
        self.customers.get(&name.parse::<EnvironmentId>().unwrap()).map_or(0, |customer| customer.lost)
    }
}
