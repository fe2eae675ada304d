//! The roles' internal HTTP server: JSON, a bearer token on every call but `GET /internal/ready`.

use std::{future::Future, io, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::api::control::Refusal;

/// A refusal with its HTTP status: 400, 404, 409, 422 or 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Status.
    pub status: StatusCode,
    /// What is wrong.
    pub why: String,
}

impl Refused {
    /// 409: an epoch too old, or not now.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, why: why.into() }
    }

    /// 404.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, why: why.into() }
    }

    /// 500.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, why: why.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(Refusal { error: self.why })).into_response()
    }
}

/// Serves `routes` behind the token, and `GET /internal/ready` before it, until `stop` ends.
///
/// # Errors
/// The system's.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    token: &str,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let expected: Arc<str> = format!("Bearer {token}").into();
    let guarded = routes.layer(from_fn_with_state(expected, check));
    let router = Router::new().route("/internal/ready", get(async || StatusCode::OK)).merge(guarded);
    // Not graceful: an answer that hangs on a stalled link may not keep a role from ending.
    tokio::select! {
        ended = async { axum::serve(listener, router).await } => ended,
        () = stop => Ok(()),
    }
}

async fn check(State(expected): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if !same(given, expected.as_bytes()) {
        return Refused { status: StatusCode::UNAUTHORIZED, why: "wrong token".to_owned() }.into_response();
    }
    next.run(request).await
}

/// Compares in a time that does not tell where the first difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::http::Http;

    #[tokio::test]
    async fn ready_needs_no_token_and_everything_else_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = Router::new().route("/internal/thing", get(async || Json(7)));
        let server = tokio::spawn(serve(listener, routes, "right", std::future::pending()));
        let within = Duration::from_secs(2);
        Http::local(port, "wrong").get::<()>("/internal/ready", within).await.unwrap();
        let refused = Http::local(port, "wrong").get::<u8>("/internal/thing", within).await.unwrap_err();
        assert_eq!(refused.status(), Some(401));
        assert_eq!(Http::local(port, "right").get::<u8>("/internal/thing", within).await.unwrap(), 7);
        server.abort();
    }
}
