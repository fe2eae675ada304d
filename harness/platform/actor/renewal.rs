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
        Zone,
        permit::{Grant, PermitReply, PermitRequest},
        role::Timers,
    },
    clients::http::Http,
};

/// Who grants nothing is asked at one of so many polls.
const RESTS: u32 = 4;

/// A holder of permits.
pub trait Holds: Send + Sync + 'static {
    /// What it asks this grantor now.
    fn request(&self, grantor: Grantor) -> PermitRequest;

    /// Takes the reply to a request that was sent at `sent`.
    fn take(&self, from: Grantor, sent: Instant, reply: PermitReply) -> impl Future<Output = ()> + Send;
}

/// Asks one grantor for ever.
pub async fn keep_asking(holder: Arc<impl Holds>, grantor: Grantor, http: Http, timers: Timers) {
    // A reply later than the permit's lifetime grants nothing any more.
    let within = Duration::from_millis(timers.permit_ms);
    let answers = Arc::new(AtomicBool::new(true));
    let grants = Arc::new(AtomicBool::new(true));
    let mut beats = 0_u32;
    every(Duration::from_millis(timers.poll_ms), || {
        let (holder, http, answers) = (Arc::clone(&holder), http.clone(), Arc::clone(&answers));
        let grants = Arc::clone(&grants);
        // Where the other region has several zones, one of them grants: the others are asked now and then.
        beats = beats.wrapping_add(1);
        let rests = matches!(grantor, Grantor::Peer(zone) if zone != Zone::FIRST)
            && !grants.load(Ordering::Relaxed)
            && !beats.is_multiple_of(RESTS);
        async move {
            if rests {
                return;
            }
            let mut answered = ask(&*holder, grantor, &http, within).await;
            if answered == Some(Heard::News) {
                // Whoever waits for this holder to serve a new epoch need not wait for the next poll to hear of it.
                answered = ask(&*holder, grantor, &http, within).await;
            }
            grants.store(!matches!(answered, None | Some(Heard::Empty)), Ordering::Relaxed);
            let answered = answered.is_some();
            if answers.swap(answered, Ordering::Relaxed) != answered {
                tracing::info!(?grantor, answered, "grantor");
            }
        }
    })
    .await;
}

/// What a reply brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// No permit.
    Empty,
    /// No permit that the holder had not named.
    Nothing,
    /// A permit of an epoch that the holder had not named.
    News,
}

/// Asks one grantor once; `None`: it did not answer.
pub async fn ask(holder: &impl Holds, grantor: Grantor, http: &Http, within: Duration) -> Option<Heard> {
    let request = holder.request(grantor);
    let sent = Instant::now();
    match http.post::<PermitReply>("/internal/permits", &request, within).await {
        Ok(reply) => {
            let is_new = |grant: &Grant| !request.known.contains(&(grant.environment.clone(), grant.epoch));
            let heard = match reply.grants.is_empty() {
                true => Heard::Empty,
                false if reply.grants.iter().any(is_new) => Heard::News,
                false => Heard::Nothing,
            };
            holder.take(grantor, sent, reply).await;
            Some(heard)
        }
        Err(error) => {
            tracing::debug!(?grantor, %error, "no answer about permits");
            None
        }
    }
}
