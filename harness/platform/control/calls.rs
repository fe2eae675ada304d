//! Calls to the zones' nodes and computes and to the edge, each with a deadline of its own.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Bytes;

use crate::{
    api::{
        Address, EnvironmentId, Region, Zone, compute,
        control::Salvage,
        node::{Action, Answer, Command},
        role::ControlConfig,
        route::Route,
    },
    clients::http::{Http, HttpError},
    platform::core::CallFailure,
};

/// Setting a route: the edge has nothing to wait for.
const ROUTE_WITHIN: Duration = Duration::from_secs(1);
/// What a compute does beside draining.
const COMPUTE_WITHIN: Duration = Duration::from_secs(2);
/// What is offered is made out of the database before the answer; longer than that may take.
const PROVIDE_WITHIN: Duration = Duration::from_secs(15);
/// A salvage list may be long.
const SALVAGE_WITHIN: Duration = Duration::from_secs(30);

/// Clients of all nodes and computes and of the edge.
pub(super) struct Calls {
    nodes: BTreeMap<Region, Vec<Http>>,
    computes: BTreeMap<Region, Vec<Http>>,
    edge: Http,
}

impl Calls {
    /// Clients at the addresses configured.
    pub(super) fn new(config: &ControlConfig) -> Self {
        let at = |address: &Address| Http::at(address, config.internal_token.clone());
        let all = |addresses: &BTreeMap<Region, Vec<Address>>| {
            addresses.iter().map(|(region, zones)| (region.clone(), zones.iter().map(at).collect())).collect()
        };
        Self { nodes: all(&config.nodes), computes: all(&config.computes), edge: at(&config.edge) }
    }

    /// One command to one node, one attempt.
    pub(super) async fn command(&self, region: &Region, zone: Zone, command: &Command) -> Result<Answer, CallFailure> {
        let Some(node) = in_zone(&self.nodes, region, zone) else {
            return Err(CallFailure { outdated: false, why: format!("zone {zone} of {region} has no node") });
        };
        let (what, within) = (command.action.name(), within(&command.action));
        let result = node.post("/internal/command", command, within).await;
        let (environment, epoch) = (command.environment.as_str(), command.epoch.0);
        match &result {
            Ok(_) => tracing::debug!(%region, %zone, environment, epoch, what, "node command done"),
            Err(error) => tracing::warn!(%region, %zone, environment, epoch, what, %error, "node command failed"),
        }
        result.map_err(|error| failure(what, &error))
    }

    /// One command to one compute, one attempt.
    pub(super) async fn compute(
        &self,
        region: &Region,
        zone: Zone,
        command: &compute::Command,
    ) -> Result<Answer, CallFailure> {
        let Some(compute) = in_zone(&self.computes, region, zone) else {
            return Err(CallFailure { outdated: false, why: format!("zone {zone} of {region} has no compute") });
        };
        let (what, within) = match &command.action {
            compute::Action::Stop { drain_ms } => ("stop", COMPUTE_WITHIN + Duration::from_millis(*drain_ms)),
            compute::Action::Resume => ("resume", COMPUTE_WITHIN),
            compute::Action::Renew => ("renew", COMPUTE_WITHIN),
            compute::Action::Provide(_) => ("provide", PROVIDE_WITHIN),
            compute::Action::Forget => ("forget", PROVIDE_WITHIN),
        };
        let result = compute.post("/internal/command", command, within).await;
        let (environment, epoch) = (command.environment.as_str(), command.epoch.0);
        match &result {
            Ok(_) => tracing::debug!(%region, %zone, environment, epoch, what, "compute command done"),
            Err(error) => tracing::warn!(%region, %zone, environment, epoch, what, %error, "compute command failed"),
        }
        result.map_err(|error| failure(what, &error))
    }

    /// What existed in a region alone when it came back last, from its node.
    pub(super) async fn salvage(&self, region: &Region, zone: Zone, id: &EnvironmentId) -> Result<Salvage, HttpError> {
        self.node(region, zone)?.get(&format!("/internal/salvage?environment={id}"), SALVAGE_WITHIN).await
    }

    /// The body of an object on that list, by the name that the list gives it.
    pub(super) async fn salvaged_body(
        &self,
        region: &Region,
        zone: Zone,
        id: &EnvironmentId,
        file: &str,
    ) -> Result<Bytes, HttpError> {
        let path = format!("/internal/salvage/body?environment={id}&file={file}");
        self.node(region, zone)?.bytes(&path, SALVAGE_WITHIN).await
    }

    fn node(&self, region: &Region, zone: Zone) -> Result<&Http, HttpError> {
        in_zone(&self.nodes, region, zone).ok_or_else(|| HttpError::NoAnswer {
            url: "/internal/salvage".to_owned(),
            why: format!("zone {zone} of {region} has no node"),
        })
    }

    /// One route to the edge, one attempt.
    pub(super) async fn route(&self, route: &Route) -> Result<Answer, CallFailure> {
        let result: Result<serde_json::Value, HttpError> = self.edge.put("/internal/route", route, ROUTE_WITHIN).await;
        if let Err(error) = &result {
            tracing::warn!(environment = route.environment.as_str(), epoch = route.epoch.0, %error, "route not set");
        }
        result.map(|_| Answer::Done).map_err(|error| failure("route", &error))
    }
}

fn in_zone<'a>(all: &'a BTreeMap<Region, Vec<Http>>, region: &Region, zone: Zone) -> Option<&'a Http> {
    all.get(region)?.get(zone.index())
}

/// How long a command may take: longer than its own limit at the node, so that the node's reason arrives.
fn within(action: &Action) -> Duration {
    match action {
        Action::AllowGranting { .. } | Action::StopGranting => Duration::from_secs(1),
        Action::Fence => Duration::from_secs(2),
        Action::RevokeFilesReplication { .. } | Action::AllowFilesReplication { .. } => Duration::from_secs(10),
        Action::Promote | Action::ReconcileReferences | Action::HandOver | Action::TakeBack | Action::Checkpoint => {
            Duration::from_secs(30)
        }
        Action::PrepareReplica(_) | Action::WithdrawReplica(_) | Action::DropReplica(_) => Duration::from_secs(30),
        Action::Synchronize { .. } => Duration::from_secs(10),
        Action::CreatePrimary(_)
        | Action::CreateReplica(_)
        | Action::ReplicateFiles(_)
        | Action::TakeOverFiles(_)
        | Action::MakeZoneStandby { .. } => Duration::from_secs(60),
        Action::AwaitLog { within_ms, .. } | Action::AwaitFiles { within_ms, .. } => {
            Duration::from_millis(within_ms.saturating_add(2_000))
        }
        Action::RenewFiles(_) => Duration::from_secs(30),
        // It goes through every object.
        Action::CompleteFiles(_) => Duration::from_secs(190),
        // Full listings of both stores: minutes where there are many objects.
        Action::PreflightPrimary | Action::PreflightStandby => Duration::from_secs(300),
        Action::FollowZone { .. } => Duration::from_secs(180),
        Action::Secure { .. }
        | Action::Rejoin { .. }
        | Action::ReturnFiles { .. }
        | Action::RepairFiles { .. }
        | Action::BackUp { .. }
        | Action::PutBack { .. }
        | Action::TakeCopy { .. }
        | Action::PutIn { .. }
        | Action::Delete(_) => Duration::from_secs(300),
    }
}

fn failure(what: &str, error: &HttpError) -> CallFailure {
    CallFailure { outdated: error.status() == Some(409), why: format!("{what}: {error}") }
}
