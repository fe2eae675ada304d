//! What the journal holds: one JSON line a record, folded in order.

use serde::{Deserialize, Serialize};

use crate::api::{
    EnvironmentId, Epoch, Region, Zone,
    control::{FileReference, NoticeKind, PlatformEvent, Tenant},
    environment::EnvironmentKind,
    guard::{GuardLevel, Limits},
    node::{Fork, LogEnd},
    permit::Credentials,
};

/// A durable change. It has no `Debug`: a new environment carries its credentials.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// A tenant's licences.
    Tenant {
        /// Its name.
        name: String,
        /// What it may deploy.
        tenant: Tenant,
    },
    /// An environment exists from now on, active in its home, at [`Epoch::FIRST`] or after the last epoch of one that had its name.
    Created(Box<NewEnvironment>),
    /// It is of another kind from now on.
    Converted {
        /// The environment.
        environment: EnvironmentId,
        /// The kind.
        kind: EnvironmentKind,
    },
    /// An operation begins.
    Began {
        /// Its number.
        operation: u64,
        /// What it does.
        kind: OperationKind,
        /// What it covers.
        environments: Vec<EnvironmentId>,
    },
    /// An environment enters a step.
    Entered {
        /// The environment.
        environment: EnvironmentId,
        /// For which operation.
        operation: u64,
        /// The step.
        step: Step,
    },
    /// Control's own granting.
    Granting {
        /// The environment.
        environment: EnvironmentId,
        /// Whether it grants.
        allowed: bool,
    },
    /// The other region's node's granting, as far as known: `false` from before it is asked to stop.
    PeerGranting {
        /// The environment.
        environment: EnvironmentId,
        /// Whether it has confirmed that it grants.
        allowed: bool,
        /// By which limits it guards, if it grants.
        #[serde(default)]
        guard: Option<Limits>,
    },
    /// How far the data-loss guard has gone.
    Guard {
        /// The environment.
        environment: EnvironmentId,
        /// The level from now on.
        level: GuardLevel,
    },
    /// An operator grants exposure, ends it, or it is over.
    Exposed {
        /// The environment.
        environment: EnvironmentId,
        /// What holds from now on.
        exposed: Exposed,
    },
    /// Compare-and-swap of the epoch register: changes nothing unless the register holds `from`.
    Switched {
        /// The environment.
        environment: EnvironmentId,
        /// The epoch expected.
        from: Epoch,
        /// The epoch set.
        to: Epoch,
        /// The region active from now on.
        active: Region,
        /// Every acknowledged write had arrived: a planned switch.
        #[serde(default)]
        clean: bool,
        /// The zone that takes over within the region that was active before; `None`: the other region does.
        #[serde(default)]
        zone: Option<Zone>,
    },
    /// Compare-and-swap of the epoch register for the last time: under the new epoch nobody serves the environment, and none of
    /// an older one may.
    Retired {
        /// The environment.
        environment: EnvironmentId,
        /// The epoch expected.
        from: Epoch,
        /// The epoch set.
        to: Epoch,
    },
    /// Whose standby has all that is acknowledged from now on; `None`: nobody's may be taken to have it.
    Synchronous {
        /// The environment.
        environment: EnvironmentId,
        /// The zone of the active region.
        zone: Option<Zone>,
    },
    /// Commands for the environment carry this number from now on, so that none sent before can undo one sent after.
    Ordered {
        /// The environment.
        environment: EnvironmentId,
        /// The number, of the same sequence as operations.
        order: u64,
    },
    /// The active side is told to stop (before it is told), or runs again.
    Halted {
        /// The environment.
        environment: EnvironmentId,
        /// When, in milliseconds since the control plane's first start; `None`: it runs again.
        since_ms: Option<u64>,
    },
    /// A planned switch was undone and is tried once more within its operation.
    Retried {
        /// The environment.
        environment: EnvironmentId,
    },
    /// The new side has been promoted.
    Promoted {
        /// The environment.
        environment: EnvironmentId,
        /// Where it forked from the old side.
        fork: Fork,
    },
    /// What existed on the returning side alone is kept there.
    Salvaged {
        /// The environment.
        environment: EnvironmentId,
        /// The returning region.
        region: Region,
        /// Rows.
        rows: u64,
        /// Object versions and delete markers.
        objects: u64,
    },
    /// Both stores follow the active region again.
    Protected {
        /// The environment.
        environment: EnvironmentId,
    },
    /// A return goes on as a part of another operation.
    TakenOver {
        /// The environment.
        environment: EnvironmentId,
        /// The return.
        operation: u64,
        /// The operation that goes on with it.
        by: u64,
    },
    /// References without an object, found after a switch.
    Marked {
        /// The environment.
        environment: EnvironmentId,
        /// All of them.
        references: Vec<FileReference>,
    },
    /// The serving compute has taken the word on the environment's features.
    Provided {
        /// The environment.
        environment: EnvironmentId,
        /// The epoch that it holds for.
        epoch: Epoch,
        /// The operation that it follows from.
        order: u64,
    },
    /// An operation has ended for an environment.
    Finished {
        /// The environment.
        environment: EnvironmentId,
        /// The operation.
        operation: u64,
        /// How.
        outcome: Outcome,
        /// Why, unless completed.
        why: Option<String>,
    },
    /// What is thought of a region.
    Region {
        /// The region.
        region: Region,
        /// What.
        status: RegionStatus,
    },
    /// Something the platform says has happened.
    Event(PlatformEvent),
    /// A notice for the outbox.
    Notice(NewNotice),
}

