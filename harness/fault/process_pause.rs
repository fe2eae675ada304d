//! `process.pause`: a process and all its children stopped, each by itself, since every child of a postmaster has a process
//! group of its own. It is no partition: what arrives meanwhile waits in the kernel and is read afterwards.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{count, named, running, settle, states},
};
use crate::{
    model::process::ProcessName,
    testbed::{Deed, Process, ProcessState, Testbed, TestbedError},
};

pub(super) struct ProcessPause {
    process: ProcessName,
    roots: Vec<Process>,
}

impl ProcessPause {
    pub fn new(process: ProcessName) -> Self {
        Self { process, roots: Vec::new() }
    }

    async fn tree(&self, testbed: &dyn Testbed) -> Result<Vec<(Process, ProcessState)>, String> {
        let tree = testbed.trees(&self.roots).await.map_err(|error| error.to_string())?;
        states(testbed, tree).await
    }
}

impl Breakage for ProcessPause {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.roots = running(testbed, &self.process).await?;
            if self.roots.is_empty() { Err(format!("no process {} was running", self.process)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { testbed.act(&self.roots, Deed::Stop).await.map(drop) })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            // One that has ended has no state to stop in; its stopped parent collects it later.
            let tree: Vec<_> = self.tree(testbed).await?;
            let stopped: Vec<Process> = of_state(&tree, ProcessState::Stopped);
            match of_state(&tree, ProcessState::Running).first() {
                Some(process) => Err(format!("process {process} runs")),
                None if stopped.is_empty() => Err("it is gone".to_owned()),
                None => Ok(format!("{} stopped: {}", count(stopped.len()), named(&stopped))),
            }
        }))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { testbed.act(&self.roots, Deed::Continue).await.map(drop) })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let tree = self.tree(testbed).await?;
            let running = of_state(&tree, ProcessState::Running).len();
            match of_state(&tree, ProcessState::Stopped).first() {
                Some(process) => Err(format!("process {process} is still stopped")),
                None if running == 0 => Ok("it has ended meanwhile".to_owned()),
                None => Ok(format!("{} continued", count(running))),
            }
        }))
    }
}

fn of_state(tree: &[(Process, ProcessState)], wanted: ProcessState) -> Vec<Process> {
    tree.iter().filter(|(_, state)| *state == wanted).map(|(process, _)| process.clone()).collect()
}
