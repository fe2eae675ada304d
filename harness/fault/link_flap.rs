//! `link.flap`: a link that comes and goes. In each period it is gone once, at a place that the seed draws.
//!
//! Its proof is both states, each met by new connections through every proxy that answered before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, SETTLE, Trials, answered, carries_again, mute, try_link},
};
use crate::{
    model::{fault::PartitionMode, link::Link},
    testbed::{Impediment, LinkTrial, Testbed, TestbedError},
};

/// When the link is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    period: Duration,
    gone: Duration,
    seed: u64,
}

impl Rhythm {
    pub fn new(period: Duration, duty_percent: u8, seed: u64) -> Self {
        let gone = period * u32::from(100 - duty_percent.min(100)) / 100;
        Self { period, gone, seed }
    }

    /// How long it carries before it is gone, in one period after another.
    fn leads(self) -> impl Iterator<Item = Duration> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let room = self.period.saturating_sub(self.gone);
        std::iter::repeat_with(move || room.mul_f64(random.random_range(0.0..=1.0)))
    }
}

/// What ends the coming and going, and what became of it.
type Flapping = (watch::Sender<bool>, JoinHandle<Result<(), TestbedError>>);

pub(super) struct LinkFlap {
    link: Link,
    mode: PartitionMode,
    rhythm: Rhythm,
    testbed: Arc<dyn Testbed>,
    before: Trials,
    /// Grows with every change; odd while the link is gone.
    changes: Arc<AtomicU64>,
    task: Option<Flapping>,
}

impl LinkFlap {
    pub fn new(link: Link, mode: PartitionMode, rhythm: Rhythm, testbed: Arc<dyn Testbed>) -> Self {
        Self { link, mode, rhythm, testbed, before: Trials::new(), changes: Arc::default(), task: None }
    }

    /// Whether all that answered before meet `wanted` now, the link not having changed meanwhile. `None`: it had, or is in
    /// the other state.
    async fn meets(&self, testbed: &dyn Testbed, gone: bool) -> Result<Option<bool>, String> {
        let began = self.changes.load(Ordering::SeqCst);
        if (began % 2 == 1) != gone {
            return Ok(None);
        }
        let within = if gone { (self.rhythm.gone / 2).min(ANSWER) } else { ANSWER };
        let now = try_link(testbed, &self.link, within).await?;
        if self.changes.load(Ordering::SeqCst) != began {
            return Ok(None);
        }
        let fits = |trial: &LinkTrial| match (gone, trial) {
            (false, LinkTrial::Answered(_)) => true,
            (true, LinkTrial::Silent) => matches!(self.mode, PartitionMode::Stall | PartitionMode::Blackhole),
            (true, LinkTrial::Refused) => self.mode == PartitionMode::Refuse,
            (true, LinkTrial::Reset) => self.mode == PartitionMode::Reset,
            _ => false,
        };
        Ok(Some(answered(&self.before).keys().all(|proxy| now.get(proxy).is_some_and(fits))))
    }
}

fn done(error: TestbedError) -> Result<(), TestbedError> {
    if error.is_done() { Ok(()) } else { Err(error) }
}

async fn flap(
    link: Link,
    mode: PartitionMode,
    rhythm: Rhythm,
    testbed: Arc<dyn Testbed>,
    changes: Arc<AtomicU64>,
    mut ended: watch::Receiver<bool>,
) -> Result<(), TestbedError> {
    let links = [link];
    // True once it is told to end, or nobody is left who could.
    let mut rest = async |duration| timeout(duration, ended.wait_for(|ended| *ended)).await.is_ok();
    for lead in rhythm.leads() {
        if rest(lead).await {
            return Ok(());
        }
        testbed.impede(&links, Impediment::Partition(mode)).await.or_else(done)?;
        changes.fetch_add(1, Ordering::SeqCst);
        let over = rest(rhythm.gone).await;
        changes.fetch_add(1, Ordering::SeqCst);
        testbed.clear(&links).await.or_else(done)?;
        if over || rest(rhythm.period.saturating_sub(rhythm.gone + lead)).await {
            return Ok(());
        }
    }
    Ok(())
}

impl Breakage for LinkFlap {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.before = try_link(testbed, &self.link, ANSWER).await?;
            if answered(&self.before).is_empty() {
                return Err(
                    "no service answered on any of its proxies before the fault, so no effect can be seen".into()
                );
            }
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            let (end, ended) = watch::channel(false);
            let (link, testbed, changes) = (self.link.clone(), Arc::clone(&self.testbed), Arc::clone(&self.changes));
            self.task = Some((end, tokio::spawn(flap(link, self.mode, self.rhythm, testbed, changes, ended))));
            Ok(())
        })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let (mut gone, mut back) = (false, false);
            let watching = async {
                while !(gone && back) {
                    if self.task.as_ref().is_none_or(|(_, task)| task.is_finished()) {
                        return Err("it has stopped coming and going".to_owned());
                    }
                    gone |= self.meets(testbed, true).await? == Some(true);
                    back |= self.meets(testbed, false).await? == Some(true);
                    sleep(Duration::from_millis(2)).await;
                }
                Ok(())
            };
            let within = SETTLE + self.rhythm.period * 4;
            match timeout(within, watching).await {
                Ok(Ok(())) => Ok(format!(
                    "new connections through {} of {} proxies met both states{}",
                    answered(&self.before).len(),
                    self.before.len(),
                    mute(&self.before)
                )),
                Ok(Err(why)) => Err(why),
                Err(_) => Err(format!("within {within:?}: seen gone {gone}, seen back {back}")),
            }
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            let ended = match self.task.take() {
                Some((end, task)) => {
                    // An error would mean that it has ended already.
                    end.send(true).unwrap_or_default();
                    task.await.unwrap_or_else(|error| Err(TestbedError::Failed(error.to_string())))
                }
                None => Ok(()),
            };
            testbed.clear(std::slice::from_ref(&self.link)).await?;
            ended
        })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(carries_again(testbed, &self.link, &self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_rhythm_and_the_gap_lies_inside_its_period() {
        let rhythm = |seed| Rhythm::new(Duration::from_millis(400), 75, seed);
        let leads = |seed| rhythm(seed).leads().take(50).collect::<Vec<_>>();
        assert_eq!(leads(7), leads(7));
        assert_ne!(leads(7), leads(8));
        assert_eq!(rhythm(7).gone, Duration::from_millis(100));
        assert!(leads(7).iter().all(|lead| *lead + rhythm(7).gone <= Duration::from_millis(400)));
    }
}
