//! The protocols, each played with whoever is to be killed at whichever write to control's journal. After each: nothing half
//! done, nothing lost that must not be, everything served and protected.

use std::collections::BTreeMap;

use super::{
    chaos::{Chaos, Kill},
    guarding::expose,
    questions::{convert, copy, delete, keep, order, ticket},
    world::{EAST, WEST, World, environment},
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        control::{Scope, SwitchKind},
        environment::{EnvironmentKind, EnvironmentPhase},
        guard::{Guard, GuardLevel, GuardMode},
        reports::Feature,
        role::Policy,
    },
    platform::core::{Exposed, OperationKind, Outcome, Record, Refused},
};

/// The longest that anything may take to be put in order, in the world's milliseconds.
const SETTLED_MS_MAX: u64 = 300_000;

/// What is played from its first order until everything is in order again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Deploy,
    /// Of an environment that has no replica.
    DeployAlone,
    /// It is converted, and switched without loss.
    Converted,
    /// The other region dies while its replica is made.
    NotConverted,
    Unplanned,
    Planned,
    /// Of two environments, one at a time.
    PlannedTwo,
    /// After an unplanned failover; it brings the replica back first.
    Failback,
    /// The receiver stalls once everything has passed.
    Aborted,
    /// The old side dies once its writes are stopped.
    OldSideDies,
    /// Under an enforced bound the receiver stalls until writes are withheld; then the region is lost.
    Guarded,
    /// The same, but an operator grants exposure, and ends it.
    Exposed,
    /// Of an environment that has no replica: what was written after the back-up is given up with the restore.
    BackedUp,
    Restored,
    /// Of production, into a sandbox.
    Copied,
    /// The region dies while production is read; production is failed over.
    CopyOvertaken,
    /// Of production; then another one is deployed under its name.
    Deleted,
    /// Of an environment that has no replica.
    DeletedAlone,
    /// The other region dies over it, and comes back.
    DeletedWhileLost,
    /// The region that serves dies as soon as it is ordered, and comes back.
    DeletedWithItsRegion,
    /// Features: gone with the failover, one of them restored by a support ticket, all back with the failback.
    Ticket,
}

pub(super) const ALL: [Protocol; 21] = [
    Protocol::Deploy,
    Protocol::DeployAlone,
    Protocol::Converted,
    Protocol::NotConverted,
    Protocol::Unplanned,
    Protocol::Planned,
    Protocol::PlannedTwo,
    Protocol::Failback,
    Protocol::Aborted,
    Protocol::OldSideDies,
    Protocol::Guarded,
    Protocol::Exposed,
    Protocol::BackedUp,
    Protocol::Restored,
    Protocol::Copied,
    Protocol::CopyOvertaken,
    Protocol::Deleted,
    Protocol::DeletedAlone,
    Protocol::DeletedWhileLost,
    Protocol::DeletedWithItsRegion,
    Protocol::Ticket,
];

