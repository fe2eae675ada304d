//! What all lanes of one environment share.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    Pulse, Target,
    rates::Tally,
    sides::Sides,
    stop::{Stop, StopSwitch},
};
use crate::{
    clients::postgres,
    model::{
        RunTime, Token,
        operation::{Connection, EnvironmentIndex, Lane, Told},
    },
    workload::{Clock, Journal},
};

/// Streams are numbered from here; those below belong to what [`super::prepare`] writes, one for each environment.
const STREAM_FIRST: u32 = 0x1000;

/// A token has 24 bits for its stream.
const STREAM_MAX: u32 = 0xff_ffff;

/// What all lanes of all environments share.
pub(super) struct House {
    /// Where intents and outcomes go.
    pub journal: Arc<dyn Journal>,
    /// The run's clock.
    pub clock: Clock,
    /// The run's number.
    pub run: u32,
    /// Hard deadline of every operation, from sending.
    pub deadline: Duration,
    /// Live figures.
    pub tally: Tally,
    streams: AtomicU32,
    problem: OnceLock<String>,
    stop: StopSwitch,
}

impl House {
    /// What a load with these settings shares.
    pub fn new(journal: Arc<dyn Journal>, clock: Clock, run: u32, deadline: Duration, stop: StopSwitch) -> Self {
        Self {
            journal,
            clock,
            run,
            deadline,
            tally: Tally::default(),
            streams: AtomicU32::new(STREAM_FIRST),
            problem: OnceLock::new(),
            stop,
        }
    }

    /// The number of a new stream. Numbers do not come round: past the last, the load ends.
    pub fn stream(&self) -> u32 {
        let stream = self.streams.fetch_add(1, Relaxed);
        if stream >= STREAM_MAX {
            self.give_up("the numbers of streams are used up".to_owned());
        }
        stream.min(STREAM_MAX)
    }

    /// What the journal answered; a load that cannot be recorded must not go on.
    pub fn recorded(&self, written: io::Result<()>) -> Option<()> {
        written.map_err(|error| self.give_up(format!("the ledger cannot be written: {error}"))).ok()
    }

    /// Why the load ended by itself.
    pub fn problem(&self) -> Option<String> {
        self.problem.get().cloned()
    }

    /// Hears that the load is to stop.
    pub fn stopped(&self) -> Stop {
        self.stop.heard()
    }

    /// Ends the load.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Ends the load, which cannot go on.
    pub fn give_up(&self, why: String) {
        // The first reason stands.
        let _ = self.problem.set(why);
        self.stop();
    }
}

/// What all lanes of one environment share.
pub(super) struct Desk {
    /// What all environments share.
    pub house: Arc<House>,
    /// The environment.
    pub target: Target,
    /// Which side answers.
    pub sides: Arc<Sides>,
    /// Heartbeats.
    pub pulse: Arc<Pulse>,
    acked: AtomicU64,
}

impl Desk {
    /// The desk of one environment.
    pub fn new(house: Arc<House>, target: Target) -> Self {
        Self { house, target, sides: Arc::default(), pulse: Arc::default(), acked: AtomicU64::new(0) }
    }

    /// An operation was answered, or given up, and that is in the ledger.
    pub fn told(&self, lane: Lane, told: &Told) {
        self.house.tally.told(lane, told);
        if matches!(lane, Lane::Writer(_)) && told.is_ok() {
            self.acked.fetch_add(1, Relaxed);
        }
    }

    /// How many writes of its writers were acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked.load(Relaxed)
    }

    /// The environment's index.
    pub fn environment(&self) -> EnvironmentIndex {
        self.target.environment
    }

    /// The time.
    pub fn now(&self) -> RunTime {
        self.house.clock.now()
    }

    /// Where and as whom the app reads and writes SQL.
    pub fn app(&self, purpose: &str) -> postgres::Target {
        let endpoints = &self.target.endpoints;
        postgres::Target {
            port: endpoints.sql_rw_port,
            database: endpoints.database.clone(),
            login: endpoints.app.clone(),
            application: format!("geodrill {purpose}"),
        }
    }

    /// Where and as whom SQL is only read.
    pub fn reader(&self) -> postgres::Target {
        let endpoints = &self.target.endpoints;
        postgres::Target { port: endpoints.sql_ro_port, login: endpoints.reader.clone(), ..self.app("probe") }
    }

    /// A client of the files door, the one for writing or the one for reading.
    pub fn files(&self, write: bool, connection: Connection) -> super::files::Files {
        let endpoints = &self.target.endpoints;
        let port = if write { endpoints.files_rw_port } else { endpoints.files_ro_port };
        super::files::Files::new(port, &endpoints.bucket, &endpoints.s3, self.house.deadline, connection)
    }
}

/// One stream: operations sent one after another, each with the next number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// Its number.
    pub id: u32,
    /// The number of its next operation.
    pub next: u32,
}

impl Stream {
    /// A stream that has sent nothing.
    pub fn new(id: u32) -> Self {
        Self { id, next: 0 }
    }

    /// The name of its next operation.
    pub fn token(&mut self, run: u32, epoch: u32) -> Token {
        let sequence = self.next;
        self.next += 1;
        Token { run, stream: self.id, sequence, epoch }
    }
}
