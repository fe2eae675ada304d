//! JSON over HTTP, one attempt a call, never through a proxy.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use super::error::chain;
use crate::api::{Address, control::Refusal};

/// A client of one server. It has no `Debug`, since it holds a token.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// Why a call brought no answer of the kind asked for.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing came back, or not in time: the call may or may not have been carried out.
    #[error("no answer from {url}: {why}")]
    NoAnswer {
        /// Address, without token.
        url: String,
        /// Reason.
        why: String,
    },
    /// The server refused.
    #[error("{url} answered {status}: {why}")]
    Refused {
        /// Address, without token.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the server says.
        why: String,
    },
}

impl HttpError {
    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::NoAnswer { .. } => None,
        }
    }
}

impl Http {
    /// A client of the server at `127.0.0.1:port`, which sends `token` as bearer.
    pub fn local(port: u16, token: impl Into<String>) -> Self {
        Self::at(&port.into(), token)
    }

    /// A client of a server, which sends `token` as bearer.
    pub fn at(address: &Address, token: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            // A kept connection that a fault has broken would turn a refusal into a doubtful loss.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap_or_default();
        Self { client, base: format!("http://{address}"), token: token.into() }
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, within: Duration) -> Result<T, HttpError> {
        self.call(Method::GET, path, None::<&()>, within).await
    }

    /// `POST` with a body.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, HttpError> {
        self.call(Method::POST, path, Some(body), within).await
    }

    /// `PUT` with a body.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, HttpError> {
        self.call(Method::PUT, path, Some(body), within).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, within: Duration) -> Result<T, HttpError> {
        self.call(Method::DELETE, path, None::<&()>, within).await
    }

    /// `GET` of what is not JSON.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn bytes(&self, path: &str, within: Duration) -> Result<Bytes, HttpError> {
        self.send(Method::GET, path, None::<&()>, within).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Result<T, HttpError> {
        let text = self.send(method, path, body, within).await?;
        // `()` is asked for where the body does not matter; an empty body is JSON null.
        let text: &[u8] = if text.is_empty() { b"null" } else { &text };
        serde_json::from_slice(text).map_err(|error| HttpError::NoAnswer {
            url: format!("{}{path}", self.base),
            why: format!("unexpected body: {error}"),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Result<Bytes, HttpError> {
        let url = format!("{}{path}", self.base);
        let no_answer = |error: reqwest::Error| HttpError::NoAnswer { url: url.clone(), why: chain(&error) };
        let mut request = self.client.request(method, &url).bearer_auth(&self.token).timeout(within);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let text = response.bytes().await.map_err(no_answer)?;
        if status.is_success() {
            return Ok(text);
        }
        let why = serde_json::from_slice::<Refusal>(&text)
            .map_or_else(|_| String::from_utf8_lossy(&text).chars().take(300).collect(), |refusal| refusal.error);
        Err(HttpError::Refused { url, status: status.as_u16(), why })
    }
}
