//! A store that waits for one of its nodes.
//!
//! A store of several nodes asks all of them for every object. What refuses a call is done without; what does not answer, since
//! its machine hangs or is cut off, is waited for, each time anew, and a write may wait for a minute (seen with
//! RELEASE.2026-02-12: with one of three nodes stopped, objects were written after 60 s and more). A node that is started anew
//! finds the silent one away and does without it: three seconds after both others were, they read and wrote as before.

use std::time::Duration;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use tokio::time::{Instant, timeout};

use super::{Store, StoreError, admin::ADMIN};
use crate::clients::{
    http::Http,
    poll,
    s3::{ask, classify, unproxied},
};

/// A store that is well answers sooner, and one that waits for a node later: it waits two seconds for a drive.
const IN_TIME: Duration = Duration::from_millis(1_500);
/// Answers in a row that are late, for a store to be known to wait: a busy one is late once.
const LATE_ANSWERS: usize = 2;
/// How long a store may take to start anew before that is tried again.
const START_WITHIN: Duration = Duration::from_secs(6);
/// How often that is tried.
const TIMES: u32 = 3;
/// How often the store is asked meanwhile.
const PERIOD: Duration = Duration::from_millis(250);
/// Not sooner again: what has not helped is not to be repeated on customers.
const NOT_AGAIN_FOR: Duration = Duration::from_secs(60);

impl Store {
    /// Has every node of the store that can be reached start anew if the store makes its callers wait, and take up again what it was
    /// about to replicate; returns whether it did.
    /// What is called on one node alone restarts the others at once, and itself only after the silent one's time is over; so all
    /// of them are to be told at once. One may be late nevertheless, and the others, which have seen it before it went, miss its
    /// drives until they look again after a quarter of a minute: they are started once more, with nothing left to be late for.
    ///
    /// # Errors
    /// [`StoreError`] if it does not read and write afterwards, or was started anew just before.
    pub async fn renew(&self, bucket: &str) -> Result<bool, StoreError> {
        let mut renewed = self.renewed.lock().await;
        let mut late = 0;
        while self.answer(bucket).await.is_err() {
            late += 1;
            if late == LATE_ANSWERS {
                break;
            }
        }
        if late < LATE_ANSWERS {
            return Ok(false);
        }
        if renewed.is_some_and(|at| at.elapsed() < NOT_AGAIN_FOR) {
            return Err(StoreError::Order("the store is slow, and was started anew just before".to_owned()));
        }
        *renewed = Some(Instant::now());
        let mut left = TIMES;
        loop {
            left -= 1;
            self.start_anew().await;
            let serves = || self.serves(bucket);
            match poll::until("a store that reads and writes", START_WITHIN, PERIOD, serves).await {
                Ok(()) => {
                    self.take_up(bucket).await?;
                    return Ok(true);
                }
                Err(error) if left == 0 => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "once more"),
            }
        }
    }

    async fn start_anew(&self) {
        let restart = self.own.put_object().bucket(ADMIN).key("admin/v3/service").customize();
        let restart = restart.mutate_request(|request| {
            request.set_method("POST").expect("POST is a method");
            ask(request, &[("action", "restart"), ("type", "2")]);
        });
        // The answer comes once the silent node's time is over, or never, since the other nodes restart this one.
        let asked = timeout(IN_TIME, restart.send()).await;
        tracing::info!(answered = asked.is_ok(), "the store was told to start anew");
    }

    async fn serves(&self, bucket: &str) -> Result<(), String> {
        let health = Http::at(&self.at, "");
        health.get::<()>("/minio/health/cluster", IN_TIME).await.map_err(|error| error.to_string())?;
        self.answer(bucket).await
    }

    /// An object read in time, of the store's own. That there is none tells nothing of it: the drives that answer first say so.
    async fn answer(&self, bucket: &str) -> Result<(), String> {
        let read = async {
            let listed = self.own.list_objects_v2().bucket(bucket).max_keys(1).send().await.map_err(told)?;
            let Some(key) = listed.contents().first().and_then(|object| object.key()) else { return Ok(()) };
            let got = self.own.get_object().bucket(bucket).key(key).customize().mutate_request(unproxied);
            got.send().await.map_err(told)?.body.collect().await.map(drop).map_err(|error| error.to_string())
        };
        timeout(IN_TIME, read).await.unwrap_or_else(|_| Err(format!("none within {IN_TIME:?}")))
    }
}

fn told<E: ProvideErrorMetadata + std::error::Error + 'static>(error: SdkError<E, HttpResponse>) -> String {
    classify(&error).to_string()
}
