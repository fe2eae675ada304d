//! `process.kill`: SIGKILL to a process and all its children.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{gone, named, running, settle},
};
use crate::{
    model::process::ProcessName,
    testbed::{Deed, Process, Testbed, TestbedError},
};

pub(super) struct ProcessKill {
    process: ProcessName,
    roots: Vec<Process>,
    killed: Vec<Process>,
}

impl ProcessKill {
    pub fn new(process: ProcessName) -> Self {
        Self { process, roots: Vec::new(), killed: Vec::new() }
    }
}

impl Breakage for ProcessKill {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.roots = running(testbed, &self.process).await?;
            if self.roots.is_empty() { Err(format!("no process {} was running", self.process)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            self.killed = testbed.act(&self.roots, Deed::Kill).await?;
            Ok(())
        })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(gone(testbed, &self.killed))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // Whoever looks after it (a node, a lost region's return) may have been quicker.
            if testbed.processes(&self.process).await?.is_empty() || self.process.service == "postgres" {
                testbed.restart(&self.process).await
            } else {
                Ok(())
            }
        })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let now = running(testbed, &self.process).await?;
            match now.iter().find(|process| self.killed.contains(process)) {
                Some(old) => Err(format!("process {old} still runs")),
                None if now.is_empty() => Err(format!("no process {} runs", self.process)),
                None => Ok(format!("runs again as {}", named(&now))),
            }
        }))
    }
}