/// An environment as it is ordered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEnvironment {
    /// Its name.
    pub id: EnvironmentId,
    /// Its kind.
    pub kind: EnvironmentKind,
    /// Its owner.
    pub tenant: String,
    /// Its home region.
    pub home: Region,
    /// The slot of ports that it uses in every site.
    pub slot: u16,
    /// Database name.
    pub database: String,
    /// Bucket name.
    pub bucket: String,
    /// Who may do what.
    pub credentials: Credentials,
}

/// A notice before any delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNotice {
    /// Its number.
    pub id: u64,
    /// The operation that it announces; 0 if none.
    pub operation: u64,
    /// The environment.
    pub environment: EnvironmentId,
    /// What is announced.
    pub kind: NoticeKind,
    /// The sentence a person reads.
    pub text: String,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Makes an environment.
    Deploy,
    /// Makes a production environment of one that is none.
    Convert,
    /// Copies an environment that has no replica.
    BackUp,
    /// Puts a back-up in the place of what an environment holds.
    Restore,
    /// Puts a copy of a production environment in the place of what a sandbox holds.
    Copy,
    /// Removes an environment from both regions.
    Delete,
    /// Restores, of an environment that is served away from home, what can be restored there.
    SupportTicket,
    /// Switches environments to the other region, giving up the old side.
    UnplannedFailover,
    /// Moves environments to another zone of their region, when the one that they are in is lost.
    ZoneFailover,
    /// Switches environments from their home to the other region without loss.
    PlannedFailover,
    /// Switches environments to their home without loss; what has no replica gets one first.
    Failback,
    /// Makes the side that was switched away from follow the live one.
    Return,
}

impl OperationKind {
    /// The kind's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Convert => "convert",
            Self::BackUp => "back-up",
            Self::Restore => "restore",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::SupportTicket => "support-ticket",
            Self::UnplannedFailover => "failover",
            Self::ZoneFailover => "zone-failover",
            Self::PlannedFailover => "planned-failover",
            Self::Failback => "failback",
            Self::Return => "return",
        }
    }

    /// Whether it gives up the old side without its consent.
    pub fn is_forced(self) -> bool {
        matches!(self, Self::UnplannedFailover | Self::ZoneFailover)
    }

    /// What its platform events are called by.
    pub fn event(self, what: &str) -> String {
        let of = if self == Self::ZoneFailover { "zone" } else { "failover" };
        format!("{of}.{what}")
    }

    /// Whether it switches with both sides online.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::PlannedFailover | Self::Failback)
    }
}

