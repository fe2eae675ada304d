//! `zone.outage` by a freeze: every process of a zone stopped where it is, as a machine that hangs. Nothing is closed: whoever
//! calls is connected by the kernel and hears nothing, and what arrives meanwhile is read when it is healed. The nodes of a
//! file store go on without a frozen one only once they have given its drives up.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    part::{Part, try_all},
    trials::{Trials, answered, carries_again_within, count, named, settle, states},
};
use crate::{
    api::{Region, Zone},
    model::link::Link,
    testbed::{Deed, LinkTrial, Process, ProcessState, Testbed, TestbedError},
};

/// How long what wakes may take until it answers again: permits, connections and locks of its have run out meanwhile.
const AWAKE: Duration = Duration::from_secs(30);

/// How often what was forked in the instant of the stop is looked for.
const ROUNDS: usize = 10;

pub(super) struct ZoneFreeze {
    zone: Part,
    stopped: Vec<Process>,
    /// The links that lead to it, and what their proxies met.
    before: Vec<(Link, Trials)>,
}

impl ZoneFreeze {
    pub fn new(region: Region, zone: Zone) -> Self {
        Self { zone: Part::Zone(region, zone), stopped: Vec::new(), before: Vec::new() }
    }

    async fn freeze(&mut self, testbed: &dyn Testbed) -> Result<(), TestbedError> {
        for _ in 0..ROUNDS {
            let roots = self.zone.all_running(testbed).await.map_err(TestbedError::Failed)?;
            self.stopped = testbed.act(&roots, Deed::Stop).await?;
            let states = testbed.states(&self.stopped).await?;
            if !states.contains(&ProcessState::Running) {
                break;
            }
        }
        Ok(())
    }
}

impl Breakage for ZoneFreeze {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let sites = self.zone.sites(testbed);
            let mut links = self.zone.links(testbed);
            // What another site sends to here. A standby's log goes the other way: it is asked for here.
            links.retain(|link| {
                let called = if link.service == "sql" && link.from != "edge" { &link.from } else { &link.to };
                sites.contains(called)
            });
            self.before = try_all(testbed, &links).await?;
            if self.zone.all_running(testbed).await?.is_empty() {
                return Err(format!("nothing was running in {}", self.zone));
            }
            match self.before.iter().map(|(_, trials)| answered(trials).len()).sum::<usize>() {
                0 => Err(format!("nothing answered in {}", self.zone)),
                _ => Ok(()),
            }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.freeze(testbed))
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        let links: Vec<Link> = self.before.iter().map(|(link, _)| link.clone()).collect();
        Box::pin(settle(move || {
            let links = links.clone();
            async move {
                let states = states(testbed, self.stopped.clone()).await?;
                if let Some((process, _)) = states.iter().find(|(_, state)| *state == ProcessState::Running) {
                    return Err(format!("process {process} of {} runs", self.zone));
                }
                let stopped: Vec<Process> = states
                    .into_iter()
                    .filter(|(_, state)| *state == ProcessState::Stopped)
                    .map(|(one, _)| one)
                    .collect();
                if stopped.is_empty() {
                    return Err(format!("nothing of {} is stopped", self.zone));
                }
                let silent = silent(&self.before, &try_all(testbed, &links).await?)?;
                Ok(format!("{} stopped: {}; {silent}", count(stopped.len()), named(&stopped)))
            }
        }))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { testbed.act(&self.stopped, Deed::Continue).await.map(drop) })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            settle(|| async {
                let states = states(testbed, self.stopped.clone()).await?;
                match states.iter().find(|(_, state)| *state == ProcessState::Stopped) {
                    Some((process, _)) => Err(format!("process {process} is still stopped")),
                    None => Ok(String::new()),
                }
            })
            .await?;
            for (link, before) in &self.before {
                carries_again_within(AWAKE, testbed, link, before).await.map_err(|why| format!("{link}: {why}"))?;
            }
            Ok(format!("{} go on, and what answered before answers", count(self.stopped.len())))
        })
    }
}

/// Every proxy that answered before is silent now.
fn silent(before: &[(Link, Trials)], now: &[(Link, Trials)]) -> Proof {
    let mut silent = 0;
    for ((_, before), (_, now)) in before.iter().zip(now) {
        for proxy in answered(before).keys() {
            match now.get(proxy) {
                Some(LinkTrial::Silent) => silent += 1,
                other => return Err(format!("{proxy}: {other:?}, and not silent")),
            }
        }
    }
    Ok(format!("all {silent} proxies of {} links that answered there are silent", before.len()))
}
