//! `network.disconnect`: the host of a process is off the network. Nothing is closed and nothing refused: whoever is at the
//! other end of a connection hears nothing, and it goes on where it was if the host is back in time.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, count, running, settle, states},
};
use crate::{
    model::process::ProcessName,
    testbed::{Process, ProcessState, Testbed, TestbedError},
};

pub(super) struct NetworkDisconnect {
    process: ProcessName,
    processes: Vec<Process>,
}

impl NetworkDisconnect {
    pub fn new(process: ProcessName) -> Self {
        Self { process, processes: Vec::new() }
    }

    async fn answers(&self, testbed: &dyn Testbed, wanted: bool) -> Result<(), String> {
        let answers = testbed.answers(&self.process, ANSWER).await.map_err(|error| error.to_string())?;
        match (answers, wanted) {
            (true, false) => Err(format!("{} still answers", self.process)),
            (false, true) => Err(format!("{} does not answer", self.process)),
            _ => Ok(()),
        }
    }
}

impl Breakage for NetworkDisconnect {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.processes = running(testbed, &self.process).await?;
            if self.processes.is_empty() {
                return Err(format!("no process {} was running", self.process));
            }
            self.answers(testbed, true).await
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.plug(&self.process, false)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            self.answers(testbed, false).await?;
            let now = states(testbed, self.processes.clone()).await?;
            match now.iter().find(|(_, state)| *state != ProcessState::Running) {
                Some((process, state)) => Err(format!("{process} is off the network, and {state:?}")),
                None => Ok(format!("{} does not answer, and runs ({})", self.process, count(now.len()))),
            }
        }))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.plug(&self.process, true)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            self.answers(testbed, true).await?;
            Ok(format!("{} answers again", self.process))
        }))
    }
}
