//! The server: routes, bodies, refusals.

use axum::{
    Json, Router,
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::watch;

use super::{calls::Calls, gate, gate::Gate, inbox::Inbox, inbox::Unavailable, internal, table};
use crate::{
    api::{Region, control::Refusal},
    platform::{
        core::Refused,
        journal::{Journal, JournalError},
    },
};

/// What every handler may use.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) inbox: Inbox,
    pub(super) journal: Arc<Journal>,
    pub(super) calls: Arc<Calls>,
    /// Grows with every write to the journal.
    pub(super) changes: watch::Receiver<u64>,
    pub(super) regions: Arc<[Region]>,
    /// Where webhooks may go.
    pub(super) webhook_hosts: Arc<BTreeSet<String>>,
}

/// A call that is refused.
#[derive(Debug)]
pub(super) struct Refuse {
    status: u16,
    error: String,
}

/// "Insufficient storage" (RFC 4918).
const NO_ROOM: u16 = 507;

impl Refuse {
    /// With a status and the reason.
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }
}

impl IntoResponse for Refuse {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(Refusal { error: self.error })).into_response()
    }
}

impl From<Refused> for Refuse {
    fn from(refused: Refused) -> Self {
        Self::new(refused.status, refused.why)
    }
}

impl From<Unavailable> for Refuse {
    fn from(unavailable: Unavailable) -> Self {
        let status = if let Unavailable::Full = unavailable { NO_ROOM } else { 503 };
        Self::new(status, unavailable.to_string())
    }
}

impl From<JournalError> for Refuse {
    fn from(error: JournalError) -> Self {
        Self::new(if error.is_full() { NO_ROOM } else { 503 }, error.to_string())
    }
}

/// A JSON body of the type asked for.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refuse> {
    serde_json::from_slice(bytes).map_err(|error| Refuse::new(400, format!("body: {error}")))
}

/// The whole API.
pub(super) fn router(desk: Desk, api_token: &str, internal_token: &str) -> Router {
    let public = (table::calls().into_iter())
        .fold(Router::new(), |router, call| router.route(call.path, call.handler))
        .route_layer(axum::middleware::from_fn_with_state(Gate::new(api_token), gate::check));
    let internal = Router::new()
        .route("/internal/permits", post(internal::permits))
        .route("/internal/edge", post(internal::edge))
        .route_layer(axum::middleware::from_fn_with_state(Gate::new(internal_token), gate::check))
        // A sign of life for whoever starts roles and links; it tells nothing, so it needs no token.
        .route("/internal/ready", get(internal::ready));
    public.merge(internal).fallback(nothing_there).method_not_allowed_fallback(wrong_method).with_state(desk)
}

async fn nothing_there() -> Refuse {
    Refuse::new(404, "there is no such call")
}

async fn wrong_method() -> Refuse {
    Refuse::new(405, "this address takes another method")
}
