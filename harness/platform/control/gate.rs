//! Tokens: every call bears one, compared in constant time.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};

use super::http::Refuse;

/// The digest of the token that opens a part of the API. Of the token itself nothing is kept, and two digests take the
/// same time to compare wherever they differ.
#[derive(Clone, Copy)]
pub(super) struct Gate([u8; 32]);

impl Gate {
    /// A gate that this token opens.
    pub(super) fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn lets(self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(token) = bearer else { return false };
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        digest.iter().zip(self.0).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
    }
}

/// Lets a call pass that bears the token.
pub(super) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Result<Response, Refuse> {
    if gate.lets(request.headers()) {
        Ok(next.run(request).await)
    } else {
        Err(Refuse::new(
            401,
            "wrong token: send `Authorization: Bearer <token>` with the token of this part of the API",
        ))
    }
}
