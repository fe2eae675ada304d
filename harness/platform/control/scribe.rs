//! Persists what the core has decided, then performs it: nothing is done, and nothing answered, whose reason is not on
//! the disk. What waits together is written in one transaction, so a permit waits for two flushes at most.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    calls::Calls,
    inbox::{Full, Inbox, Reply},
    outbox::Outbox,
};
use crate::{
    api::{Region, Zone, compute, node::Command, route::Route, sabotage::Sabotage},
    platform::{
        core::{CallId, Event, Record},
        journal::{Delivery, Journal, JournalError},
    },
};

/// Decisions written together at most.
const TOGETHER_MAX: usize = 64;

/// Between two tries to write where there is no room.
const NO_ROOM: Duration = Duration::from_millis(200);

/// How late records are where the platform is sabotaged so: later than a switch takes.
const SABOTAGED_DELAY: Duration = Duration::from_secs(6);

/// Something to do once its reason is on the disk.
pub(super) enum Deed {
    Command { call: CallId, region: Region, zone: Zone, command: Box<Command> },
    Compute { call: CallId, region: Region, zone: Zone, command: compute::Command },
    Route { call: CallId, route: Route },
    Notify(u64),
    Reply(Reply),
}

/// One step's decisions.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) deeds: Vec<Deed>,
}

impl Batch {
    /// Nothing was decided.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.deeds.is_empty()
    }
}

/// Writes and performs.
pub(super) struct Scribe {
    pub(super) journal: Arc<Journal>,
    pub(super) calls: Arc<Calls>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Inbox,
    /// Grows with every write, for those who wait for news.
    pub(super) changes: watch::Sender<u64>,
    /// Told while there is no room for what was decided.
    pub(super) full: Full,
    pub(super) sabotage: Option<Sabotage>,
}

impl Scribe {
    /// Works until the driver has ended and its last decision is written.
    ///
    /// # Errors
    /// The journal's: a control plane that cannot write must end, unless all it lacks is room: then nothing was written and
    /// nothing done, and it waits for room.
    pub(super) async fn work(
        self,
        mut batches: mpsc::Receiver<Batch>,
        owed: Vec<Delivery>,
    ) -> Result<(), JournalError> {
        let mut running = JoinSet::new();
        running.spawn(Arc::clone(&self.outbox).resume(owed));
        let mut together = Vec::with_capacity(TOGETHER_MAX);
        let mut late: VecDeque<(Instant, Batch)> = VecDeque::new();
        loop {
            let due = late.front().map(|(due, _)| *due);
            tokio::select! {
                count = batches.recv_many(&mut together, TOGETHER_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    if self.sabotage == Some(Sabotage::ActBeforeJournalling) {
                        let records = records_of(&mut together);
                        late.push_back((Instant::now() + SABOTAGED_DELAY, Batch { records, deeds: Vec::new() }));
                    }
                    self.write(&mut together).await?;
                    let deeds: Vec<Deed> = together.drain(..).flat_map(|batch| batch.deeds).collect();
                    deeds.into_iter().for_each(|deed| self.perform(deed, &mut running));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let batch = late.pop_front().map(|(_, batch)| batch);
                    self.write(&mut batch.into_iter().collect::<Vec<_>>()).await?;
                }
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
    }

    async fn write(&self, together: &mut [Batch]) -> Result<(), JournalError> {
        let records = records_of(together);
        if records.is_empty() {
            return Ok(());
        }
        while let Err(error) = self.journal.write(&records).await {
            if !error.is_full() {
                return Err(error);
            }
            tracing::warn!(%error, "the journal's disk is full: waiting for room");
            self.full.set(true);
            sleep(NO_ROOM).await;
        }
        self.full.set(false);
        for record in &records {
            if let Record::Event(event) = record {
                let environment = event.environment.as_ref().map(ToString::to_string);
                let region = event.region.as_ref().map(ToString::to_string);
                tracing::info!(name = event.name, environment, region, detail = event.detail, "platform event");
            }
        }
        self.changes.send_modify(|revision| *revision += 1);
        Ok(())
    }

    fn perform(&self, deed: Deed, running: &mut JoinSet<()>) {
        match deed {
            Deed::Reply(reply) => reply(),
            Deed::Notify(notice) => {
                running.spawn(Arc::clone(&self.outbox).announce(notice));
            }
            Deed::Command { call, region, zone, command } => {
                let (calls, inbox) = (Arc::clone(&self.calls), self.inbox.clone());
                running.spawn(async move {
                    let result = calls.command(&region, zone, &command).await;
                    inbox.tell(Event::CallEnded { call, result }).await;
                });
            }
            Deed::Compute { call, region, zone, command } => {
                let (calls, inbox) = (Arc::clone(&self.calls), self.inbox.clone());
                running.spawn(async move {
                    let result = calls.compute(&region, zone, &command).await;
                    inbox.tell(Event::CallEnded { call, result }).await;
                });
            }
            Deed::Route { call, route } => {
                let (calls, inbox) = (Arc::clone(&self.calls), self.inbox.clone());
                running.spawn(async move {
                    let result = calls.route(&route).await;
                    inbox.tell(Event::CallEnded { call, result }).await;
                });
            }
        }
    }
}

fn records_of(batches: &mut [Batch]) -> Vec<Record> {
    batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.records)).collect()
}