impl Protocol {
    fn names(self) -> &'static [&'static str] {
        if self == Self::PlannedTwo { &["books", "sales"] } else { &["sales"] }
    }

    fn kind(self) -> EnvironmentKind {
        match self {
            Self::DeployAlone
            | Self::Converted
            | Self::NotConverted
            | Self::BackedUp
            | Self::Restored
            | Self::DeletedAlone => EnvironmentKind::DataverseTeams,
            Self::Ticket => EnvironmentKind::FinopsProduction,
            _ => EnvironmentKind::DataverseProduction,
        }
    }

    /// What it begins with, whose crashes are tried once.
    pub(super) fn deployment(self) -> Self {
        if self.kind().has_replica() { Self::Deploy } else { Self::DeployAlone }
    }

    fn guard(self) -> Guard {
        match self {
            // A replica that is new to a guard counts as one once it has caught up.
            Self::Guarded | Self::Exposed | Self::Converted => Guard { mode: GuardMode::Enforce, bound_ms: 8_000 },
            _ => Guard::DOCUMENTED,
        }
    }

    /// Plays it with these killed.
    pub(super) fn play(self, kills: BTreeMap<usize, Kill>) -> World {
        let stall_at = (self == Self::Aborted).then_some("checkpointing");
        let lose_at = match self {
            Self::OldSideDies => Some(("handing-over", EAST)),
            Self::NotConverted => Some(("creating-replica", WEST)),
            Self::CopyOvertaken => Some(("copying", EAST)),
            Self::DeletedWhileLost => Some(("deleting", WEST)),
            Self::DeletedWithItsRegion => Some(("closing", EAST)),
            _ => None,
        };
        let chaos = Chaos { kills, delay_ms: 5, drift: true, stall_at, lose_at, ..Chaos::default() };
        // A failback brings the replica back by itself.
        let automatic_return = self != Self::Failback;
        let mut world =
            World::new(chaos, Policy { automatic_return, at_once: 1, guard: self.guard(), ..Policy::default() });
        world.deploy_as(self.kind(), self.names());
        if self.has_sandbox() {
            world.deploy_as(EnvironmentKind::DataverseSandbox, &["test"]);
        }
        match self {
            Self::Deploy | Self::DeployAlone => {}
            Self::Converted => {
                world.insist_on_conversion();
                world.until("converted", |world| world.has_told("environment.converted"));
                world.insist(SwitchKind::Planned, self.names());
                world.until("ended", |world| world.has_ended(OperationKind::PlannedFailover));
            }
            Self::NotConverted => {
                world.insist_on_conversion();
                world.until("being undone", |world| world.has_entered("withdrawing"));
                world.return_region(WEST);
                world.until("undone", |world| world.has_told("environment.not-converted"));
            }
            Self::Unplanned => {
                world.lose(EAST);
                world.until("switched", |world| world.has_switched("sales"));
                world.return_region(EAST);
            }
            Self::Failback => {
                world.lose(EAST);
                world.until("switched", |world| world.has_switched("sales"));
                world.return_region(EAST);
                world.insist(SwitchKind::Failback, self.names());
                world.until("ended", |world| world.has_ended(OperationKind::Failback));
                // The way back is proven; the last replica comes back by itself again.
                world.allow_returns();
            }
            Self::Planned | Self::PlannedTwo => {
                world.insist(SwitchKind::Planned, self.names());
                world.until("ended", |world| world.has_ended(OperationKind::PlannedFailover));
            }
            Self::Aborted => {
                world.insist(SwitchKind::Planned, self.names());
                world.until("ended", |world| world.has_ended(OperationKind::PlannedFailover));
                world.chaos.stalled = false;
            }
            Self::OldSideDies => {
                world.insist(SwitchKind::Planned, self.names());
                world.until("switched", |world| world.has_switched("sales"));
                world.return_region(EAST);
            }
            Self::Guarded => {
                world.chaos.stalled = true;
                world.until("withheld", |world| world.has_told("guard.withheld"));
                world.lose(EAST);
                world.until("switched", |world| world.has_switched("sales"));
                world.chaos.stalled = false;
                world.return_region(EAST);
            }
            Self::Exposed => {
                world.chaos.stalled = true;
                world.until("withheld", |world| world.has_told("guard.withheld"));
                world.insist_on_exposure(true);
                let now = world.now;
                world.until("served", |world| world.last_ack_ms("sales") > now);
                world.chaos.stalled = false;
                world.insist_on_exposure(false);
                world.until("guarded again", |world| world.has_told("guard.resumed"));
            }
            Self::BackedUp => {
                world.insist_on_keeping(false);
                world.until("backed up", |world| world.has_told("environment.backed-up"));
            }
            Self::Restored => {
                world.insist_on_keeping(false);
                world.until("backed up", |world| world.has_told("environment.backed-up"));
                let now = world.now;
                world.until("served", |world| world.last_ack_ms("sales") > now);
                world.insist_on_keeping(true);
                world.until("restored", |world| world.has_told("environment.restored"));
            }
            Self::Copied => {
                world.until("served", |world| world.last_ack_ms("test") > 0);
                world.insist_on_copy();
                world.until("copied", |world| world.has_ended(OperationKind::Copy));
            }
            Self::CopyOvertaken => {
                world.until("served", |world| world.last_ack_ms("test") > 0);
                world.insist_on_copy();
                world.until("switched", |world| world.has_switched("sales"));
                world.return_region(EAST);
            }
            Self::Deleted => {
                world.insist_on_deletion();
                world.until("deleted", |world| world.has_told("environment.deleted"));
                world.until("gone", |world| world.is_gone("sales").is_ok());
                world.deploy_as(self.kind(), self.names());
            }
            Self::DeletedAlone => {
                world.insist_on_deletion();
                world.until("deleted", |world| world.has_told("environment.deleted"));
            }
            Self::DeletedWhileLost | Self::DeletedWithItsRegion => {
                world.insist_on_deletion();
                world.until("removed where it can be", |world| world.has_entered("deleting"));
                world.run_until(world.now + 20_000, |_| false);
                world.return_region(if self == Self::DeletedWhileLost { WEST } else { EAST });
                world.until("deleted", |world| world.has_told("environment.deleted"));
            }
            Self::Ticket => {
                world.until("offered", |world| world.offers(EAST, "sales") == Some(Feature::ALL.to_vec()));
                world.lose(EAST);
                world.until("switched", |world| world.has_switched("sales"));
                world.until("degraded", |world| world.offers(WEST, "sales") == Some(Vec::new()));
                world.return_region(EAST);
                world.insist_on_ticket();
                world.until("restored", |world| world.has_ended(OperationKind::SupportTicket));
                assert_eq!(world.offers(WEST, "sales"), Some(vec![Feature::FinancialReporting]));
                world.insist(SwitchKind::Failback, self.names());
                world.until("ended", |world| world.has_ended(OperationKind::Failback));
            }
        }
        let is_alone = matches!(self, Self::DeployAlone | Self::NotConverted | Self::BackedUp | Self::Restored);
        world.until("in order", |world| {
            let is_main = match is_alone {
                _ if self.is_deleted() => world.is_gone("sales").is_ok(),
                true => world.is_alone_in_order("sales", self.kind()),
                false => world.is_in_order(self.names()),
            };
            is_main && (!self.has_sandbox() || world.is_alone_in_order("test", EnvironmentKind::DataverseSandbox))
        });
        world
    }

    /// Whether it ends with nothing.
    fn is_deleted(self) -> bool {
        matches!(self, Self::DeletedAlone | Self::DeletedWhileLost | Self::DeletedWithItsRegion)
    }

    /// Whether a sandbox called `test` stands beside.
    fn has_sandbox(self) -> bool {
        matches!(self, Self::Copied | Self::CopyOvertaken)
    }

    /// Panics unless it ended as it must.
    pub(super) fn check(self, world: &World) {
        let (outcomes, switched) = outcomes(&world.journal);
        for ((id, operation, kind), (outcome, has_switched)) in &outcomes {
            let expected = match kind {
                OperationKind::Deploy | OperationKind::Return => continue,
                OperationKind::SupportTicket
                | OperationKind::BackUp
                | OperationKind::Restore
                | OperationKind::Delete => Outcome::Completed,
                OperationKind::Copy if self == Self::Copied => Outcome::Completed,
                OperationKind::Convert if self == Self::Converted => Outcome::Completed,
                _ if *has_switched => Outcome::Completed,
                _ => Outcome::Aborted,
            };
            assert_eq!(*outcome, Some(expected), "{id} in operation {operation} ({kind:?})");
        }
        let lost: usize = self.names().iter().map(|name| world.lost(name)).sum();
        match self {
            Self::Deploy => assert_eq!(switched, 0),
            Self::DeployAlone | Self::NotConverted | Self::BackedUp | Self::Restored => {
                assert_eq!((switched, lost), (0, 0));
            }
            Self::Converted | Self::Planned => assert_eq!((switched, lost), (1, 0)),
            Self::PlannedTwo => assert_eq!((switched, lost), (2, 0)),
            // Where a crash has kept everybody from writing there is nothing that a stalled receiver could lack.
            Self::Aborted if !world.chaos.kills.is_empty() => assert!(switched <= 1 && lost == 0, "{lost} lost"),
            Self::Aborted => assert_eq!((switched, lost), (0, 0)),
            Self::Copied => {
                assert_eq!((switched, lost), (0, 0));
                assert_eq!(world.is_copy_of("test", "sales"), Ok(()));
            }
            Self::Deleted => {
                assert_eq!((switched, lost), (0, 0));
                assert_eq!(world.has_begun_empty("sales"), Ok(()));
                let environment = &world.core.as_ref().unwrap().state().environments[&environment("sales")];
                assert_eq!(environment.epoch, Epoch(3), "one for each life, and one for its end");
            }
            Self::DeletedAlone | Self::DeletedWhileLost | Self::DeletedWithItsRegion => {
                assert_eq!((switched, lost), (0, 0));
            }
            Self::Unplanned | Self::CopyOvertaken => assert_eq!(switched, 1),
            Self::Failback | Self::Ticket => assert_eq!(switched, 2),
            Self::OldSideDies => assert_eq!(switched, 1),
            // How much is lost is checked by the world.
            Self::Guarded => assert!(switched == 1 && lost > 0, "{switched} switched, {lost} lost"),
            Self::Exposed => assert_eq!((switched, lost), (0, 0)),
        }
    }
}

