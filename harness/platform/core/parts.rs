//! The calls that each step consists of.

use super::{
    record::{OperationKind, Step},
    settings::Settings,
    state::Environment,
};
use crate::api::{Zone, sabotage::Sabotage};

/// One call of a step. `Here` is the active region, `There` the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Primary,
    /// The serving side made ready for a replica that it had none of.
    Prepare,
    /// The same undone.
    Withdraw,
    /// The replica undone.
    Drop,
    Replica,
    Files,
    Allow,
    Stop,
    Fence,
    /// The old side's compute stopped at once, beside the fence.
    Cut,
    Promote,
    Revoke,
    Reconcile,
    Route,
    /// The compute asks for its permit now rather than at its next poll.
    Renew,
    PreflightHere,
    PreflightThere,
    CheckpointHere,
    CheckpointThere,
    Drain,
    HandOver,
    AwaitFiles,
    AwaitLog,
    TakeBack,
    Resume,
    Secure,
    Rejoin,
    AllowFiles,
    ReturnFiles,
    RepairFiles,
    BackUp,
    PutBack,
    TakeCopy,
    PutIn,
    /// A route repeated for an edge that lost it; belongs to no step.
    Level,
    /// The second grantor told again after an undone failover; belongs to no step.
    Repair,
    /// The old side's node told again after an undone switch; belongs to no step.
    MendNode,
    /// The old side's compute told again after an undone switch; belongs to no step.
    MendCompute,
    /// The serving compute told which features there are; belongs to no step.
    Provide,
    /// The other region follows the zone that has taken over.
    FollowZone,
    /// The files' replication led by the zone that has taken over.
    TakeOverFiles,
    /// A standby made in another zone; belongs to no step.
    ZoneStandby(Zone),
    /// The primary told whom to wait for; belongs to no step.
    Synchronize(Option<Zone>),
    /// What a store's node missed while its zone was away made up for; belongs to no step.
    CompleteFiles {
        there: bool,
    },
    /// A store's nodes started anew by a zone's if the store waits for the one of a zone that is missed; belongs to no step.
    RenewFiles {
        there: bool,
        zone: Zone,
    },
    /// Everything of a deleted environment removed by a zone's node.
    Delete {
        there: bool,
        zone: Zone,
    },
    /// The same by its compute.
    Forget {
        there: bool,
        zone: Zone,
    },
}

impl Part {
    /// Tried once and never waited for: permits run out, and are asked for, without it.
    pub(super) fn is_only_tried(self) -> bool {
        matches!(self, Self::Fence | Self::Cut | Self::Renew)
    }

    /// Failures after which the step goes on without it; `None`: never.
    pub(super) fn tries_max(self) -> Option<u32> {
        // A version that neither region has any more must not keep a replica from coming back.
        (self == Self::RepairFiles).then_some(3)
    }

    /// Left out where the platform is broken on purpose.
    pub(super) fn is_left_out(self, sabotage: Option<Sabotage>) -> bool {
        match sabotage {
            Some(Sabotage::SkipLogGate) => self == Self::AwaitLog,
            Some(Sabotage::IgnoreFileBacklog) => self == Self::AwaitFiles,
            Some(Sabotage::SkipReconcile) => self == Self::Reconcile,
            Some(Sabotage::ReturnWithoutResync) => self == Self::ReturnFiles,
            Some(Sabotage::StaleCredential) => self == Self::Revoke,
            Some(Sabotage::DeployWithoutReplica) => matches!(self, Self::Replica | Self::Files | Self::ReturnFiles),
            Some(Sabotage::FailBackUnfit) => {
                matches!(self, Self::PreflightHere | Self::PreflightThere | Self::AwaitFiles)
            }
            _ => false,
        }
    }

    /// Belongs to no step.
    pub(super) fn is_background(self) -> bool {
        let of_zones = matches!(
            self,
            Self::ZoneStandby(_) | Self::Synchronize(_) | Self::CompleteFiles { .. } | Self::RenewFiles { .. }
        );
        of_zones || matches!(self, Self::Level | Self::Repair | Self::MendNode | Self::MendCompute | Self::Provide)
    }
}