/// The steps of all operations. Each may be entered again without harm, and holds what its calls need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Deploy: stores in the home region.
    CreatingPrimary,
    /// Convert: the serving side gets what a replica needs of it.
    PreparingReplica,
    /// Deploy and convert: stores in the other region, and the files' replication.
    CreatingReplica,
    /// Deploy: the other region's node may grant.
    AllowingGrants,
    /// Planned: both sides are looked at.
    Preflight,
    /// Planned: until every environment of the operation has passed, and it is this one's turn.
    Waiting,
    /// Switches: customers are told.
    Notifying {
        /// The notice.
        notice: u64,
    },
    /// Planned: both sides write down what they hold, clients still served.
    Checkpointing,
    /// Planned: the compute takes nothing new and ends what is under way.
    Draining,
    /// Planned: the old side's Postgres is stopped cleanly, its files arrive, and nobody grants any more.
    HandingOver {
        /// The last number of the running account.
        sealed: u64,
    },
    /// Planned: the other side replays to the end of the log.
    CatchingUp {
        /// The end.
        end: LogEnd,
    },
    /// Unplanned: both grantors stop.
    StoppingGrants,
    /// Unplanned: until no permit can be alive.
    Fencing,
    /// Unplanned, before the switch of the register: the grantors may grant again to the old side.
    Undoing {
        /// Why the failover is given up.
        why: String,
    },
    /// Planned, before the switch of the register: the old side serves again.
    Restoring {
        /// Why the switch is given up.
        why: String,
    },
    /// Switches, after the switch of the register: the new side's stores open.
    Promoting,
    /// Unplanned: rows without an object are marked.
    Reconciling,
    /// Deploy and switches: the edge routes, and the active region's compute holds a permit.
    Opening,
    /// Return after a zone's failover: the other region's Postgres follows the zone that has taken over, and files replicate by
    /// its way.
    Following,
    /// Return: what the returning side holds is made safe before anything starts there.
    Securing,
    /// Return: its Postgres follows the live side, and its store may be written to by the live one only.
    Rejoining,
    /// Return: the live side's files replicate to it.
    ReplicatingBack,
    /// Return and convert: its files are made equal to the live side's.
    ReturningFiles,
    /// Return and convert: what the live side lacks is copied to it, and the other side's node may grant.
    Protecting {
        /// What the live side lacks.
        gaps: Vec<FileReference>,
    },
    /// Copy: rows and files of production are taken, customers of both served.
    Copying {
        /// The production environment.
        source: EnvironmentId,
        /// Its epoch: a copy is of one side alone.
        epoch: Epoch,
    },
    /// Back-up, restore and copy: the compute takes nothing new and ends what is under way.
    Quieting,
    /// Back-up: rows and files are copied.
    BackingUp,
    /// Restore: a back-up is put in the place of what is there.
    PuttingBack {
        /// Its number.
        backup: u64,
    },
    /// Copy: what was taken is put in the place of what is there.
    PuttingIn,
    /// Back-up, restore and copy: customers are let in again.
    Reopening {
        /// Why it was given up, if it was.
        why: Option<String>,
    },
    /// Convert, undone: what was made of a replica is removed.
    Withdrawing {
        /// Why the conversion is given up.
        why: String,
    },
    /// Delete: until nobody can be answered any more.
    Closing,
    /// Delete: whatever both regions have of it is removed.
    Deleting,
}

impl Step {
    /// The step's name in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreatingPrimary => "creating-primary",
            Self::PreparingReplica => "preparing-replica",
            Self::CreatingReplica => "creating-replica",
            Self::AllowingGrants => "allowing-grants",
            Self::Preflight => "preflight",
            Self::Waiting => "waiting",
            Self::Notifying { .. } => "notifying",
            Self::Checkpointing => "checkpointing",
            Self::Draining => "draining",
            Self::HandingOver { .. } => "handing-over",
            Self::CatchingUp { .. } => "catching-up",
            Self::StoppingGrants => "stopping-grants",
            Self::Fencing => "fencing",
            Self::Undoing { .. } => "undoing",
            Self::Restoring { .. } => "restoring",
            Self::Promoting => "promoting",
            Self::Reconciling => "reconciling",
            Self::Opening => "opening",
            Self::Following => "following",
            Self::Securing => "securing",
            Self::Rejoining => "rejoining",
            Self::ReplicatingBack => "replicating-back",
            Self::ReturningFiles => "returning-files",
            Self::Protecting { .. } => "protecting",
            Self::Copying { .. } => "copying",
            Self::Quieting => "quieting",
            Self::BackingUp => "backing-up",
            Self::PuttingBack { .. } => "putting-back",
            Self::PuttingIn => "putting-in",
            Self::Reopening { .. } => "reopening",
            Self::Withdrawing { .. } => "withdrawing",
            Self::Closing => "closing",
            Self::Deleting => "deleting",
        }
    }

    /// Whether a replica comes back in this step; customers are served as before.
    pub fn is_return(&self) -> bool {
        matches!(
            self,
            Self::Following
                | Self::Securing
                | Self::Rejoining
                | Self::ReplicatingBack
                | Self::ReturningFiles
                | Self::Protecting { .. }
        )
    }

    /// Whether a planned switch has not yet touched anything in this step.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Preflight | Self::Waiting | Self::Notifying { .. } | Self::Checkpointing)
    }

    /// Whether a planned switch holds its environment's writes back in this step, and can still be undone.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Draining | Self::HandingOver { .. } | Self::CatchingUp { .. })
    }

    /// Whether the stores of the active region may be used in this step, as far as steps go.
    pub fn is_open(&self) -> bool {
        !matches!(
            self,
            Self::CreatingPrimary
                | Self::CreatingReplica
                | Self::AllowingGrants
                | Self::Promoting
                | Self::Reconciling
                | Self::Closing
                | Self::Deleting
        )
    }
}

/// Whether an environment may be written to although too much would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposed {
    /// No.
    #[default]
    No,
    /// An operator has granted it: the bound is not guaranteed.
    Granted,
    /// An operator has ended it; the bound is guaranteed again once the other region has caught up.
    Ending,
}

/// How an operation ended for an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Completed,
    /// Undone.
    Aborted,
    /// Neither: it stands in its step until an operator asks for it again.
    Failed,
}

/// What is thought of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionStatus {
    /// Fewer than two vantage points miss it.
    #[default]
    Clear,
    /// At least two of three vantage points miss it.
    Suspected,
    /// It has been missed for the whole grace.
    Declared,
}
