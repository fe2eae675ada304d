//! Waiting for a condition: polled, bounded, and on time-out the last thing seen is told.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

/// A condition that did not come true in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: not within {waited:.1?}; last seen: {last}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// What the last try said.
    pub last: String,
}

/// Tries `attempt` every `period` until it answers `Ok`, for `within` at most (an attempt that hangs is cut off there).
///
/// # Errors
/// [`TimedOut`] with the last attempt's own error.
pub async fn until<T, E: Display, F: Future<Output = Result<T, E>>>(
    what: impl Display,
    within: Duration,
    period: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, TimedOut> {
    let started = Instant::now();
    let deadline = started + within;
    let mut last = String::from("nothing yet");
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last.push_str(" (and the last try hung)"),
        }
        if Instant::now() + period >= deadline {
            return Err(TimedOut { what: what.to_string(), waited: started.elapsed(), last });
        }
        sleep(period).await;
    }
}
