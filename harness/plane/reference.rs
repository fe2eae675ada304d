//! The adapter to the reference platform, over its control API.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::Instant;

use super::{Deployed, Plane, PlaneError};
use crate::{
    api::{
        EnvironmentId, Region,
        control::{
            BackUp, Conversion, Copy, Dangling, Deploy, EnvironmentStatus, Events, Failover, FileReference, Health,
            OperationState, OperationView, PlatformEvent, Restore, Salvage, Status, Subscription, SupportTicket,
            Tenant,
        },
        environment::{EnvironmentKind, EnvironmentPhase, EnvironmentView},
    },
    clients::{
        http::{Http, HttpError},
        poll,
    },
    model::{claim::PlatformSays, plan::Order},
};

/// The tenant that owns the environments of a drill.
const TENANT: &str = "contoso";
/// The subscriber's name.
const SUBSCRIBER: &str = "examiner";
/// A call that should be answered at once.
const PROMPT: Duration = Duration::from_secs(5);
/// The longest wait asked of a long-polling call.
const LONG_POLL: Duration = Duration::from_secs(1);

/// The reference platform.
pub struct ReferencePlane {
    http: Http,
}

impl ReferencePlane {
    /// The platform whose control API is at `127.0.0.1:port`.
    pub fn new(port: u16, token: &str) -> Self {
        Self { http: Http::local(port, token) }
    }

    async fn view(&self, id: &EnvironmentId) -> Result<EnvironmentView, PlaneError> {
        Ok(self.http.get(&format!("/v1/environments/{id}"), PROMPT).await?)
    }

    async fn operation(&self, operation: u64, within: Duration) -> Result<OperationView, PlaneError> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = left.min(LONG_POLL);
            let path = format!("/v1/operations/{operation}?wait_ms={}", wait.as_millis());
            match self.http.get::<OperationView>(&path, wait + PROMPT).await {
                Ok(view) if view.state != OperationState::Running || left.is_zero() => return Ok(view),
                // No answer at all: the control plane may be on its way back.
                Ok(_) | Err(HttpError::NoAnswer { .. }) if !left.is_zero() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(view) => return Ok(view),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives an order; the number of the operation comes back.
    async fn begin(&self, path: &str, order: impl Serialize + Sync) -> Result<u64, PlaneError> {
        Ok(self.http.post::<OperationView>(path, &order, PROMPT).await?.id)
    }
}

impl From<HttpError> for PlaneError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused { status, ref why, .. } if (400..500).contains(&status) || status == 507 => {
                Self::Refused(format!("{why} (HTTP {status})"))
            }
            HttpError::Refused { .. } => Self::Failed(error.to_string()),
            HttpError::NoAnswer { .. } => Self::Silent(error.to_string()),
        }
    }
}

