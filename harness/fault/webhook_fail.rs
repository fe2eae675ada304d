//! `webhook.fail`: the examiner's own receiver of notices is slow, down, or answers 500, as a subscriber's may be.
//!
//! Proof: a request of our own, which meets what the platform's will.

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, settle},
};
use crate::{
    clients::http::{Http, HttpError},
    model::fault::WebhookMode,
    testbed::{Testbed, TestbedError},
};

/// The examiner's receiver of notices.
pub trait Receiver: Send + Sync {
    /// Its port on 127.0.0.1.
    fn port(&self) -> u16;

    /// From now on it fails so; `None`: it does not.
    fn fail(&self, mode: Option<WebhookMode>);
}

pub(super) struct WebhookFail {
    mode: WebhookMode,
    receiver: Option<Arc<dyn Receiver>>,
}

/// What a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// An answer of success.
    Answered,
    /// Another answer.
    Status(u16),
    /// No answer in time.
    Silence,
    /// The end of the connection.
    HungUp,
}

impl WebhookFail {
    pub fn new(mode: WebhookMode, receiver: Option<Arc<dyn Receiver>>) -> Self {
        Self { mode, receiver }
    }

    fn receiver(&self) -> Result<&Arc<dyn Receiver>, String> {
        self.receiver.as_ref().ok_or_else(|| "nobody receives notices here".to_owned())
    }

    async fn meet(&self) -> Result<Met, String> {
        let (http, began) = (Http::local(self.receiver()?.port(), ""), Instant::now());
        Ok(match http.get::<()>("/trial", ANSWER).await {
            Ok(()) => Met::Answered,
            Err(HttpError::Refused { status, .. }) => Met::Status(status),
            Err(HttpError::NoAnswer { .. }) if began.elapsed() >= ANSWER => Met::Silence,
            Err(HttpError::NoAnswer { .. }) => Met::HungUp,
        })
    }

    async fn meets(&self, wanted: Met, words: &str) -> Proof {
        settle(|| async {
            match self.meet().await? {
                met if met == wanted => Ok(words.to_owned()),
                met => Err(format!("a request to the receiver met {met:?}")),
            }
        })
        .await
    }
}

impl Breakage for WebhookFail {
    fn before<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.meets(Met::Answered, "").await.map(drop) })
    }

    fn act<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        let done = self.receiver().map(|receiver| receiver.fail(Some(self.mode)));
        Box::pin(async move { done.map_err(TestbedError::Failed) })
    }

    fn prove<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            match self.mode {
                WebhookMode::Slow => {
                    let words = format!("a request was not answered within {ANSWER:?}");
                    self.meets(Met::Silence, &words).await
                }
                WebhookMode::Down => self.meets(Met::HungUp, "a request was hung up on").await,
                WebhookMode::Error => self.meets(Met::Status(500), "a request was answered with 500").await,
            }
        })
    }

    fn undo<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        let done = self.receiver().map(|receiver| receiver.fail(None));
        Box::pin(async move { done.map_err(TestbedError::Failed) })
    }

    fn prove_healed<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(self.meets(Met::Answered, "a request is answered again"))
    }
}
