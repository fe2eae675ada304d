//! `link.bandwidth`: a narrow link. Its proof is a transfer that takes as long as it must.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, Trials, carries_again, mute, try_link},
};
use crate::{
    model::link::Link,
    testbed::{Impediment, LinkTrial, Testbed, TestbedError, Weighing},
};

/// How long the transfer that proves it should take.
const TRANSFER: Duration = Duration::from_millis(200);

/// Longest request that is worth sending; some services take less.
const BYTES_MAX: u64 = 16 * 1024;

/// A transfer shorter than this could not be told from noise.
const TELLING: Duration = Duration::from_millis(8);

pub(super) struct LinkBandwidth {
    link: Link,
    rate_kib: u64,
    before: Trials,
    took: BTreeMap<String, Duration>,
}

impl LinkBandwidth {
    pub fn new(link: Link, rate_kib: u64) -> Self {
        Self { link, rate_kib: rate_kib.max(1), before: Trials::new(), took: BTreeMap::new() }
    }

    fn bytes(&self) -> usize {
        let bytes = (self.rate_kib * 1_024).saturating_mul(u64::from(TRANSFER.subsec_millis())) / 1_000;
        usize::try_from(bytes.clamp(512, BYTES_MAX)).unwrap_or(512)
    }

    /// How long so many bytes must take at least; the first millisecond is not waited for.
    fn least(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / (self.rate_kib as f64 * 1_024.0) * 0.9)
    }

    fn judge(&self, now: &[Weighing]) -> Proof {
        if self.took.is_empty() {
            return Err(
                "no service answered on any of its proxies before the fault, so no effect can be seen".to_owned()
            );
        }
        let (mut measured, mut too_short) = (0, 0);
        for Weighing { proxy, bytes, trial } in now.iter().filter(|weighing| self.took.contains_key(&weighing.proxy)) {
            let LinkTrial::Answered(took) = trial else { return Err(format!("{proxy}: {trial:?}, and no answer")) };
            let least = self.least(*bytes);
            if least < TELLING {
                too_short += 1;
                continue;
            }
            if *took < least {
                return Err(format!("{proxy}: {bytes} bytes took {took:.1?}, and must take {least:.1?}"));
            }
            measured += 1;
        }
        let mut proof = format!("set and read back on {} proxies", now.len());
        if measured > 0 {
            proof.push_str(&format!(", and a request through {measured} of them took as long as it must"));
        }
        if too_short > 0 {
            proof.push_str(&format!("; {too_short} take requests too short to tell at this rate"));
        }
        Ok(proof + &mute(&self.before))
    }
}

impl Breakage for LinkBandwidth {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.before = try_link(testbed, &self.link, ANSWER).await?;
            let trials =
                testbed.weigh_link(&self.link, self.bytes(), ANSWER).await.map_err(|error| error.to_string())?;
            self.took = trials
                .into_iter()
                .filter_map(|weighing| match weighing.trial {
                    LinkTrial::Answered(took) => Some((weighing.proxy, took)),
                    _ => None,
                })
                .collect();
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.impede(std::slice::from_ref(&self.link), Impediment::Bandwidth { rate_kib: self.rate_kib })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let within = self.least(self.bytes()) * 4 + Duration::from_secs(2);
            let trials = testbed.weigh_link(&self.link, self.bytes(), within).await;
            self.judge(&trials.map_err(|error| error.to_string())?)
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(std::slice::from_ref(&self.link))
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(carries_again(testbed, &self.link, &self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_must_take_as_long_as_the_rate_says() {
        let ms = Duration::from_millis;
        let link: Link = "east -> west / files".parse().unwrap();
        let mut fault = LinkBandwidth::new(link.clone(), 20);
        assert_eq!(fault.bytes(), 4_096);
        let weighing = |trial| vec![Weighing { proxy: "a".to_owned(), bytes: 4_096, trial }];
        let trial = |took| weighing(LinkTrial::Answered(ms(took)));
        assert!(fault.judge(&trial(300)).is_err(), "nothing was seen before");
        fault.took = BTreeMap::from([("a".to_owned(), ms(2))]);
        assert!(fault.judge(&trial(201)).is_ok());
        assert!(fault.judge(&trial(100)).is_err());
        assert!(fault.judge(&weighing(LinkTrial::Silent)).is_err());
        let wide = LinkBandwidth { took: fault.took.clone(), ..LinkBandwidth::new(link, 1_000_000) };
        assert!(wide.judge(&trial(1)).unwrap().contains("too short to tell"));
    }
}
