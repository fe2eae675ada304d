//! Whether the own store answers: one real, cheap call every poll.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::platform::node::shared::Node;

/// Longest the store may take to answer.
const WITHIN: Duration = Duration::from_secs(1);

/// Asks for ever.
pub async fn keep_asking(node: &Node) {
    let period = Duration::from_millis(node.config.timers.poll_ms.max(50));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answers = matches!(timeout(WITHIN.min(period * 2), node.store.answers()).await, Ok(true));
        if node.files.answers.swap(answers, Ordering::Relaxed) != answers {
            tracing::info!(answers, "file store");
        }
    }
}
