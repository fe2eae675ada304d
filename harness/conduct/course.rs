//! The phases of a run, in order: deploy, load, timeline, settle, quiesce, read.

use std::{sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{
    sync::{Mutex, broadcast, mpsc},
    task::JoinHandle,
    time::{interval, sleep},
};

use super::{
    DrillError, claims, converge, deploy, due,
    folder::Layout,
    notices::Receiver,
    observe::Observer,
    old_side, prefill, quotas,
    recorder::{Recorder, deadline},
    replica, reports,
    seats::Seats,
    timeline::{Orders, Timeline},
    watch::{self, Boundaries},
    zones::Zones,
};
use crate::{
    api::environment::Endpoints,
    ledger,
    model::{
        RunTime,
        event::{Event, RunPhase, What},
        operation::{EnvironmentIndex, Side},
        plan::Plan,
    },
    plane::{Plane, ReferencePlane},
    testbed::Testbed,
    workload::{
        self, Gauge, Load, LoadSpec, Rates, Stall,
        lag::{LagProbe, LagSample, LagSampler},
    },
};

/// Longest wait for the roles to have found one another.
const READY: Duration = Duration::from_secs(20);
/// Bound of each of the first writes.
const PREPARE: Duration = Duration::from_secs(10);
/// Longest wait for the observation of the last switch.
const OBSERVED: Duration = Duration::from_secs(30);

/// One run under way.
pub(super) struct Course {
    pub(super) plan: Arc<Plan>,
    pub(super) seed: u64,
    pub(super) run: u32,
    pub(super) recorder: Recorder,
    pub(super) testbed: Arc<dyn Testbed>,
    pub(super) layout: Layout,
}

impl Course {
    /// Walks all phases; the end of the load comes back.
    pub(super) async fn walk(&self) -> Result<RunTime, DrillError> {
        self.phase(RunPhase::Deploy);
        let control = self.testbed.control();
        let plane: Arc<dyn Plane> = Arc::new(ReferencePlane::new(control.port, &control.token));
        plane.ready(READY).await?;
        let receiver = self.receive_notices(plane.as_ref()).await?;
        let reached = deploy::all(&self.plan, plane.as_ref(), &self.recorder).await?;
        let (endpoints, took_s): (Vec<Endpoints>, Vec<f64>) = reached.into_iter().unzip();
        let targets = self.targets(&endpoints);
        let endpoints = Arc::new(endpoints);

        let journal = Arc::new(ledger::Writer::create(&self.layout.ledger()).map_err(DrillError::io("the ledger"))?);
        let orders: Orders = Arc::new(Mutex::default());
        let boundaries = Boundaries::new();
        let observer = Arc::new(Observer {
            plan: Arc::clone(&self.plan),
            testbed: Arc::clone(&self.testbed),
            plane: Arc::clone(&plane),
            recorder: self.recorder.clone(),
            endpoints: Arc::clone(&endpoints),
            reads: self.layout.reads(),
            bodies: Default::default(),
        });
        let zones = Arc::new(Zones::new(Arc::clone(&observer), boundaries.clone()));
        let _watcher = watch::start(
            Arc::clone(&observer),
            boundaries.clone(),
            Arc::clone(&orders),
            Arc::clone(&zones),
            self.layout.evidence(),
        );

        let spec = LoadSpec {
            targets,
            workload: self.plan.workload.clone(),
            seed: self.seed,
            run: self.run,
            clock: self.recorder.clock(),
            journal: Arc::clone(&journal) as Arc<dyn workload::Journal>,
        };
        self.first_writes(&spec, &took_s).await?;
        let filled = prefill::fill(&observer, &spec, PREPARE).await;
        filled.map_err(|why| DrillError::Failed(format!("what the scenario wants there before the load: {why}")))?;
        quotas::look(&self.plan, self.testbed.as_ref(), &self.recorder).await;
        self.phase(RunPhase::WarmUp);
        let seats = Arc::new(Seats::new(Arc::clone(&self.plan), Arc::clone(&self.testbed), Arc::clone(&endpoints)));
        let watched = tokio::spawn(Arc::clone(&seats).follow(self.recorder.clone()));
        let mut load = Load::start(spec);
        load.ask_old_sides(&old_side::doors(Arc::clone(&self.plan), Arc::clone(&self.testbed), self.recorder.clone()));
        let followers = self.follow(&load, &plane, &endpoints, &seats);
        sleep(self.plan.workload.warm_up).await;

        self.phase(RunPhase::Timeline);
        let mut timeline =
            Timeline::new(&observer, load.gauge(), receiver.patient(), boundaries.clone(), orders, Arc::clone(&zones));
        let walked = timeline.walk(false).await;

        self.phase(RunPhase::Settle);
        sleep(self.plan.workload.settle).await;
        // What comes of a zone from now on is the end's.
        zones.close();
        quotas::look(&self.plan, self.testbed.as_ref(), &self.recorder).await;
        let stopped = load.stop().await;
        journal.close().map_err(DrillError::io("the ledger"))?;
        let ended = self.recorder.say(What::Quiesced);
        drop(followers);
        watched.abort();
        reports::ask_all(&self.plan, &endpoints, &self.recorder).await;
        if let Some(why) = stopped.problem {
            self.recorder.say(What::Problem(why));
        }
        if let Err(why) = boundaries.observed(deadline(OBSERVED)).await {
            self.recorder.say(What::Problem(why));
        }

        self.phase(RunPhase::Quiesced);
        match walked {
            // What comes after the last write was written for a state that was not reached.
            Err(failed) => tracing::warn!(step = failed.id, why = failed.why, "the timeline ended early"),
            Ok(()) => {
                // A failure is in the events by now, and makes the run inconclusive.
                timeline.walk(true).await.unwrap_or_default();
            }
        }
        self.phase(RunPhase::Read);
        timeline.heal_for_reading().await;
        // What is still held up here is told by the comparison of what is then read.
        converge::settle(&observer, &self.layout.ledger()).await;
        observer.finals().await;
        timeline.abandon().await;
        Ok(ended)
    }

    fn phase(&self, phase: RunPhase) {
        self.recorder.say(What::Phase(phase));
    }

    async fn receive_notices(&self, plane: &dyn Plane) -> Result<Receiver, DrillError> {
        let receiver =
            Receiver::start(&self.plan, self.recorder.clone()).await.map_err(DrillError::io("the webhook receiver"))?;
        let link = self.testbed.notices(receiver.port()).await?;
        plane.subscribe(&format!("http://{link}/notices")).await?;
        Ok(receiver)
    }

    fn targets(&self, endpoints: &[Endpoints]) -> Vec<workload::Target> {
        let regions = [self.plan.regions.primary.clone(), self.plan.regions.secondary.clone()];
        let target = |(endpoints, index): (&Endpoints, u16)| workload::Target {
            environment: EnvironmentIndex(index),
            endpoints: endpoints.clone(),
            regions: regions.clone(),
        };
        endpoints.iter().zip(0..).map(target).collect()
    }

    /// Makes the tables and the first writes, and looks for them in the secondary.
    async fn first_writes(&self, spec: &LoadSpec, took_s: &[f64]) -> Result<(), DrillError> {
        let write = |target| async move {
            let written = workload::prepare(target, spec.run, spec.clock, &spec.journal, PREPARE).await;
            written.map_err(|why| DrillError::Failed(format!("the first writes failed: {why}")))
        };
        try_join_all(spec.targets.iter().map(write)).await?;
        join_all(spec.targets.iter().zip(took_s).map(|(target, took_s)| self.look_at_replicas(target, *took_s))).await;
        Ok(())
    }

    async fn look_at_replicas(&self, target: &workload::Target, took_s: f64) {
        let plan = &self.plan.environments[usize::from(target.environment.0)];
        let (testbed, endpoints, environment) = (self.testbed.as_ref(), &target.endpoints, target.environment);
        let regions = [&self.plan.regions.primary, &self.plan.regions.secondary];
        let (mut sql_replica, mut files_replica) = (None, None);
        if plan.kind.has_replica() {
            let [sql, files] = replica::both(testbed, regions[1], &plan.id, endpoints).await;
            (sql_replica, files_replica) = (Some(sql), Some(files));
        } else {
            let (found, unlooked) = replica::traces(testbed, regions, &plan.id, endpoints).await;
            self.recorder.say(What::ReplicaSought { environment, found, unlooked });
        }
        self.recorder.say(What::Deployed { environment, took_s, sql_replica, files_replica });
    }

    /// Follows lag, claims, rates and the examiner's own stalls while the load runs.
    fn follow(
        &self,
        load: &Load,
        plane: &Arc<dyn Plane>,
        endpoints: &Arc<Vec<Endpoints>>,
        seats: &Arc<Seats>,
    ) -> Followers {
        let (sampler, samples) = LagSampler::start(load, self.recorder.clock(), self.secondaries(endpoints, seats));
        let sources = claims::Sources {
            plan: Arc::clone(&self.plan),
            testbed: Arc::clone(&self.testbed),
            plane: Arc::clone(plane),
            endpoints: Arc::clone(endpoints),
            seats: Arc::clone(seats),
            sides: load.pulses().into_iter().map(|(environment, _, sides)| (environment, sides)).collect(),
        };
        let tasks = vec![
            tokio::spawn(follow_stalls(self.recorder.clone(), load.stalls())),
            tokio::spawn(follow_rates(self.recorder.clone(), load.gauge())),
            tokio::spawn(follow_lag(self.recorder.clone(), samples, Arc::clone(&self.plan))),
            tokio::spawn(claims::follow(sources, self.recorder.clone())),
            tokio::spawn(reports::follow(Arc::clone(&self.plan), Arc::clone(endpoints), self.recorder.clone())),
        ];
        Followers { tasks, _sampler: sampler }
    }

    /// Where each environment's secondary is now, past every link.
    fn secondaries(
        &self,
        endpoints: &Arc<Vec<Endpoints>>,
        seats: &Arc<Seats>,
    ) -> Arc<dyn Fn(EnvironmentIndex, Option<Side>) -> Option<LagProbe> + Send + Sync> {
        let (testbed, plan, endpoints) = (Arc::clone(&self.testbed), Arc::clone(&self.plan), Arc::clone(endpoints));
        let (recorder, seats) = (self.recorder.clone(), Arc::clone(seats));
        Arc::new(move |index, serving| {
            let place = usize::from(index.0);
            let (environment, endpoints) = (&plan.environments[place], &endpoints[place]);
            let secondary = if serving == Some(Side(1)) { Side(0) } else { Side(1) };
            let stores = seats.last(index, secondary);
            recorder.look(|events| due::is_promised(events, environment)).then(|| LagProbe {
                environment: index,
                sql_port: stores.sql,
                files_port: stores.files,
                database: endpoints.database.clone(),
                bucket: endpoints.bucket.clone(),
                sql: testbed.auditor().sql,
                files: testbed.auditor().s3,
            })
        })
    }
}

async fn follow_stalls(recorder: Recorder, mut stalls: broadcast::Receiver<Stall>) {
    loop {
        match stalls.recv().await {
            Ok(stall) => drop(recorder.say_at(stall.at, What::ExaminerStalled { seconds: stall.seconds })),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                recorder.say(What::Problem(format!("{missed} stalls of the examiner's own were not recorded")));
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn follow_rates(recorder: Recorder, gauge: Gauge) {
    let other = |rates: Rates| rates.failed_total + rates.in_doubt_total + rates.unsent_total;
    let mut before = gauge.rates();
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        second.tick().await;
        let now = gauge.rates();
        let lag_s = recorder.look(latest_lag);
        recorder.say(What::Rates {
            acked_per_s: (now.acked_total - before.acked_total) as f64,
            other_per_s: (other(now) - other(before)) as f64,
            lag_s,
        });
        before = now;
    }
}

async fn follow_lag(recorder: Recorder, mut samples: mpsc::Receiver<LagSample>, plan: Arc<Plan>) {
    while let Some(sample) = samples.recv().await {
        let due = recorder.look(|events| due::replica_is_due(events, sample.environment, &plan));
        let LagSample { at, environment, sql_s, files_s, files_missing } = sample;
        recorder.say_at(at, What::Lag { environment, sql_s, files_s, files_missing, due });
    }
}

/// Tasks that end when the load has ended.
struct Followers {
    tasks: Vec<JoinHandle<()>>,
    _sampler: LagSampler,
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The largest of each environment's latest lag.
fn latest_lag(events: &[Event]) -> Option<f64> {
    let mut seen = std::collections::BTreeMap::new();
    for event in events.iter().rev().take(64) {
        if let What::Lag { environment, sql_s, files_s, due: true, .. } = &event.what {
            seen.entry(*environment).or_insert((*sql_s, *files_s));
        }
    }
    seen.into_values().flat_map(|(sql, files)| [sql, files]).flatten().reduce(f64::max)
}
