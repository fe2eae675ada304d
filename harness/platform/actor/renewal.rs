//! The holder's loop: every poll one request to one grantor.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{beat::every, lease::Grantor};
use crate::{
    api::{
        permit::{PermitReply, PermitRequest},
        role::Timers,
    },
    clients::http::Http,
};

/// A holder of permits.
pub trait Holds: Send + Sync + 'static {
    /// What it asks now.
    fn request(&self) -> PermitRequest;

    /// Takes the reply to a request that was sent at `sent`.
    fn take(&self, from: Grantor, sent: Instant, reply: PermitReply) -> impl Future<Output = ()> + Send;
}

/// Asks one grantor for ever.
pub async fn keep_asking(holder: Arc<impl Holds>, grantor: Grantor, http: Http, timers: Timers) {
    // A reply later than the permit's lifetime grants nothing any more.
    let within = Duration::from_millis(timers.permit_ms);
    let answers = Arc::new(AtomicBool::new(true));
    every(Duration::from_millis(timers.poll_ms), || {
        let (holder, http, answers) = (Arc::clone(&holder), http.clone(), Arc::clone(&answers));
        async move {
            let request = holder.request();
            let sent = Instant::now();
            let answered = match http.post::<PermitReply>("/internal/permits", &request, within).await {
                Ok(reply) => {
                    holder.take(grantor, sent, reply).await;
                    true
                }
                Err(error) => {
                    tracing::debug!(?grantor, %error, "no answer about permits");
                    false
                }
            };
            if answers.swap(answered, Ordering::Relaxed) != answered {
                tracing::info!(?grantor, answered, "grantor");
            }
        }
    })
    .await;
}
