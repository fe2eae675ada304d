//! Parts of steps as the calls that they are.

use super::{
    effect::{CallId, Effect},
    features,
    parts::Part,
    record::Step,
    settings::Settings,
    state::Environment,
};
use crate::api::{
    compute,
    guard::Limits,
    node::{Action, Command, Spec},
    route::Route,
    sabotage::Sabotage,
};

/// The call of a part, from the environment as it stands; `guard` is the node's, where it is allowed to grant. `None` if the step does not hold what the call needs.
pub(super) fn effect(
    call: CallId,
    environment: &Environment,
    settings: &Settings,
    guard: Option<Limits>,
    part: Part,
) -> Option<Effect> {
    let peer = settings.peer(&environment.active)?;
    let active = &environment.active;
    let step = environment.task.as_ref().map(|task| &task.step);
    let within_ms = settings.timers.gate_ms;
    let (region, action) = match part {
        Part::Route | Part::Level => return Some(Effect::Route { call, route: route(environment) }),
        Part::Drain
        | Part::Cut
        | Part::Resume
        | Part::Renew
        | Part::MendCompute
        | Part::Provide
        | Part::Forget { .. } => {
            return Some(compute_effect(call, environment, settings, part));
        }
        Part::Primary => (active, Action::CreatePrimary(spec(environment))),
        Part::Files => (active, Action::ReplicateFiles(spec(environment))),
        Part::TakeOverFiles => (active, Action::TakeOverFiles(spec(environment))),
        Part::Prepare => (active, Action::PrepareReplica(spec(environment))),
        Part::Withdraw => (active, Action::WithdrawReplica(spec(environment))),
        Part::Drop => (peer, Action::DropReplica(spec(environment))),
        Part::Delete { there, .. } => (if there { peer } else { active }, Action::Delete(spec(environment))),
        Part::Replica => (peer, Action::CreateReplica(spec(environment))),
        Part::Allow | Part::Repair => (peer, Action::AllowGranting { primary: active.clone(), guard }),
        Part::Stop => (peer, Action::StopGranting),
        Part::Fence => (active, Action::Fence),
        // The register has been switched: the active region is the new one, its peer the old side.
        Part::Promote => (active, Action::Promote),
        Part::Revoke => (active, Action::RevokeFilesReplication { source: peer.clone() }),
        Part::Reconcile => (active, Action::ReconcileReferences),
        Part::PreflightHere => (active, Action::PreflightPrimary),
        Part::PreflightThere => (peer, Action::PreflightStandby),
        Part::CheckpointHere => (active, Action::Checkpoint),
        Part::CheckpointThere => (peer, Action::Checkpoint),
        Part::HandOver => (active, Action::HandOver),
        Part::TakeBack | Part::MendNode => (active, Action::TakeBack),
        Part::AwaitFiles => match step {
            Some(Step::HandingOver { sealed }) => (active, Action::AwaitFiles { sealed: *sealed, within_ms }),
            _ => return None,
        },
        Part::AwaitLog => match step {
            Some(Step::CatchingUp { end }) => (peer, Action::AwaitLog { end: end.clone(), within_ms }),
            _ => return None,
        },
        Part::BackUp => (active, Action::BackUp { backup: environment.task.as_ref()?.operation }),
        Part::PutBack => match step {
            Some(Step::PuttingBack { backup }) => (active, Action::PutBack { backup: *backup }),
            _ => return None,
        },
        Part::FollowZone => (peer, Action::FollowZone { fork: environment.fork? }),
        Part::ZoneStandby(_) => {
            (active, Action::MakeZoneStandby { spec: spec(environment), source: environment.seat(active) })
        }
        Part::Synchronize(zone) => {
            let waits = settings.sabotage != Some(Sabotage::ZoneNotSynchronous);
            (active, Action::Synchronize { zone: zone.filter(|_| waits) })
        }
        Part::CompleteFiles { there } => (if there { peer } else { active }, Action::CompleteFiles(spec(environment))),
        Part::RenewFiles { there, .. } => (if there { peer } else { active }, Action::RenewFiles(spec(environment))),
        Part::TakeCopy => match step {
            Some(Step::Copying { source, epoch }) => {
                let copy = environment.task.as_ref()?.operation;
                (active, Action::TakeCopy { from: source.clone(), from_epoch: *epoch, copy })
            }
            _ => return None,
        },
        Part::PutIn => (active, Action::PutIn { copy: environment.task.as_ref()?.operation }),
        Part::Secure => (peer, Action::Secure { fork: environment.fork? }),
        Part::Rejoin => (peer, Action::Rejoin { fork: environment.fork? }),
        Part::AllowFiles => (peer, Action::AllowFilesReplication { source: active.clone() }),
        Part::ReturnFiles => (peer, Action::ReturnFiles { clean: environment.clean }),
        Part::RepairFiles => {
            let references = match step {
                Some(Step::Protecting { gaps }) => gaps.clone(),
                _ => environment.dangling.clone(),
            };
            (active, Action::RepairFiles { references })
        }
    };
    let zone = match part {
        Part::ZoneStandby(zone) | Part::Delete { zone, .. } | Part::RenewFiles { zone, .. } => zone,
        _ => environment.seat(region),
    };
    let command = Command {
        operation: environment.order,
        environment: environment.given.id.clone(),
        epoch: environment.epoch,
        peer_zone: settings.peer(region).map(|other| environment.seat(other)).unwrap_or_default(),
        action,
    };
    Some(Effect::Command { call, region: region.clone(), zone, command: Box::new(command) })
}

fn compute_effect(call: CallId, environment: &Environment, settings: &Settings, part: Part) -> Effect {
    let action = match part {
        Part::Drain => compute::Action::Stop { drain_ms: settings.timers.drain_ms },
        Part::Cut => compute::Action::Stop { drain_ms: 0 },
        Part::Renew => compute::Action::Renew,
        Part::Provide => compute::Action::Provide(features::provision(environment, settings)),
        Part::Forget { .. } => compute::Action::Forget,
        _ => compute::Action::Resume,
    };
    let command = compute::Command {
        operation: if part == Part::Provide { environment.features.order } else { environment.order },
        environment: environment.given.id.clone(),
        epoch: environment.epoch,
        action,
    };
    let active = &environment.active;
    let (region, zone) = match part {
        Part::Forget { there: true, zone } => (settings.peer(active).unwrap_or(active), zone),
        Part::Forget { there: false, zone } => (active, zone),
        _ => (active, environment.seat(active)),
    };
    Effect::Compute { call, zone, region: region.clone(), command }
}

/// The route that the edge should hold.
pub(super) fn route(environment: &Environment) -> Route {
    Route {
        environment: environment.given.id.clone(),
        epoch: environment.epoch,
        slot: environment.given.slot,
        region: environment.active.clone(),
        zone: environment.seat(&environment.active),
        withdrawn: environment.is_retired,
    }
}

fn spec(environment: &Environment) -> Spec {
    Spec {
        kind: environment.wanted_kind(),
        slot: environment.given.slot,
        database: environment.given.database.clone(),
        bucket: environment.given.bucket.clone(),
        credentials: environment.given.credentials.clone(),
    }
}