/// The parts of a step, as the environment stands.
pub(super) fn of(environment: &Environment, settings: &Settings, kind: OperationKind, step: &Step) -> Vec<Part> {
    let mut parts = match step {
        Step::Closing => vec![Part::Route, Part::Drain, Part::Fence],
        // Neither region waits for the other: one of them may be away.
        Step::Deleting => (Zone::all(settings.zones))
            .flat_map(|zone| [false, true].map(|there| (there, zone)))
            .filter(|(there, _)| !there || environment.given.kind.has_replica())
            .flat_map(|(there, zone)| [Part::Delete { there, zone }, Part::Forget { there, zone }])
            .collect(),
        Step::CreatingPrimary => vec![Part::Primary],
        Step::PreparingReplica => vec![Part::Prepare],
        Step::CreatingReplica => vec![Part::Replica, Part::Files],
        Step::Withdrawing { .. } => vec![Part::Drop, Part::Withdraw],
        Step::AllowingGrants | Step::Undoing { .. } => vec![Part::Allow],
        Step::Preflight => vec![Part::PreflightHere, Part::PreflightThere],
        Step::Waiting | Step::Notifying { .. } => vec![],
        Step::Checkpointing => vec![Part::CheckpointHere, Part::CheckpointThere],
        Step::Draining => vec![Part::Drain],
        Step::HandingOver { .. } => vec![Part::HandOver, Part::AwaitFiles, Part::Stop],
        Step::CatchingUp { .. } => vec![Part::AwaitLog],
        Step::Restoring { .. } => vec![Part::Allow, Part::TakeBack, Part::Resume, Part::Renew],
        Step::StoppingGrants => vec![Part::Stop],
        Step::Fencing => vec![Part::Fence, Part::Cut],
        // What the old side may still replicate is revoked off the customers' path where everything has arrived.
        Step::Promoting if kind.is_planned() => vec![Part::Promote],
        // Within a region the store stays the same.
        Step::Promoting if kind == OperationKind::ZoneFailover => vec![Part::Promote],
        Step::Promoting => vec![Part::Promote, Part::Revoke],
        Step::Reconciling => vec![Part::Reconcile],
        Step::Opening => vec![Part::Route, Part::Renew],
        Step::Following => vec![Part::FollowZone, Part::TakeOverFiles],
        Step::Securing => vec![Part::Secure],
        Step::Rejoining => vec![Part::Rejoin, Part::AllowFiles, Part::Revoke],
        Step::ReplicatingBack => vec![Part::Files],
        Step::ReturningFiles => vec![Part::ReturnFiles],
        Step::Protecting { .. } => vec![Part::Allow],
        Step::Copying { .. } => vec![Part::TakeCopy],
        Step::PuttingIn => vec![Part::PutIn],
        Step::Quieting => vec![Part::Drain],
        Step::BackingUp => vec![Part::BackUp],
        Step::PuttingBack { .. } => vec![Part::PutBack],
        Step::Reopening { .. } => vec![Part::Resume, Part::Renew],
    };
    match step {
        // Fenced and cut, it must be told to go on.
        Step::Undoing { .. } if environment.halted_ms.is_some() => parts.extend([Part::TakeBack, Part::Resume]),
        // Of what has no replica the other region's node has never been allowed to grant.
        Step::Closing if environment.given.kind.has_replica() => parts.push(Part::Stop),
        // Before the returning side gives up what it alone has: rows here may wait for it.
        Step::ReplicatingBack if !environment.dangling.is_empty() => parts.push(Part::RepairFiles),
        Step::Protecting { gaps } if !gaps.is_empty() => parts.push(Part::RepairFiles),
        _ => {}
    }
    if matches!(step, Step::Protecting { .. }) && !environment.dangling.is_empty() {
        parts.push(Part::Reconcile);
    }
    parts
}
