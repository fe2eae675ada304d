//! `region.outage`: every process of a region killed and every link of it cut, in the same instant.

use futures_util::future::{BoxFuture, join_all};

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, gone, running, settle, try_link},
};
use crate::{
    api::Region,
    model::{link::Link, process::ProcessName},
    testbed::{LinkTrial, Process, Testbed, TestbedError},
};

/// What runs in a region.
const SERVICES: [&str; 4] = ["postgres", "files", "node", "compute"];

/// What the testbed itself starts again there; clusters are the node's to start.
const RETURNING: [&str; 3] = ["files", "node", "compute"];

pub(super) struct RegionOutage {
    region: Region,
    killed: Vec<Process>,
}

impl RegionOutage {
    pub fn new(region: Region) -> Self {
        Self { region, killed: Vec::new() }
    }

    async fn running(&self, testbed: &dyn Testbed, service: &str) -> Result<Vec<Process>, String> {
        let service = service.to_owned();
        running(testbed, &ProcessName { site: self.region.to_string(), service, environment: None }).await
    }

    /// What every proxy of every link of the region met.
    async fn trials(&self, testbed: &dyn Testbed) -> Result<Vec<(Link, String, LinkTrial)>, String> {
        let links: Vec<Link> = testbed.links().into_iter().filter(|link| link.touches(self.region.as_str())).collect();
        let tried = join_all(links.iter().map(|link| try_link(testbed, link, ANSWER))).await;
        let mut all = Vec::new();
        for (link, trials) in links.iter().zip(tried) {
            all.extend(trials?.into_iter().map(|(proxy, trial)| (link.clone(), proxy, trial)));
        }
        Ok(all)
    }
}

impl Breakage for RegionOutage {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut roots = Vec::new();
            for service in SERVICES {
                roots.extend(self.running(testbed, service).await?);
            }
            self.killed = testbed.trees(&roots).await.map_err(|error| error.to_string())?;
            self.killed.sort();
            self.killed.dedup();
            if self.killed.is_empty() { Err(format!("nothing was running in {}", self.region)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.lose_region(&self.region)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let dead = gone(testbed, &self.killed).await?;
            for service in SERVICES {
                if !self.running(testbed, service).await?.is_empty() {
                    return Err(format!("{} / {service} runs", self.region));
                }
            }
            settle(|| async {
                let trials = self.trials(testbed).await?;
                let open = trials.iter().find(|(_, _, trial)| !matches!(trial, LinkTrial::Refused | LinkTrial::Cut));
                match open {
                    Some((_, proxy, trial)) => Err(format!("{proxy} is not cut: {trial:?}")),
                    None => Ok(format!("{dead}; all {} proxies of its links refuse connections", trials.len())),
                }
            })
            .await
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.return_region(&self.region)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            for service in RETURNING {
                match &self.running(testbed, service).await?[..] {
                    [] => return Err(format!("{} / {service} does not run", self.region)),
                    [process, ..] if self.killed.contains(process) => {
                        return Err(format!("{} / {service} is the one that was killed", self.region));
                    }
                    _ => {}
                }
            }
            let trials = self.trials(testbed).await?;
            // `Cut` is left only on links to another region that is itself lost: this one's own cut is taken back.
            let shut = trials.iter().find(|(_, _, trial)| *trial == LinkTrial::Refused);
            let answering = trials.iter().filter(|(_, _, trial)| matches!(trial, LinkTrial::Answered(_))).count();
            match shut {
                Some((_, proxy, _)) => Err(format!("{proxy} still refuses connections")),
                None if answering == 0 => Err("nothing answers through any of its links".to_owned()),
                None => Ok(format!(
                    "{} run again; {answering} of {} proxies of its links answer, none refuses",
                    RETURNING.join(", "),
                    trials.len()
                )),
            }
        }))
    }
}
