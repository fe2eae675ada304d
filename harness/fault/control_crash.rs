//! `control.crash`: SIGKILL to the control plane, which is started again on the journal that it left.
//!
//! The moment ("as its journal enters this step") is waited for by whoever injects it, who alone knows since when; this does
//! the deed at once.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    process_kill::ProcessKill,
    trials::{ANSWER, settle_within, try_link},
};
use crate::{
    model::{link::Link, process::ProcessName},
    testbed::{LinkTrial, Testbed, TestbedError},
};

/// How long it may take to answer over its link once it runs: everybody comes back to it at once, and where it is a machine of its own
/// that was away, those who called meanwhile have yet to learn that it is there again.
const BACK: Duration = Duration::from_secs(30);

pub(super) struct ControlCrash {
    kill: ProcessKill,
}

impl ControlCrash {
    pub fn new() -> Self {
        let process = ProcessName { site: "witness".to_owned(), service: "control".to_owned(), environment: None };
        Self { kill: ProcessKill::new(process) }
    }
}

impl Breakage for ControlCrash {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        self.kill.before(testbed)
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        self.kill.act(testbed)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        self.kill.prove(testbed)
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        self.kill.undo(testbed)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let runs = self.kill.prove_healed(testbed).await?;
            let link = Link::new("client", "witness", "control");
            settle_within(BACK, || async {
                let trials = try_link(testbed, &link, ANSWER).await?;
                match trials.iter().find(|(_, trial)| !matches!(trial, LinkTrial::Answered(_) | LinkTrial::Cut)) {
                    Some((proxy, trial)) => Err(format!("{proxy}: {trial:?}")),
                    None => Ok(format!("{runs}, and answers")),
                }
            })
            .await
        })
    }
}
