//! `process.kill`: SIGKILL to a process and all its children.

use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;

use super::{
    breakage::{Breakage, Proof},
    trials::{gone, pids, settle},
};
use crate::{
    model::process::ProcessName,
    os::process::Identity,
    testbed::{Testbed, TestbedError},
};

pub(super) struct ProcessKill {
    process: ProcessName,
    roots: Vec<Identity>,
    killed: Vec<Identity>,
}

impl ProcessKill {
    pub fn new(process: ProcessName) -> Self {
        Self { process, roots: Vec::new(), killed: Vec::new() }
    }
}

impl Breakage for ProcessKill {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.roots = testbed.processes(&self.process);
            if self.roots.is_empty() { Err(format!("no process {} was running", self.process)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            self.killed = self.roots.iter().copied().flat_map(Identity::tree).collect();
            let failed = |error: std::io::Error| TestbedError::Failed(format!("kill {}: {error}", self.process));
            for process in &self.killed {
                process.signal(Signal::SIGKILL).map_err(failed)?;
            }
            Ok(())
        })
    }

    fn prove<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(gone(&self.killed))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // Whoever looks after it (a node, a lost region's return) may have been quicker.
            if testbed.processes(&self.process).is_empty() || self.process.service == "postgres" {
                testbed.restart(&self.process).await
            } else {
                Ok(())
            }
        })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let now = testbed.processes(&self.process);
            match now.iter().find(|process| self.killed.contains(process)) {
                Some(old) => Err(format!("process {} still runs", old.pid)),
                None if now.is_empty() => Err(format!("no process {} runs", self.process)),
                None => Ok(format!("runs again as {}", pids(&now))),
            }
        }))
    }
}
