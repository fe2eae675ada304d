//! What the journal holds: one JSON line a record, folded in order.

use serde::{Deserialize, Serialize};

use crate::api::{
    EnvironmentId, Epoch, Region,
    control::{FileReference, NoticeKind, PlatformEvent, Tenant},
    environment::EnvironmentKind,
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
    /// An environment exists from now on, at [`Epoch::FIRST`], active in its home.
    Created(Box<NewEnvironment>),
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
    },
    /// References without an object, found after a switch.
    Marked {
        /// The environment.
        environment: EnvironmentId,
        /// All of them.
        references: Vec<FileReference>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Makes an environment.
    Deploy,
    /// Switches environments to the other region, giving up the old side.
    UnplannedFailover,
}

/// The steps of all operations, in their order. Each may be entered again without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Deploy: stores in the home region.
    CreatingPrimary,
    /// Deploy: stores in the other region, and the files' replication.
    CreatingReplica,
    /// Deploy: the other region's node may grant.
    AllowingGrants,
    /// Failover: both grantors stop.
    StoppingGrants,
    /// Failover: customers are told.
    Notifying {
        /// The notice.
        notice: u64,
    },
    /// Failover: until no permit can be alive.
    Fencing,
    /// Failover, before the switch of the register: the grantors may grant again to the old side.
    Undoing {
        /// Why the failover is given up.
        why: String,
    },
    /// Failover, after the switch of the register: the new side's stores open.
    Promoting,
    /// Failover: rows without an object are marked.
    Reconciling,
    /// Both: the edge routes, and the active region's compute holds a permit.
    Opening,
}

impl Step {
    /// The step's name in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreatingPrimary => "creating-primary",
            Self::CreatingReplica => "creating-replica",
            Self::AllowingGrants => "allowing-grants",
            Self::StoppingGrants => "stopping-grants",
            Self::Notifying { .. } => "notifying",
            Self::Fencing => "fencing",
            Self::Undoing { .. } => "undoing",
            Self::Promoting => "promoting",
            Self::Reconciling => "reconciling",
            Self::Opening => "opening",
        }
    }

    /// Whether a failover in this step can still be undone.
    pub fn is_before_switch(&self) -> bool {
        matches!(self, Self::StoppingGrants | Self::Notifying { .. } | Self::Fencing)
    }
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
