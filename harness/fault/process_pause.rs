//! `process.pause`: SIGSTOP to a process and all its children, each by itself, since every child of a postmaster has a
//! process group of its own. It is no partition: what arrives meanwhile waits in the kernel and is read afterwards.

use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;

use super::{
    breakage::{Breakage, Proof},
    trials::{count, pids, settle},
};
use crate::{
    model::process::ProcessName,
    os::process::Identity,
    testbed::{Testbed, TestbedError},
};

/// State letters of stopped processes.
const STOPPED: [char; 2] = ['T', 't'];

pub(super) struct ProcessPause {
    process: ProcessName,
    roots: Vec<Identity>,
}

impl ProcessPause {
    pub fn new(process: ProcessName) -> Self {
        Self { process, roots: Vec::new() }
    }

    fn signal(&self, signal: Signal) -> Result<(), TestbedError> {
        for root in &self.roots {
            root.signal_tree(signal)
                .map_err(|error| TestbedError::Failed(format!("send {signal} to {}: {error}", self.process)))?;
        }
        Ok(())
    }

    fn tree(&self) -> Vec<Identity> {
        self.roots.iter().copied().flat_map(Identity::tree).collect()
    }
}

impl Breakage for ProcessPause {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.roots = testbed.processes(&self.process);
            if self.roots.is_empty() { Err(format!("no process {} was running", self.process)) } else { Ok(()) }
        })
    }

    fn act<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.signal(Signal::SIGSTOP) })
    }

    fn prove<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let tree = self.tree();
            // A zombie has no state to stop in; its stopped parent collects it later.
            let running = tree.iter().find(|process| process.state().is_some_and(|state| !STOPPED.contains(&state)));
            match running {
                Some(process) => Err(format!("process {} is in state {:?}", process.pid, process.state())),
                None if tree.is_empty() => Err("it is gone".to_owned()),
                None => Ok(format!("{} stopped (state T): {}", count(tree.len()), pids(&tree))),
            }
        }))
    }

    fn undo<'a>(&'a mut self, _: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.signal(Signal::SIGCONT) })
    }

    fn prove_healed<'a>(&'a self, _: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let tree = self.tree();
            match tree.iter().find(|process| process.state().is_some_and(|state| STOPPED.contains(&state))) {
                Some(process) => Err(format!("process {} is still stopped", process.pid)),
                None if tree.is_empty() => Ok("it has ended meanwhile".to_owned()),
                None => Ok(format!("{} continued", count(tree.len()))),
            }
        }))
    }
}
