//! What operators and customers call.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{
    credentials,
    http::{Desk, Refuse, body},
    inbox::Order,
    openapi, outbox,
};
use crate::{
    api::{
        EnvironmentId, Region, Zone,
        control::{
            Dangling, Events, Exposure, Health, Notice, OperationState, OperationView, SALVAGED_BODIES, Salvage,
            Status, Subscription, Tenant,
        },
        environment::EnvironmentView,
        ids::is_name,
    },
    clients::http::HttpError,
    platform::core::{OrderAnswer, Refused},
};

/// The longest wait that a caller can ask for.
const WAIT_MS_MAX: u64 = 30_000;

/// `?after=&wait_ms=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

/// `?wait_ms=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

type Accepted = (StatusCode, Json<OperationView>);
type Params<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

pub(super) async fn health(State(desk): State<Desk>) -> Result<Json<Health>, Refuse> {
    let look = desk.inbox.look(|core, now_ms| (core.regions_ready(now_ms), core.edge_ready(now_ms)));
    let (regions_ready, edge_ready) = look.await?;
    Ok(Json(Health { version: env!("CARGO_PKG_VERSION").to_owned(), regions_ready, edge_ready }))
}

pub(super) async fn put_tenant(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<Tenant>, Refuse> {
    match desk.inbox.order(Order::Tenant { name, tenant: body(&bytes)? }).await?? {
        OrderAnswer::Tenant(tenant) => Ok(Json(tenant)),
        OrderAnswer::Operation(_) | OrderAnswer::Exposure(_) => Err(mismatch()),
    }
}

pub(super) async fn deploy(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    let credentials = Box::new(credentials::make(&desk.regions));
    accepted(desk.inbox.order(Order::Deploy { order: body(&bytes)?, credentials }).await?)
}

pub(super) async fn convert(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Conversion(body(&bytes)?)).await?)
}

pub(super) async fn ticket(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Ticket(body(&bytes)?)).await?)
}

pub(super) async fn back_up(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::BackUp(body(&bytes)?)).await?)
}

pub(super) async fn copy(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Copy(body(&bytes)?)).await?)
}

pub(super) async fn delete(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Deletion(known(&id)?)).await?)
}

pub(super) async fn restore(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Restore(body(&bytes)?)).await?)
}

pub(super) async fn failover(State(desk): State<Desk>, bytes: Bytes) -> Result<Accepted, Refuse> {
    accepted(desk.inbox.order(Order::Failover(body(&bytes)?)).await?)
}

pub(super) async fn environments(State(desk): State<Desk>) -> Result<Json<Vec<EnvironmentView>>, Refuse> {
    Ok(Json(desk.inbox.look(|core, _| core.environment_views()).await?))
}

