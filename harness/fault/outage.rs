//! `region.outage`, and `zone.outage` by a kill: every process of a region or zone killed and every link of it cut, in the same
//! instant.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    part::{Part, SERVICES, try_all},
    trials::{gone, settle},
};
use crate::{
    model::process::ProcessName,
    testbed::{LinkTrial, Process, Testbed, TestbedError},
};

/// What the testbed itself starts again in each site; clusters are the node's to start.
const RETURNING: [&str; 3] = ["files", "node", "compute"];

pub(super) struct Outage {
    part: Part,
    killed: Vec<Process>,
}

impl Outage {
    pub fn new(part: Part) -> Self {
        Self { part, killed: Vec::new() }
    }

    /// What every proxy of every link of it met, by the proxy's name.
    async fn trials(&self, testbed: &dyn Testbed) -> Result<Vec<(String, LinkTrial)>, String> {
        Ok(try_all(testbed, &self.part.links(testbed)).await?.into_iter().flat_map(|(_, trials)| trials).collect())
    }
}

impl Breakage for Outage {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let roots = self.part.all_running(testbed).await?;
            self.killed = testbed.trees(&roots).await.map_err(|error| error.to_string())?;
            self.killed.sort();
            self.killed.dedup();
            if self.killed.is_empty() { Err(format!("nothing was running in {}", self.part)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        self.part.lose(testbed)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let dead = gone(testbed, &self.killed).await?;
            for service in SERVICES {
                if !self.part.running(testbed, service).await?.is_empty() {
                    return Err(format!("{} / {service} runs", self.part));
                }
            }
            settle(|| async {
                let trials = self.trials(testbed).await?;
                let open = trials.iter().find(|(_, trial)| !matches!(trial, LinkTrial::Refused | LinkTrial::Cut));
                match open {
                    Some((proxy, trial)) => Err(format!("{proxy} is not cut: {trial:?}")),
                    None => Ok(format!("{dead}; all {} proxies of its links refuse connections", trials.len())),
                }
            })
            .await
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        self.part.bring_back(testbed)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            for site in self.part.sites(testbed) {
                for service in RETURNING {
                    let name = ProcessName { site: site.clone(), service: service.to_owned(), environment: None };
                    match &super::trials::running(testbed, &name).await?[..] {
                        [] => return Err(format!("{name} does not run")),
                        [process, ..] if self.killed.contains(process) => {
                            return Err(format!("{name} is the one that was killed"));
                        }
                        _ => {}
                    }
                }
            }
            let trials = self.trials(testbed).await?;
            // `Cut` is left only on links to another part that is itself lost: this one's own cut is taken back.
            let shut = trials.iter().find(|(_, trial)| *trial == LinkTrial::Refused);
            let answering = trials.iter().filter(|(_, trial)| matches!(trial, LinkTrial::Answered(_))).count();
            match shut {
                Some((proxy, _)) => Err(format!("{proxy} still refuses connections")),
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