type Outcomes = BTreeMap<(EnvironmentId, u64, OperationKind), (Option<Outcome>, bool)>;

/// How each operation ended for each environment, and whether it switched the register; and how many did.
fn outcomes(journal: &[Record]) -> (Outcomes, usize) {
    let (mut kinds, mut current, mut ends) = (BTreeMap::new(), BTreeMap::new(), Outcomes::new());
    let mut switched = 0;
    for record in journal {
        match record {
            Record::Began { operation, kind: kind @ OperationKind::SupportTicket, environments } => {
                kinds.insert(*operation, *kind);
                ends.extend(environments.iter().map(|id| ((id.clone(), *operation, *kind), (None, false))));
            }
            Record::Began { operation, kind, .. } => drop(kinds.insert(*operation, *kind)),
            Record::Entered { environment, operation, .. } => {
                let key = (environment.clone(), *operation, kinds[operation]);
                current.insert(environment.clone(), key.clone());
                ends.entry(key).or_insert((None, false));
            }
            Record::Switched { environment, .. } => {
                switched += 1;
                ends.get_mut(&current[environment]).unwrap().1 = true;
            }
            Record::Finished { environment, operation, outcome, .. } => {
                ends.get_mut(&(environment.clone(), *operation, kinds[operation])).unwrap().0 = Some(*outcome);
            }
            _ => {}
        }
    }
    (ends, switched)
}