impl Plane for ReferencePlane {
    fn version<'a>(&'a self) -> BoxFuture<'a, Result<String, PlaneError>> {
        Box::pin(async { Ok(self.http.get::<Health>("/v1/health", PROMPT).await?.version) })
    }

    fn ready<'a>(&'a self, within: Duration) -> BoxFuture<'a, Result<(), PlaneError>> {
        Box::pin(async move {
            poll::until("the platform", within, Duration::from_millis(20), || async {
                match self.http.get::<Health>("/v1/health", PROMPT).await {
                    Ok(health) if health.regions_ready.len() >= 2 && health.edge_ready => Ok(Ok(())),
                    Ok(health) => Err(format!("{health:?}")),
                    // A refusal will not turn into anything else by waiting.
                    Err(error @ HttpError::Refused { .. }) => Ok(Err(PlaneError::from(error))),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await
            .unwrap_or_else(|error| Err(PlaneError::Silent(error.to_string())))
        })
    }

    fn license<'a>(&'a self, kinds: &'a [EnvironmentKind]) -> BoxFuture<'a, Result<(), PlaneError>> {
        Box::pin(async move {
            let mut licences: Vec<_> = kinds.iter().map(|kind| kind.product()).collect();
            licences.sort_unstable();
            licences.dedup();
            let _: Tenant = self.http.put(&format!("/v1/tenants/{TENANT}"), &Tenant { licences }, PROMPT).await?;
            Ok(())
        })
    }

    fn deploy<'a>(
        &'a self,
        id: &'a EnvironmentId,
        kind: EnvironmentKind,
        region: &'a Region,
        within: Duration,
    ) -> BoxFuture<'a, Result<Deployed, PlaneError>> {
        Box::pin(async move {
            let order = Deploy { id: id.clone(), kind, tenant: TENANT.to_owned(), region: region.clone() };
            let started: OperationView = self.http.post("/v1/environments", &order, PROMPT).await?;
            let ended = self.operation(started.id, within).await?;
            if ended.state != OperationState::Completed {
                let why = ended.why.unwrap_or_else(|| format!("deployment is {:?} after {within:?}", ended.state));
                return Err(PlaneError::Failed(format!("{id}: {why}")));
            }
            let endpoints = self.view(id).await?.endpoints;
            let endpoints = endpoints
                .ok_or_else(|| PlaneError::Failed(format!("{id}: deployed, but no endpoints are published")))?;
            Ok(Deployed { id: id.clone(), endpoints })
        })
    }

    fn active<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Region, PlaneError>> {
        Box::pin(async move { Ok(self.view(id).await?.active) })
    }

    fn protected<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<bool, PlaneError>> {
        Box::pin(async move { Ok(self.view(id).await?.phase == EnvironmentPhase::Protected) })
    }

    fn behind<'a>(&'a self, within: Duration) -> BoxFuture<'a, Result<Vec<(EnvironmentId, PlatformSays)>, PlaneError>> {
        Box::pin(async move {
            let status: Status = self.http.get("/v1/status", within).await?;
            Ok(status.environments.into_iter().map(|status| (status.id.clone(), says(&status))).collect())
        })
    }

    fn salvage<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Option<Salvage>, PlaneError>> {
        Box::pin(async move {
            match self.http.get(&format!("/v1/environments/{id}/salvage"), PROMPT).await {
                Ok(list) => Ok(Some(list)),
                Err(HttpError::Refused { status: 404, .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn subscribe<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), PlaneError>> {
        Box::pin(async move {
            let subscription = Subscription { url: url.to_owned() };
            let _: Subscription =
                self.http.put(&format!("/v1/subscriptions/{SUBSCRIBER}"), &subscription, PROMPT).await?;
            Ok(())
        })
    }

    fn events<'a>(&'a self, after: u64, wait: Duration) -> BoxFuture<'a, Result<Vec<PlatformEvent>, PlaneError>> {
        Box::pin(async move {
            let path = format!("/v1/events?after={after}&wait_ms={}", wait.as_millis());
            Ok(self.http.get::<Events>(&path, wait + PROMPT).await?.events)
        })
    }

    fn order<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(async move {
            let body =
                Failover { kind: order.kind, scope: order.scope.clone(), accept_data_loss: order.accept_data_loss };
            self.begin("/v1/failovers", body).await
        })
    }

    fn convert<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(self.begin("/v1/conversions", Conversion { environment: id.clone() }))
    }

    fn ticket<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(self.begin("/v1/support-tickets", SupportTicket { environment: id.clone() }))
    }

    fn back_up<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(self.begin("/v1/backups", BackUp { environment: id.clone() }))
    }

    fn restore<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(self.begin("/v1/restores", Restore { environment: id.clone() }))
    }

    fn copy<'a>(&'a self, from: &'a EnvironmentId, to: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>> {
        Box::pin(self.begin("/v1/copies", Copy { from: from.clone(), to: to.clone() }))
    }

    fn outcome<'a>(
        &'a self,
        operation: u64,
        within: Duration,
    ) -> BoxFuture<'a, Result<(OperationState, Option<String>), PlaneError>> {
        Box::pin(async move {
            let view = self.operation(operation, within).await?;
            Ok((view.state, view.why))
        })
    }

    fn marked<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Vec<FileReference>, PlaneError>> {
        Box::pin(async move {
            let path = format!("/v1/environments/{id}/dangling");
            Ok(self.http.get::<Dangling>(&path, PROMPT).await?.references)
        })
    }
}

/// What an environment's status says of its replica; of the stores, what the serving region's node claims.
fn says(status: &EnvironmentStatus) -> PlatformSays {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let claim = status.claims.iter().find(|claim| claim.region == status.active);
    PlatformSays {
        exposure_s: status.guard.exposure_ms.map(seconds),
        sql_s: status.guard.sql_ms.map(seconds),
        files_s: status.guard.files_ms.map(seconds),
        sql_behind_bytes: claim.and_then(|claim| claim.sql_behind_bytes).map(|bytes| bytes as f64),
        files_pending: claim.map(|claim| claim.files_pending as f64),
        files_oldest_s: claim.map(|claim| seconds(claim.files_oldest_ms)),
    }
}
