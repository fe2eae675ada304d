//! `link.latency`: a link that is slow to answer.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, Trials, answered, carries_again, mute, settle, try_link},
};
use crate::{
    model::link::Link,
    testbed::{Impediment, Testbed, TestbedError},
};

/// Trials of which the quickest counts: what delays one of them is not the link.
const TRIALS: usize = 3;

pub(super) struct LinkLatency {
    link: Link,
    latency: Duration,
    jitter: Duration,
    before: Trials,
    quickest: BTreeMap<String, Duration>,
}

impl LinkLatency {
    pub fn new(link: Link, latency: Duration, jitter: Duration) -> Self {
        Self { link, latency, jitter, before: Trials::new(), quickest: BTreeMap::new() }
    }

    /// Least growth of a round trip: a request and an answer, each delayed; timers may be a little early.
    fn growth_min(&self) -> Duration {
        self.latency.saturating_sub(self.jitter).mul_f64(2.0 * 0.95)
    }

    async fn quickest(&self, testbed: &dyn Testbed, within: Duration) -> Result<BTreeMap<String, Duration>, String> {
        let mut best = BTreeMap::new();
        for _ in 0..TRIALS {
            for (proxy, took) in answered(&try_link(testbed, &self.link, within).await?) {
                best.entry(proxy).and_modify(|best: &mut Duration| *best = took.min(*best)).or_insert(took);
            }
        }
        Ok(best)
    }

    fn judge(&self, now: &BTreeMap<String, Duration>) -> Proof {
        if self.quickest.is_empty() {
            return Err(
                "no service answered on any of its proxies before the fault, so no effect can be seen".to_owned()
            );
        }
        let mut least = Duration::MAX;
        for (proxy, before) in &self.quickest {
            let Some(now) = now.get(proxy) else { return Err(format!("{proxy}: no answer at all any more")) };
            let grown = now.saturating_sub(*before);
            if grown < self.growth_min() {
                return Err(format!(
                    "{proxy}: its round trip grew by {grown:.1?} only, from {before:.1?} to {now:.1?}"
                ));
            }
            least = least.min(grown);
        }
        Ok(format!(
            "round trips through {} proxies grew by {least:.1?} or more{}",
            self.quickest.len(),
            mute(&self.before)
        ))
    }
}

impl Breakage for LinkLatency {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.before = try_link(testbed, &self.link, ANSWER).await?;
            self.quickest = self.quickest(testbed, ANSWER).await?;
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        let how = Impediment::Latency { latency: self.latency, jitter: self.jitter };
        testbed.impede(std::slice::from_ref(&self.link), how)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let within = (self.latency + self.jitter) * 4 + Duration::from_secs(1);
            self.judge(&self.quickest(testbed, within).await?)
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(std::slice::from_ref(&self.link))
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let carries = carries_again(testbed, &self.link, &self.before).await?;
            settle(|| async {
                let now = self.quickest(testbed, ANSWER).await?;
                let slow = now.iter().find(|(proxy, now)| {
                    let before = self.quickest.get(*proxy).copied().unwrap_or_default();
                    **now >= before + self.growth_min() && self.growth_min() > Duration::ZERO
                });
                match slow {
                    Some((proxy, now)) => Err(format!("{proxy}: its round trip is still {now:.1?}")),
                    None => Ok(format!("{carries}; round trips are as before")),
                }
            })
            .await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_must_grow_by_both_directions_less_the_jitter() {
        let ms = Duration::from_millis;
        let link: Link = "east -> west / files".parse().unwrap();
        let mut fault = LinkLatency::new(link, ms(50), ms(10));
        let trips = |one, other| BTreeMap::from([("a".to_owned(), ms(one)), ("b".to_owned(), ms(other))]);
        assert!(fault.judge(&trips(100, 100)).is_err(), "nothing was seen before");
        fault.quickest = trips(2, 3);
        assert!(fault.judge(&trips(80, 82)).is_ok());
        assert!(fault.judge(&trips(80, 52)).is_err());
        assert!(fault.judge(&BTreeMap::from([("a".to_owned(), ms(80))])).is_err());
    }
}