impl World {
    /// Panics unless it comes to that in time.
    pub(super) fn until(&mut self, what: &str, is_enough: impl FnMut(&World) -> bool) {
        let is_reached = self.run_until(self.now + SETTLED_MS_MAX, is_enough);
        let events: Vec<String> = self.events("sales").into_iter().map(|event| event.name).collect();
        assert!(is_reached, "not {what} at {}: {events:?}; {:?}", self.now, self.is_whole("sales"));
    }

    /// Orders until the order is in the journal, as an operator does whose control plane does not answer.
    fn insist(&mut self, kind: SwitchKind, names: &[&str]) {
        let wanted = match kind {
            SwitchKind::Unplanned => OperationKind::UnplannedFailover,
            SwitchKind::Planned => OperationKind::PlannedFailover,
            SwitchKind::Failback => OperationKind::Failback,
        };
        for _ in 0..500 {
            if self.has_begun(wanted) {
                return;
            }
            self.run_until(self.now + 200, |_| false);
            if self.core.is_some() && !self.has_begun(wanted) {
                let ids = names.iter().map(|name| environment(name)).collect();
                // What the answer was, the journal says.
                let _ = order(self, kind, Scope::Environments(ids));
            }
        }
        panic!(
            "the order is not taken: {:?}",
            order(self, kind, Scope::Environments(vec![environment("sales")])).err()
        );
    }

    /// As [`World::insist`], of the conversion of `sales`.
    fn insist_on_conversion(&mut self) {
        self.insist_until(|world| world.has_begun(OperationKind::Convert), |world| convert(world, "sales").err());
    }

    /// As [`World::insist`], of a support ticket for `sales`.
    fn insist_on_ticket(&mut self) {
        self.insist_until(|world| world.has_begun(OperationKind::SupportTicket), |world| ticket(world, "sales").err());
    }

