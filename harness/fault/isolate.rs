//! `region.isolate` and `zone.isolate`: every link of a region or zone with the outside carries nothing; its processes run on and
//! reach one another.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    part::{self, Part},
    trials::{Trials, answered, carries_again, settle, states},
};
use crate::{
    model::{fault::PartitionMode, link::Link},
    testbed::{Impediment, LinkTrial, Process, ProcessState, Testbed, TestbedError},
};

pub(super) struct Isolate {
    part: Part,
    links: Vec<Link>,
    before: BTreeMap<Link, Trials>,
    processes: Vec<Process>,
}

impl Isolate {
    pub fn new(part: Part) -> Self {
        Self { part, links: Vec::new(), before: BTreeMap::new(), processes: Vec::new() }
    }
}

async fn try_all(testbed: &dyn Testbed, links: &[Link]) -> Result<BTreeMap<Link, Trials>, String> {
    Ok(part::try_all(testbed, links).await?.into_iter().collect())
}

impl Breakage for Isolate {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.links = self.part.outside(testbed);
            self.processes = self.part.all_running(testbed).await?;
            self.before = try_all(testbed, &self.links).await?;
            match self.before.values().map(|trials| answered(trials).len()).sum::<usize>() {
                0 => Err(format!("nothing answered through any link of {}", self.part)),
                _ => Ok(()),
            }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.impede(&self.links, Impediment::Partition(PartitionMode::Blackhole))
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let now = states(testbed, self.processes.clone()).await?;
            if let Some((dead, _)) = now.iter().find(|(_, state)| *state == ProcessState::Gone) {
                return Err(format!("process {dead} of {} has ended", self.part));
            }
            let silent = settle(|| async {
                let now = try_all(testbed, &self.links).await?;
                judge(&self.before, &now)
            })
            .await?;
            Ok(format!("{silent}; {} processes of {} run on", self.processes.len(), self.part))
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(&self.links)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            for (link, before) in &self.before {
                carries_again(testbed, link, before).await.map_err(|why| format!("{link}: {why}"))?;
            }
            Ok(format!("nothing impedes its {} links any more, and what answered before answers", self.links.len()))
        })
    }
}

/// Every proxy that answered before is silent now.
fn judge(before: &BTreeMap<Link, Trials>, now: &BTreeMap<Link, Trials>) -> Proof {
    let mut silent = 0;
    for (link, before) in before {
        for proxy in answered(before).keys() {
            match now.get(link).and_then(|trials| trials.get(proxy)) {
                Some(LinkTrial::Silent) => silent += 1,
                // Its processes may have closed a door of their own, as one without a permit does.
                Some(LinkTrial::NoService) => {}
                other => return Err(format!("{proxy}: {other:?}, and not silent")),
            }
        }
    }
    if silent == 0 {
        return Err("no proxy is silent that answered before".to_owned());
    }
    Ok(format!("all {silent} proxies of {} links that answered before are silent", before.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_proxy_that_answered_must_be_silent() {
        let link: Link = "east -> west / sql".parse().unwrap();
        let trials = |trial: LinkTrial| BTreeMap::from([(link.clone(), Trials::from([("a".to_owned(), trial)]))]);
        let answer = || trials(LinkTrial::Answered(Duration::from_millis(1)));
        assert!(judge(&answer(), &trials(LinkTrial::Silent)).is_ok());
        for wrong in [answer(), trials(LinkTrial::Reset), trials(LinkTrial::Refused), BTreeMap::new()] {
            assert!(judge(&answer(), &wrong).is_err(), "{wrong:?}");
        }
        assert!(judge(&trials(LinkTrial::NoService), &trials(LinkTrial::Silent)).is_err(), "nothing to see");
    }
}
