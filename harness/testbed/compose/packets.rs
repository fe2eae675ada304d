//! Mishaps of packets: a container beside each Toxiproxy concerned, in its network namespace, for as long as it lasts.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{docker::Beside, docker::Engine, mishap::Task, plan::Project};
use crate::{
    clients::poll,
    model::fault::Mishap,
    testbed::{
        contract::{PacketCounts, TestbedError},
        layout::{Group, hosts},
        links,
    },
};

/// How long one may take to begin.
const BEGIN: Duration = Duration::from_secs(15);

/// Between two looks whether it has begun.
const LOOK: Duration = Duration::from_millis(50);

/// Lets mishaps befall the packets of a project's links.
pub(super) struct Packets {
    engine: Engine,
    project: Project,
    /// The containers that are there.
    there: Mutex<BTreeSet<String>>,
}

impl Packets {
    /// Those of a project.
    pub fn new(engine: Engine, project: Project) -> Self {
        Self { engine, project, there: Mutex::default() }
    }

    /// What does it for these ports.
    fn container(&self, group: &Group, ports: &[u16]) -> String {
        let first = ports.first().copied().unwrap_or_default();
        self.project.container(&format!("{}-packets-{first}", hosts::links(group)))
    }

    fn note(&self, container: &str, is_there: bool) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there {
            there.insert(container.to_owned())
        } else {
            there.remove(container)
        };
    }

    /// Removes all of them: their networks are about to go.
    pub async fn end(&self) {
        let there = std::mem::take(&mut *self.there.lock().unwrap_or_else(PoisonError::into_inner));
        for container in there {
            if let Err(error) = self.engine.remove(&container).await {
                tracing::debug!(%container, %error, "not removed");
            }
        }
    }

    async fn begin(&self, group: &Group, task: &Task) -> Result<(), TestbedError> {
        let container = self.container(group, &task.ports);
        // One that came beside the same Toxiproxy when that ran before.
        self.engine.remove(&container).await?;
        let beside = Beside {
            name: container.clone(),
            of: self.project.container(&hosts::links(group)),
            image_of: self.project.container(hosts::CLIENT),
            project: self.project.0.clone(),
            command: command(task)?,
        };
        self.note(&container, true);
        self.engine.start_beside(&beside).await?;
        let begun = || async {
            if let Some(how) = self.engine.ended(&container).await {
                return Ok(Err(how));
            }
            match self.told(&container).await {
                Ok(Some(_)) => Ok(Ok(())),
                Ok(None) => Err("it says nothing".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let waited = poll::until(container.clone(), BEGIN, LOOK, begun).await;
        if let Err(why) = waited.map_err(|error| error.to_string()).and_then(|begun| begun) {
            let last = self.engine.last_words(&container).await;
            return Err(TestbedError::Failed(format!("{} of packets: {why}: {last}", task.mishap.name())));
        }
        Ok(())
    }

    async fn stop(&self, group: &Group, ports: &[u16]) -> Result<(), TestbedError> {
        let container = self.container(group, ports);
        let how = self.engine.stop(&container).await?;
        if how != Some(0) {
            let last = self.engine.last_words(&container).await;
            return Err(TestbedError::Failed(format!("{container} ended with exit code {how:?}: {last}")));
        }
        self.note(&container, false);
        self.engine.remove(&container).await
    }

    /// What it has told last.
    async fn told(&self, container: &str) -> Result<Option<PacketCounts>, TestbedError> {
        let log = self.engine.log(container, false).await?;
        let text = String::from_utf8_lossy(&log);
        Ok(text.lines().rev().find_map(|line| serde_json::from_str(line).ok()))
    }
}

fn command(task: &Task) -> Result<Vec<String>, TestbedError> {
    let task = serde_json::to_string(task).map_err(|error| TestbedError::Failed(error.to_string()))?;
    Ok(["role", "packets", "--config", "/", "--ask", &task].map(str::to_owned).to_vec())
}

impl links::Packets for Packets {
    fn afflict<'a>(
        &'a self,
        group: &'a Group,
        ports: &'a [u16],
        mishap: Mishap,
        seed: u64,
    ) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.begin(group, &Task { ports: ports.to_vec(), mishap, seed }).await })
    }

    fn relieve<'a>(&'a self, group: &'a Group, ports: &'a [u16]) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.stop(group, ports))
    }

    fn counts<'a>(&'a self, group: &'a Group, ports: &'a [u16]) -> BoxFuture<'a, Result<PacketCounts, TestbedError>> {
        Box::pin(async move {
            let container = self.container(group, ports);
            let told = self.told(&container).await?;
            told.ok_or_else(|| TestbedError::Failed(format!("{container} tells nothing of packets")))
        })
    }
}