    /// As [`World::insist`], of a back-up of `sales`, or of its restore.
    fn insist_on_keeping(&mut self, restores: bool) {
        let wanted = if restores { OperationKind::Restore } else { OperationKind::BackUp };
        self.insist_until(|world| world.has_begun(wanted), |world| keep(world, "sales", restores).err());
    }

    /// As [`World::insist`], of a copy of `sales` into `test`.
    fn insist_on_copy(&mut self) {
        self.insist_until(|world| world.has_begun(OperationKind::Copy), |world| copy(world, "sales", "test").err());
    }

    /// As [`World::insist`], of the deletion of `sales`.
    fn insist_on_deletion(&mut self) {
        self.insist_until(|world| world.has_begun(OperationKind::Delete), |world| delete(world, "sales").err());
    }

    /// As [`World::insist`], of exposure.
    fn insist_on_exposure(&mut self, granted: bool) {
        let wanted = if granted { Exposed::Granted } else { Exposed::Ending };
        let is_taken = |world: &World| {
            world.journal.iter().any(|record| matches!(record, Record::Exposed { exposed, .. } if *exposed == wanted))
        };
        self.insist_until(is_taken, |world| expose(world, "sales", granted).err());
    }

    fn insist_until(&mut self, is_taken: impl Fn(&World) -> bool, send: impl Fn(&mut World) -> Option<Refused>) {
        for _ in 0..500 {
            if is_taken(self) {
                return;
            }
            if self.core.is_some() {
                // What the answer was, the journal says.
                let _ = send(self);
            }
            self.run_until(self.now + 200, |_| false);
        }
        panic!("the order is not taken: {:?}", send(self));
    }

    fn has_told(&self, name: &str) -> bool {
        self.events("sales").iter().any(|event| event.name == name)
    }

    fn has_entered(&self, wanted: &str) -> bool {
        self.journal.iter().any(|record| matches!(record, Record::Entered { step, .. } if step.name() == wanted))
    }

    fn has_begun(&self, wanted: OperationKind) -> bool {
        self.journal.iter().any(|record| matches!(record, Record::Began { kind, .. } if *kind == wanted))
    }

    fn has_ended(&self, wanted: OperationKind) -> bool {
        let Some(core) = self.core.as_ref() else { return false };
        let mut items = (core.state().operations.values())
            .filter(|operation| operation.kind == wanted)
            .flat_map(|operation| &operation.items);
        items.all(|item| item.outcome.is_some())
    }

    fn has_switched(&self, name: &str) -> bool {
        self.events(name).iter().any(|event| event.name == "failover.completed")
    }

    fn is_alone_in_order(&self, name: &str, kind: EnvironmentKind) -> bool {
        let Some(core) = self.core.as_ref() else { return false };
        let environment = &core.state().environments[&environment(name)];
        environment.phase == EnvironmentPhase::Unprotected
            && environment.given.kind == kind
            && environment.task.is_none()
            && environment.granting
            && !environment.peer_granting
            && self.is_alone(name).is_ok()
    }

    /// Served, protected and granted by both, nothing under way, both sides whole.
    pub(super) fn is_in_order(&self, names: &[&str]) -> bool {
        let Some(core) = self.core.as_ref() else { return false };
        names.iter().all(|name| {
            let environment = &core.state().environments[&environment(name)];
            environment.phase == EnvironmentPhase::Protected
                && environment.task.is_none()
                && environment.halted_ms.is_none()
                && environment.granting
                && environment.peer_granting
                && environment.exposed == Exposed::No
                && environment.level == GuardLevel::Clear
                && environment.is_provided()
                && self.offers_at_home(name)
                && self.is_whole(name).is_ok()
        })
    }
}

impl World {
    /// Whether everything is offered to customers of an environment that is at home.
    fn offers_at_home(&self, name: &str) -> bool {
        let environment = &self.core.as_ref().unwrap().state().environments[&environment(name)];
        let (active, home) = (environment.active.as_str(), environment.given.home.as_str());
        let offered = self.offers(usize::from(active == "west"), name).unwrap_or_default();
        active != home || offered == environment.given.kind.features()
    }
}
