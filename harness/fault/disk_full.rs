//! `disk.full`: the disk that a process writes to has no space left.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::settle,
};
use crate::{
    model::process::ProcessName,
    testbed::{DiskDeed, Space, Testbed, TestbedError},
};

/// Less than this is none: what is left are crumbs of a file system.
const CRUMBS_BYTES: u64 = 64 * 1024;

pub(super) struct DiskFull {
    process: ProcessName,
}

impl DiskFull {
    pub fn new(process: ProcessName) -> Self {
        Self { process }
    }

    /// Observes that it is full, or that it is not.
    async fn settled(&self, testbed: &dyn Testbed, full: bool) -> Proof {
        settle(|| async {
            let Space { total, free, refuses } = self.look(testbed).await?;
            let told = format!("{} of {} are free", kib(free), kib(total));
            match (full, refuses, free < CRUMBS_BYTES) {
                (true, true, true) => Ok(format!("{told}, and a write is refused for want of space")),
                (false, false, false) => Ok(format!("{told}, and a write is taken")),
                _ => Err(told),
            }
        })
        .await
    }

    async fn look(&self, testbed: &dyn Testbed) -> Result<Space, String> {
        testbed.disk(&self.process, DiskDeed::Look).await.map_err(|error| error.to_string())
    }
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

impl Breakage for DiskFull {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let space = self.look(testbed).await?;
            if space.refuses || space.free < CRUMBS_BYTES {
                return Err(format!("it was full before: {} of {} free", kib(space.free), kib(space.total)));
            }
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { testbed.disk(&self.process, DiskDeed::Fill).await.map(drop) })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(self.settled(testbed, true))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { testbed.disk(&self.process, DiskDeed::Free).await.map(drop) })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(self.settled(testbed, false))
    }
}
