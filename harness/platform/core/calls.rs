//! Parts of steps as the calls that they are.

use super::{
    effect::{CallId, Effect},
    progress::Part,
    state::Environment,
};
use crate::api::{
    Region,
    node::{Action, Command, Spec},
    route::Route,
};

/// The call of a part, from the environment as it stands.
pub(super) fn effect(call: CallId, environment: &Environment, peer: &Region, part: Part) -> Effect {
    let active = &environment.active;
    let (region, action) = match part {
        Part::Route | Part::Level => return Effect::Route { call, route: route(environment) },
        Part::Primary => (active, Action::CreatePrimary(spec(environment))),
        Part::Files => (active, Action::ReplicateFiles(spec(environment))),
        Part::Replica => (peer, Action::CreateReplica(spec(environment))),
        Part::Allow | Part::Repair => (peer, Action::AllowGranting { primary: active.clone() }),
        Part::Stop => (peer, Action::StopGranting),
        Part::Fence => (active, Action::Fence),
        // The register has been switched: the active region is the new one, its peer the old side.
        Part::Promote => (active, Action::Promote),
        Part::Revoke => (active, Action::RevokeFilesReplication { source: peer.clone() }),
        Part::Reconcile => (active, Action::ReconcileReferences),
    };
    let operation = environment.task.as_ref().map_or(environment.last_operation, |task| task.operation);
    let command = Command { operation, environment: environment.given.id.clone(), epoch: environment.epoch, action };
    Effect::Command { call, region: region.clone(), command: Box::new(command) }
}

/// The route that the edge should hold.
pub(super) fn route(environment: &Environment) -> Route {
    Route {
        environment: environment.given.id.clone(),
        epoch: environment.epoch,
        slot: environment.given.slot,
        region: environment.active.clone(),
    }
}

fn spec(environment: &Environment) -> Spec {
    Spec {
        kind: environment.given.kind,
        slot: environment.given.slot,
        database: environment.given.database.clone(),
        bucket: environment.given.bucket.clone(),
        credentials: environment.given.credentials.clone(),
    }
}
