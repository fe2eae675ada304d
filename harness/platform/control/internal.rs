//! What the other roles call.

use axum::{Json, body::Bytes, extract::State, http::StatusCode};

use super::http::{Desk, Refuse, body};
use crate::{
    api::{permit::PermitReply, route::EdgeReport},
    platform::core::Event,
};

pub(super) async fn permits(State(desk): State<Desk>, bytes: Bytes) -> Result<Json<PermitReply>, Refuse> {
    Ok(Json(desk.inbox.permits(body(&bytes)?).await?))
}

pub(super) async fn edge(State(desk): State<Desk>, bytes: Bytes) -> Result<StatusCode, Refuse> {
    let report: EdgeReport = body(&bytes)?;
    desk.inbox.tell(Event::EdgeReported(report)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ready: the core answers, and what it has decided is on the disk.
pub(super) async fn ready(State(desk): State<Desk>) -> Result<StatusCode, Refuse> {
    desk.inbox.look(|_, _| ()).await?;
    Ok(StatusCode::OK)
}
