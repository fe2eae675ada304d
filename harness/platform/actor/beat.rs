//! Something done every period, several times at once where it takes longer than one: a slow link then costs delay, and
//! is not taken for silence.

use std::{future::Future, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How many may be under way at once.
const UNDER_WAY_MAX: usize = 16;

/// Does it for ever. `act` must end by itself, in bounded time.
pub async fn every<F>(period: Duration, mut act: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => if under_way.len() < UNDER_WAY_MAX {
                under_way.spawn(act());
            },
            Some(_) = under_way.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_slow_act_delays_no_later_one() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let beat = every(Duration::from_millis(5), move || {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(60))
        });
        tokio::time::timeout(Duration::from_millis(300), beat).await.unwrap_err();
        assert_eq!(begun.load(Ordering::Relaxed), UNDER_WAY_MAX);
    }
}
