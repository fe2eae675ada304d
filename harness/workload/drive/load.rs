//! The whole load of a run: every writer and every probe of every environment.

use std::{sync::Arc, time::Duration};

use tokio::{sync::broadcast, task::JoinSet, time::timeout};

use super::{
    OldSide, Pulse, Rates,
    desk::{Desk, House},
    hand::Hand,
    old_side, probe,
    sides::Sides,
    sql::Sql,
    stop::stop,
    writer,
};
use crate::{
    api::{Region, environment::Endpoints},
    model::{
        RunTime,
        operation::{Connection, EnvironmentIndex, Lane},
        plan::Workload,
    },
    workload::{Clock, Journal, schedule::WriterSchedule},
};

/// Stalls kept for a receiver that does not fetch them.
const STALLS_MAX: usize = 1024;

/// One environment that is loaded.
#[derive(Clone)]
pub struct Target {
    /// Its index in the scenario.
    pub environment: EnvironmentIndex,
    /// Where its customers reach it.
    pub endpoints: Endpoints,
    /// The regions, in the order of sides.
    pub regions: [Region; 2],
}

/// What is sent, where, and where it is recorded.
pub struct LoadSpec {
    /// The environments, prepared.
    pub targets: Vec<Target>,
    /// The load of each.
    pub workload: Workload,
    /// Decides what is sent.
    pub seed: u64,
    /// The run's number, in every token.
    pub run: u32,
    /// The run's clock.
    pub clock: Clock,
    /// Where intents and outcomes go.
    pub journal: Arc<dyn Journal>,
}

/// The examiner was held up: a probe that was due was sent late, and not because the one before it still waited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// When it was due.
    pub at: RunTime,
    /// How much later it was sent.
    pub seconds: f64,
}

/// Shows a load's live figures, also after its end.
#[derive(Clone)]
pub struct Gauge {
    house: Arc<House>,
    desks: Vec<Arc<Desk>>,
}

impl Gauge {
    /// The figures now.
    pub fn rates(&self) -> Rates {
        self.house.tally.rates()
    }

    /// How many writes of the writers were acknowledged in this environment, or in all: each is in the ledger already.
    pub fn acked(&self, environment: Option<EnvironmentIndex>) -> u64 {
        let wanted = |desk: &&Arc<Desk>| environment.is_none_or(|environment| desk.environment() == environment);
        self.desks.iter().filter(wanted).map(|desk| desk.acked()).sum()
    }
}

/// How a load ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The last figures.
    pub rates: Rates,
    /// Why it cannot be relied on: it could not be recorded, or a lane broke off.
    pub problem: Option<String>,
}

/// A load that runs. Dropped, it ends at once, and what was in flight has no outcome.
#[must_use = "a load that is dropped ends"]
pub struct Load {
    house: Arc<House>,
    desks: Vec<Arc<Desk>>,
    lanes: JoinSet<()>,
    stalls: broadcast::Sender<Stall>,
}

impl Load {
    /// Starts every lane. Must be called inside a tokio runtime.
    pub fn start(spec: LoadSpec) -> Load {
        let LoadSpec { targets, workload, seed, run, clock, journal } = spec;
        let (switch, stop) = stop();
        let house = Arc::new(House::new(journal, clock, run, workload.deadline, switch));
        let desks: Vec<_> = targets.into_iter().map(|target| Arc::new(Desk::new(house.clone(), target))).collect();
        let (stalls, _) = broadcast::channel(STALLS_MAX);
        let mut lanes = JoinSet::new();
        let start = clock.now();
        for desk in &desks {
            for number in 0..workload.writers {
                let schedule = WriterSchedule::new(&workload, seed, desk.environment(), number);
                let sql = Sql::new(desk.app("writer"), Connection::LongLived);
                let files = desk.files(true, Connection::LongLived);
                let hand = Hand::new(desk, Lane::Writer(number), sql, files);
                lanes.spawn(writer::run(hand, schedule, start, workload.file_bytes, stop.clone()));
            }
            for (kind, place) in probe::KINDS.into_iter().zip(0..) {
                // Shifted against each other, so that they do not all meet every tick.
                let start = start.plus(workload.probe_period * place / 8);
                lanes.spawn(probe::run(kind, desk.clone(), workload.clone(), start, stalls.clone(), stop.clone()));
            }
        }
        Load { house, desks, lanes, stalls }
    }

    /// Has the side that served before asked too, past the edge, from the moment at which clients are first answered by the
    /// other one. Must be called inside a tokio runtime.
    pub fn ask_old_sides(&mut self, doors: &OldSide) {
        for desk in &self.desks {
            for (store, access) in old_side::KINDS {
                self.lanes.spawn(old_side::run(desk.clone(), store, access, doors.clone(), self.house.stopped()));
            }
        }
    }

    /// Live figures.
    pub fn rates(&self) -> Rates {
        self.house.tally.rates()
    }

    /// Live figures for whoever follows the load without owning it.
    pub fn gauge(&self) -> Gauge {
        Gauge { house: self.house.clone(), desks: self.desks.clone() }
    }

    /// Stalls of the examiner from now on.
    pub fn stalls(&self) -> broadcast::Receiver<Stall> {
        self.stalls.subscribe()
    }

    /// Each environment's heartbeats and the side that answers it, for [`crate::workload::lag`].
    pub fn pulses(&self) -> Vec<(EnvironmentIndex, Arc<Pulse>, Arc<Sides>)> {
        self.desks.iter().map(|desk| (desk.environment(), desk.pulse.clone(), desk.sides.clone())).collect()
    }

    /// Why the load has ended by itself, if it has: it could not be recorded.
    pub fn problem(&self) -> Option<String> {
        self.house.problem()
    }

    /// Sends nothing more, waits until everything in flight was answered or has met its deadline, and closes.
    pub async fn stop(mut self) -> Stopped {
        self.house.stop();
        // An operation and the deletion of its object, each with a deadline of its own. Whatever still hangs after that is
        // ended without an outcome: in doubt.
        let within = self.house.deadline * 2 + Duration::from_secs(1);
        let ended = timeout(within, async {
            while let Some(lane) = self.lanes.join_next().await {
                if let Err(error) = lane {
                    self.house.give_up(format!("a lane broke off: {error}"));
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!(lanes = self.lanes.len(), "lanes did not end in time");
        }
        Stopped { rates: self.house.tally.rates(), problem: self.house.problem() }
    }
}
