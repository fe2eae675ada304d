//! `packet.loss`, `packet.delay`, `packet.reorder`, `packet.corrupt`: packets of a link meet a mishap, and its connections live on.
//!
//! That something befell packets is counted by who does it; what counts as proof is seen by those who know nothing of it: the
//! kernel at the end of the link, which counts what was sent again, arrived out of order or with a wrong checksum, or a round
//! trip that takes longer.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    link_latency::LinkLatency,
    trials::{ANSWER, Trials, answered, carries_again, mute, try_link},
};
use crate::{
    model::{fault::Mishap, link::Link},
    testbed::{Impediment, LinkTrial, PacketCounts, Testbed, TestbedError},
};

/// How long traffic of our own is sent until enough of it has met the mishap.
const PROVING: Duration = Duration::from_secs(20);

/// Length of a request of ours: several packets.
const BYTES: usize = 16 * 1024;

/// How long one of ours may take to be answered: a lost packet is sent again after 0.2 s, then 0.4 s, ...
const PATIENCE: Duration = Duration::from_secs(3);

/// Packets that must have met the mishap: one may be chance.
const BEFALLEN_MIN: u64 = 3;

pub(super) struct Packets {
    link: Link,
    mishap: Mishap,
    seed: u64,
    before: Trials,
    /// Of a delay, round trips are what is looked at.
    trips: Option<LinkLatency>,
}

impl Packets {
    pub fn new(link: Link, mishap: Mishap, seed: u64) -> Self {
        let trips = match mishap {
            Mishap::Delay { delay, jitter } => Some(LinkLatency::new(link.clone(), delay, jitter)),
            _ => None,
        };
        Self { link, mishap, seed, before: Trials::new(), trips }
    }

    /// Sends requests through the link until it is proven, for a while at most.
    async fn provoke(&self, testbed: &dyn Testbed) -> Proof {
        let deadline = Instant::now() + PROVING;
        loop {
            let sent =
                testbed.weigh_link(&self.link, BYTES, self.patience()).await.map_err(|error| error.to_string())?;
            let trials: Vec<LinkTrial> = sent.into_iter().map(|weighing| weighing.trial).collect();
            // Counts are told a moment later.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let counts = testbed.packets(&self.link).await.map_err(|error| error.to_string())?;
            match judge(self.mishap, &counts, &trials) {
                Err(_) if Instant::now() < deadline => {}
                judged => return judged.map(|proof| format!("{proof}{}", mute(&self.before))),
            }
        }
    }

    fn patience(&self) -> Duration {
        // With all of them lost, nothing is worth waiting for.
        if self.mishap == (Mishap::Loss { share: 100 }) { ANSWER } else { PATIENCE }
    }
}

fn judge(mishap: Mishap, counts: &PacketCounts, trials: &[LinkTrial]) -> Proof {
    let PacketCounts { seen, befallen, kernel } = counts;
    let told = |what: &str, kernel: u64, counter: &str| {
        format!("of {seen} packets {befallen} were {what}; the kernel there counts {kernel} {counter}")
    };
    if *befallen < BEFALLEN_MIN {
        return Err(format!("of {seen} packets only {befallen} met the mishap"));
    }
    match mishap {
        Mishap::Loss { share: 100 } => match trials.iter().find(|trial| **trial != LinkTrial::Silent) {
            None => Ok(format!("of {seen} packets {befallen} were lost, and new connections are silent")),
            Some(trial) => Err(format!("all packets are lost, and yet: {trial:?}")),
        },
        // What is lost on its way in is sent again by the other end, and that way's answers by this one.
        Mishap::Loss { .. } if kernel.retransmitted > 0 => {
            Ok(told("lost", kernel.retransmitted, "segments sent again from here"))
        }
        Mishap::Reorder { .. } if kernel.out_of_order > 0 => {
            Ok(told("held back", kernel.out_of_order, "segments out of order"))
        }
        Mishap::Corrupt { .. } if kernel.bad_checksums > 0 => {
            Ok(told("changed", kernel.bad_checksums, "wrong checksums"))
        }
        Mishap::Loss { .. } | Mishap::Reorder { .. } | Mishap::Corrupt { .. } => Err(format!(
            "{befallen} of {seen} packets met the mishap, and the kernel there noticed nothing: {kernel:?}"
        )),
        Mishap::Delay { .. } => Ok(format!("of {seen} packets {befallen} were held")),
    }
}

impl Breakage for Packets {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some(trips) = &mut self.trips {
                trips.before(testbed).await?;
            }
            self.before = try_link(testbed, &self.link, ANSWER).await?;
            match answered(&self.before).len() {
                0 => {
                    Err("no service answered on any of its proxies before the fault, so no effect can be seen"
                        .to_owned())
                }
                _ => Ok(()),
            }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.impede(std::slice::from_ref(&self.link), Impediment::Packets(self.mishap, self.seed))
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            match &self.trips {
                Some(trips) => {
                    let grown = trips.prove(testbed).await?;
                    Ok(format!("{}; {grown}", self.provoke(testbed).await?))
                }
                None => self.provoke(testbed).await,
            }
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(std::slice::from_ref(&self.link))
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            match &self.trips {
                Some(trips) => trips.prove_healed(testbed).await,
                None => carries_again(testbed, &self.link, &self.before).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::KernelCounts;

    #[test]
    fn what_only_its_maker_counts_proves_nothing() {
        let kernel =
            |retransmitted, bad_checksums, out_of_order| KernelCounts { retransmitted, bad_checksums, out_of_order };
        let answer = [LinkTrial::Answered(Duration::from_millis(3))];
        let by = Duration::from_millis(5);
        for (mishap, befallen, kernel, trials, proven) in [
            (Mishap::Loss { share: 5 }, 9, kernel(1, 0, 0), &answer[..], true),
            (Mishap::Loss { share: 5 }, 9, kernel(0, 1, 1), &answer, false),
            (Mishap::Loss { share: 5 }, 1, kernel(1, 0, 0), &answer, false),
            (Mishap::Loss { share: 100 }, 9, kernel(0, 0, 0), &[LinkTrial::Silent], true),
            (Mishap::Loss { share: 100 }, 9, kernel(5, 0, 0), &answer, false),
            (Mishap::Corrupt { share: 5 }, 9, kernel(0, 1, 0), &answer, true),
            (Mishap::Corrupt { share: 5 }, 9, kernel(4, 0, 4), &answer, false),
            (Mishap::Reorder { share: 5, by }, 9, kernel(0, 0, 1), &answer, true),
            (Mishap::Reorder { share: 5, by }, 9, kernel(4, 4, 0), &answer, false),
        ] {
            let judged = judge(mishap, &PacketCounts { seen: 100, befallen, kernel }, trials);
            assert_eq!(judged.is_ok(), proven, "{mishap:?} {befallen}: {judged:?}");
        }
    }
}