pub(super) async fn environment(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<EnvironmentView>, Refuse> {
    let id = known(&id)?;
    let name = id.clone();
    let view = desk.inbox.look(move |core, _| core.environment_view(&id)).await?;
    view.map(Json).ok_or_else(|| no_environment(name.as_str()))
}

pub(super) async fn dangling(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<Dangling>, Refuse> {
    let id = known(&id)?;
    let name = id.clone();
    let dangling = desk.inbox.look(move |core, _| core.dangling(&id)).await?;
    dangling.map(Json).ok_or_else(|| no_environment(name.as_str()))
}

pub(super) async fn expose(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Json<Exposure>, Refuse> {
    match desk.inbox.order(Order::Exposure { environment: known(&id)?, order: body(&bytes)? }).await?? {
        OrderAnswer::Exposure(exposure) => Ok(Json(exposure)),
        OrderAnswer::Tenant(_) | OrderAnswer::Operation(_) => Err(mismatch()),
    }
}

pub(super) async fn salvage(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<Salvage>, Refuse> {
    let (id, region, zone) = salvaged_in(&desk, &id).await?;
    let list = desk.calls.salvage(&region, zone, &id).await;
    list.map(Json).map_err(|error| not_told(&region, &id, &error))
}

pub(super) async fn salvaged_body(
    State(desk): State<Desk>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Bytes, Refuse> {
    let (id, region, zone) = salvaged_in(&desk, &id).await?;
    // It becomes a part of another call.
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refuse::new(404, format!("`{number}` is no body on the salvage list of `{id}`")));
    }
    let body = desk.calls.salvaged_body(&region, zone, &id, &format!("{SALVAGED_BODIES}/{number}")).await;
    body.map_err(|error| not_told(&region, &id, &error))
}

/// Where the salvage list of an environment is kept.
async fn salvaged_in(desk: &Desk, id: &str) -> Result<(EnvironmentId, Region, Zone), Refuse> {
    let id = known(id)?;
    let asked = id.clone();
    let found = desk.inbox.look(move |core, _| core.salvaged_in(&asked)).await?;
    match found.ok_or_else(|| no_environment(id.as_str()))? {
        Some((region, zone)) => Ok((id, region, zone)),
        None => Err(Refuse::new(404, format!("nothing was salvaged of `{id}`: no region has returned since a switch"))),
    }
}

fn not_told(region: &Region, id: &EnvironmentId, error: &HttpError) -> Refuse {
    match error.status() {
        Some(404) => Refuse::new(404, format!("region {region} has no such thing of `{id}`: {error}")),
        _ => Refuse::new(503, format!("region {region} keeps the salvage list of `{id}` and cannot be asked: {error}")),
    }
}

pub(super) async fn status(State(desk): State<Desk>) -> Result<Json<Status>, Refuse> {
    let status = desk.inbox.look(|core, now_ms| core.status(now_ms)).await?;
    Ok(Json(Status { notices_owed: desk.journal.notices_owed().await?, ..status }))
}

pub(super) async fn document() -> Json<serde_json::Value> {
    Json(openapi::document())
}

pub(super) async fn operation(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    wait: Params<Wait>,
) -> Result<Json<OperationView>, Refuse> {
    let unknown = || Refuse::new(404, format!("there is no operation `{id}`"));
    let id: u64 = id.parse().map_err(|_| unknown())?;
    let deadline = deadline(wait.map_err(bad_query)?.0.wait_ms);
    let mut changes = desk.changes.clone();
    loop {
        changes.borrow_and_update();
        let view = desk.inbox.look(move |core, _| core.operation_view(id)).await?.ok_or_else(unknown)?;
        let is_over = view.state != OperationState::Running;
        if is_over || !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
            return Ok(Json(view));
        }
    }
}

pub(super) async fn events(State(desk): State<Desk>, after: Params<After>) -> Result<Json<Events>, Refuse> {
    let Query(After { after, wait_ms }) = after.map_err(bad_query)?;
    let deadline = deadline(wait_ms);
    let mut changes = desk.changes.clone();
    loop {
        changes.borrow_and_update();
        let events = desk.journal.events_after(after).await?;
        if !events.is_empty() || !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
            return Ok(Json(Events { events }));
        }
    }
}

pub(super) async fn notices(State(desk): State<Desk>) -> Result<Json<Vec<Notice>>, Refuse> {
    Ok(Json(desk.journal.notices().await?))
}

pub(super) async fn subscribe(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<Subscription>, Refuse> {
    let subscription: Subscription = body(&bytes)?;
    if !is_name(&name) {
        return Err(Refuse::new(400, format!("`{name}` is not a name for a subscription: a-z, 0-9 and `-` only")));
    }
    if !outbox::is_accepted(&subscription.url, &desk.webhook_hosts) {
        let hosts = desk.webhook_hosts.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
        return Err(Refuse::new(400, format!("a subscription's address is `http://HOST:PORT/…`, HOST being {hosts}")));
    }
    desk.journal.subscribe(&name, &subscription.url).await?;
    Ok(Json(subscription))
}

fn accepted(result: Result<OrderAnswer, Refused>) -> Result<Accepted, Refuse> {
    match result? {
        OrderAnswer::Operation(view) => Ok((StatusCode::ACCEPTED, Json(view))),
        OrderAnswer::Tenant(_) | OrderAnswer::Exposure(_) => Err(mismatch()),
    }
}

fn mismatch() -> Refuse {
    Refuse::new(500, "bug: an order was answered by another one's answer")
}

fn known(id: &str) -> Result<EnvironmentId, Refuse> {
    id.parse().map_err(|_| no_environment(id))
}

fn no_environment(id: &str) -> Refuse {
    Refuse::new(404, format!("there is no environment `{id}`"))
}

fn bad_query(rejection: axum::extract::rejection::QueryRejection) -> Refuse {
    Refuse::new(400, rejection.body_text())
}

fn deadline(wait_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(wait_ms.min(WAIT_MS_MAX))
}
