//! The steps of a run: each waits for its trigger, acts, and is done when what it did is proven.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    destroy, due, exec,
    observe::Observer,
    recorder::{Recorder, deadline},
    replica,
    triggers::{self, Counter},
    watch::Boundaries,
    zones::Zones,
};
use crate::{
    api::{
        EnvironmentId,
        control::{OperationState, SwitchKind},
        environment::Endpoints,
    },
    fault::{self, Injected},
    model::{
        event::{Event, What},
        fault::{Fault, FaultRecord},
        operation::EnvironmentIndex,
        plan::{Action, Order, Plan, Step, StepState, WantedOutcome, When},
    },
    plane::{Journal, Plane, PlaneError},
    testbed::Testbed,
    workload::Gauge,
};

/// The numbers of operations that steps ordered, so that a switch is named after its step and is of the kind ordered.
pub(super) type Orders = Arc<Mutex<BTreeMap<u64, Ordered>>>;

/// One order that the platform took.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub(super) step: String,
    pub(super) kind: SwitchKind,
}

/// All that a step may need.
pub(super) struct Timeline {
    pub(super) plan: Arc<Plan>,
    pub(super) testbed: Arc<dyn Testbed>,
    pub(super) plane: Arc<dyn Plane>,
    pub(super) recorder: Recorder,
    pub(super) endpoints: Arc<Vec<Endpoints>>,
    pub(super) boundaries: Boundaries,
    pub(super) orders: Orders,
    /// What comes of faults of a zone.
    pub(super) zones: Arc<Zones>,
    /// Where notices arrive, which may be what is to fail.
    receiver: Arc<dyn fault::Receiver>,
    /// What the load has had acknowledged since it was steady.
    counter: Counter,
    /// Faults that last, by the step that injected them.
    faults: Mutex<BTreeMap<String, Lasting>>,
    /// Where the next part of the timeline looks from.
    since: Since,
}

/// The first events, and the last place of the journal before the first entry, that the next step's trigger may match: as
/// they were when the last step's action began.
#[derive(Debug, Clone, Copy, Default)]
struct Since {
    event: usize,
    journal: i64,
}

/// A fault that lasts, kept by a task that heals it when told to, or after its time.
struct Lasting {
    fault: Fault,
    end: Option<oneshot::Sender<Ending>>,
    keeper: JoinHandle<FaultRecord>,
}

/// How a lasting fault ends.
#[derive(Debug, Default)]
enum Ending {
    Heal,
    /// With the run: the testbed ends whatever it would be healed on.
    #[default]
    WithTheRun,
}

/// A step that did not do what it had to.
#[derive(Debug)]
pub(super) struct StepFailed {
    pub(super) id: String,
    pub(super) why: String,
}

impl Timeline {
    /// Of an observed run whose load is steady from now on; `receiver` is where notices arrive, which a fault may act on.
    pub(super) fn new(
        observer: &Observer,
        gauge: Gauge,
        receiver: Arc<dyn fault::Receiver>,
        boundaries: Boundaries,
        orders: Orders,
        zones: Arc<Zones>,
    ) -> Self {
        Self {
            plan: Arc::clone(&observer.plan),
            testbed: Arc::clone(&observer.testbed),
            plane: Arc::clone(&observer.plane),
            recorder: observer.recorder.clone(),
            endpoints: Arc::clone(&observer.endpoints),
            boundaries,
            orders,
            zones,
            receiver,
            counter: Counter::start(gauge, &observer.plan.environments),
            faults: Mutex::default(),
            since: Since { event: observer.recorder.mark(), journal: 0 },
        }
    }

    /// Walks the steps of one part of the timeline: the ordinary ones, or those after the last write. The first that fails
    /// ends the walk, since what follows would act on a state that it was not written for.
    pub(super) async fn walk(&mut self, quiesced: bool) -> Result<(), StepFailed> {
        let started = Instant::now();
        let plan = Arc::clone(&self.plan);
        for step in plan.timeline.iter().filter(|step| (step.when == Some(When::Quiesced)) == quiesced) {
            self.since = self.step(step, started, self.since, false).await?;
        }
        Ok(())
    }

    /// Takes one step, and says where the next one looks from. One that stands `beside` others does not wait for the
    /// observation of switches: they may be what it is to happen beside.
    fn step<'a>(
        &'a self,
        step: &'a Step,
        started: Instant,
        since: Since,
        beside: bool,
    ) -> BoxFuture<'a, Result<Since, StepFailed>> {
        Box::pin(async move {
            self.try_step(step, started, since, beside).await.map_err(|why| {
                self.recorder.say(What::StepFailed { id: step.id.clone(), why: why.clone() });
                StepFailed { id: step.id.clone(), why }
            })
        })
    }

    async fn try_step(&self, step: &Step, started: Instant, since: Since, beside: bool) -> Result<Since, String> {
        if let Some(When::At(at)) = step.when {
            sleep_until(started + at).await;
        }
        let limit = deadline(step.within + step.phase);
        self.trigger(step, since, limit).await?;
        sleep(step.delay + step.phase).await;
        if !beside {
            self.zones.before_a_step();
            self.boundaries.observed(limit).await?;
        }
        let since = if beside { since } else { self.mark().await? };
        self.state(&step.id, StepState::Started, String::new());
        let detail = timeout_at(limit, self.act(step, started, since, limit))
            .await
            .unwrap_or_else(|_| Err(format!("not done within {:?}", step.within)))?;
        self.state(&step.id, StepState::Done, detail);
        Ok(since)
    }

    /// Where what comes from now on begins.
    async fn mark(&self) -> Result<Since, String> {
        let event = self.recorder.mark();
        let journal = if self.plan.steps().any(Step::meets_journal) { self.journal().await?.last().await? } else { 0 };
        Ok(Since { event, journal })
    }

    /// The control plane's journal, from outside.
    async fn journal(&self) -> Result<Journal, String> {
        let folder =
            self.testbed.journal().await.ok_or("this testbed does not let the control plane's journal be read")?;
        Journal::open(&folder, self.testbed.folder()).map_err(|error| format!("the control plane's journal: {error}"))
    }

    fn state(&self, id: &str, state: StepState, detail: String) {
        self.recorder.say(What::Step { id: id.to_owned(), state, detail });
    }

    async fn trigger(&self, step: &Step, since: Since, limit: Instant) -> Result<(), String> {
        let not_in_time = |why: String| format!("its trigger did not come within {:?}: {why}", step.within);
        let found = match &step.when {
            None | Some(When::At(_) | When::Quiesced) => return Ok(()),
            Some(When::Journal { step: entered, environment, nth }) => {
                let found =
                    self.journal().await?.until(since.journal, entered, environment.as_ref(), *nth, limit).await;
                return found.map(drop).map_err(not_in_time);
            }
            Some(When::Lag { environment, store, at_least }) => {
                let index = self.index(environment)?;
                return triggers::lag(&self.recorder, index, *store, *at_least, limit).await.map_err(not_in_time);
            }
            Some(When::Count { environment, acked }) => {
                let index = environment.as_ref().map(|id| self.index(id)).transpose()?;
                return self.counter.until(index, *acked, limit).await.map_err(not_in_time);
            }
            Some(When::Step { id, is }) => {
                self.recorder
                    .until(limit, |events| events.iter().any(|event| reached(event, id, *is)).then_some(()))
                    .await
            }
            Some(When::Event { name, environment, nth }) => {
                let matches = |event: &&Event| match &event.what {
                    What::Claim(claim) => {
                        claim.name == *name && (environment.is_none() || claim.environment == *environment)
                    }
                    _ => false,
                };
                let nth = usize::try_from(*nth).unwrap_or(usize::MAX);
                self.recorder
                    .until(limit, |events| {
                        (events.iter().skip(since.event).filter(matches).count() >= nth).then_some(())
                    })
                    .await
            }
        };
        found.ok_or_else(|| not_in_time(trigger_text(step)))
    }

    fn index(&self, id: &EnvironmentId) -> Result<EnvironmentIndex, String> {
        let place = self.plan.environments.iter().position(|environment| environment.id == *id);
        let index = place.and_then(|place| u16::try_from(place).ok()).map(EnvironmentIndex);
        index.ok_or_else(|| format!("there is no environment `{id}`"))
    }

    async fn act(&self, step: &Step, started: Instant, since: Since, limit: Instant) -> Result<String, String> {
        match &step.action {
            Action::Inject(fault) => {
                if let Fault::ControlCrash { at: Some(entered), .. } = fault {
                    self.journal().await?.until(since.journal, entered, None, 1, limit).await?;
                }
                self.inject(step, fault).await
            }
            Action::Parallel(steps) => self.side_by_side(steps, started, since).await,
            Action::Heal(id) => self.heal(id).await,
            Action::Operate(order) => self.operate(step, order, limit).await,
            Action::Convert(id) => self.convert(step, id, limit).await,
            Action::Ticket(id) => self.ticket(step, id, limit).await,
            Action::BackUp(id) => self.keep(step, id, false, limit).await,
            Action::Destroy(id) => self.destroy(id).await,
            Action::Restore(id) => self.keep(step, id, true, limit).await,
            Action::Copy { from, to } => self.copy(step, from, to, limit).await,
            Action::Exec { command, timeout } => {
                let variables = exec::environment(&self.plan, self.testbed.as_ref(), &self.endpoints).await;
                let log = self.testbed.folder().join("logs").join(format!("exec-{}.log", step.id));
                exec::run(command, &self.plan.folder, &variables, &log, *timeout).await.map(|()| command.join(" "))
            }
            Action::Pause(duration) => {
                sleep(*duration).await;
                Ok(format!("{duration:?} passed"))
            }
        }
    }

    /// Takes steps side by side. All are taken to their end, even if one fails.
    async fn side_by_side(&self, steps: &[Step], started: Instant, since: Since) -> Result<String, String> {
        let done = join_all(steps.iter().map(|step| self.step(step, started, since, true))).await;
        let failed: Vec<String> =
            done.into_iter().filter_map(Result::err).map(|failed| format!("`{}`: {}", failed.id, failed.why)).collect();
        if failed.is_empty() { Ok(format!("{} steps side by side", steps.len())) } else { Err(failed.join("; ")) }
    }

    async fn inject(&self, step: &Step, fault: &Fault) -> Result<String, String> {
        let clock = self.recorder.clock();
        let (testbed, receiver) = (Arc::clone(&self.testbed), Some(Arc::clone(&self.receiver)));
        let awaited = fault.lost_zone().map(|(region, zone)| self.zones.awaits(&step.id, region, zone));
        let injected = fault::inject_with(&step.id, fault, testbed, receiver, Arc::new(move || clock.now())).await;
        let record = injected.record().clone();
        if let Some(awaited) = awaited {
            awaited.begins(record.effective.unwrap_or(record.requested));
        }
        self.recorder.say(What::Fault(record.clone()));
        let (end, told) = oneshot::channel();
        let keeper = tokio::spawn(keep(injected, step.hold, told, self.recorder.clone()));
        self.faults.lock().await.insert(step.id.clone(), Lasting { fault: fault.clone(), end: Some(end), keeper });
        if record.unproven {
            return Err(format!("{fault}: its effect was not proven: {}", record.proof));
        }
        Ok(record.proof)
    }

    async fn heal(&self, id: &str) -> Result<String, String> {
        let lasting = self.faults.lock().await.remove(id);
        let mut lasting = lasting.ok_or_else(|| format!("no fault of step `{id}` lasts"))?;
        if let Some(end) = lasting.end.take() {
            // It may have been healed after its time already; the keeper tells.
            end.send(Ending::Heal).unwrap_or_default();
        }
        let record = lasting.keeper.await.map_err(|error| error.to_string())?;
        let healing = record.healing.clone().unwrap_or_default();
        if record.healed.is_some() { Ok(healing) } else { Err(format!("{} was not healed: {healing}", record.fault)) }
    }

    /// Heals what still lasts, at the end of the load: whatever stands in the way of the final readings. A region or a zone that
    /// is lost, or cut off, stays so: bringing it back would change what is read.
    pub(super) async fn heal_for_reading(&self) {
        let lasting: Vec<String> = self
            .faults
            .lock()
            .await
            .iter()
            .filter(|(_, lasting)| !takes_servers(&lasting.fault) || lasting.keeper.is_finished())
            .map(|(id, _)| id.clone())
            .collect();
        for id in lasting {
            if let Err(why) = self.heal(&id).await {
                self.recorder.say(What::StepFailed { id, why });
            }
        }
    }

    /// Leaves what lasts to the testbed's clean-up, which ends the processes and links that it would be healed on.
    pub(super) async fn abandon(&self) {
        self.faults.lock().await.clear();
    }

    async fn operate(&self, step: &Step, order: &Order, limit: Instant) -> Result<String, String> {
        let operation = {
            // Held over the call, so that the watcher cannot meet the operation's first event before its name is known.
            let mut orders = self.orders.lock().await;
            match self.plane.order(order).await {
                Ok(operation) => {
                    orders.insert(operation, Ordered { step: step.id.clone(), kind: order.kind });
                    operation
                }
                Err(error) => return not_taken(step, error),
            }
        };
        self.ended(step, operation, limit).await
    }

    /// Orders a conversion. What there is of a replica is looked at before the order and after it.
    async fn convert(&self, step: &Step, id: &EnvironmentId, limit: Instant) -> Result<String, String> {
        let environment = self.index(id)?;
        self.look_for_traces(environment).await;
        let ordered = Instant::now();
        let operation = match self.plane.convert(id).await {
            Ok(operation) => operation,
            Err(error) => return not_taken(step, error),
        };
        let told = self.ended(step, operation, limit).await?;
        if step.outcome == WantedOutcome::Completed {
            let took_s = ordered.elapsed().as_secs_f64();
            let endpoints = &self.endpoints[usize::from(environment.0)];
            let region = &self.plan.regions.secondary;
            let [sql_replica, files_replica] = replica::both(self.testbed.as_ref(), region, id, endpoints).await;
            self.recorder.say(What::Converted { environment, took_s, sql_replica, files_replica });
        } else {
            self.look_for_traces(environment).await;
        }
        Ok(told)
    }

    /// Opens a support ticket.
    async fn ticket(&self, step: &Step, id: &EnvironmentId, limit: Instant) -> Result<String, String> {
        let environment = self.index(id)?;
        // From before the platform can have taken it.
        let opened = self.recorder.clock().now();
        let operation = match self.plane.ticket(id).await {
            Ok(operation) => operation,
            Err(error) => return not_taken(step, error),
        };
        self.recorder.say_at(opened, What::TicketOpened { environment });
        let told = self.ended(step, operation, limit).await?;
        if step.outcome == WantedOutcome::Completed {
            self.recorder.say(What::TicketDone { environment });
        }
        Ok(told)
    }

    /// Orders a back-up, or a restore.
    async fn keep(&self, step: &Step, id: &EnvironmentId, restores: bool, limit: Instant) -> Result<String, String> {
        let environment = self.index(id)?;
        let ordered = Instant::now();
        let taken = if restores { self.plane.restore(id).await } else { self.plane.back_up(id).await };
        let operation = match taken {
            Ok(operation) => operation,
            Err(error) => return not_taken(step, error),
        };
        let told = self.ended(step, operation, limit).await?;
        if step.outcome == WantedOutcome::Completed {
            let took_s = ordered.elapsed().as_secs_f64();
            self.recorder.say(match restores {
                true => What::Restored { environment, took_s },
                false => What::BackedUp { environment, took_s },
            });
        }
        Ok(told)
    }

    /// Orders a copy of production.
    async fn copy(
        &self,
        step: &Step,
        from: &EnvironmentId,
        to: &EnvironmentId,
        limit: Instant,
    ) -> Result<String, String> {
        let (source, environment) = (self.index(from)?, self.index(to)?);
        let ordered = Instant::now();
        let operation = match self.plane.copy(from, to).await {
            Ok(operation) => operation,
            Err(error) => return not_taken(step, error),
        };
        let told = self.ended(step, operation, limit).await?;
        if step.outcome == WantedOutcome::Completed {
            let took_s = ordered.elapsed().as_secs_f64();
            self.recorder.say(What::Copied { environment, source, took_s });
        }
        Ok(told)
    }

    async fn destroy(&self, id: &EnvironmentId) -> Result<String, String> {
        let environment = self.index(id)?;
        let endpoints = &self.endpoints[usize::from(environment.0)];
        let region = self.plane.active(id).await.map_err(|error| error.to_string())?;
        let told = destroy::all(self.testbed.as_ref(), &region, id, endpoints).await?;
        self.recorder.say(What::Destroyed { environment });
        Ok(told)
    }

    /// Looks for what there is of a replica where none is promised.
    async fn look_for_traces(&self, environment: EnvironmentIndex) {
        let place = usize::from(environment.0);
        let plan = &self.plan.environments[place];
        if self.recorder.look(|events| due::is_promised(events, plan)) {
            return;
        }
        let regions = [&self.plan.regions.primary, &self.plan.regions.secondary];
        let traces = replica::traces(self.testbed.as_ref(), regions, &plan.id, &self.endpoints[place]);
        let (found, unlooked) = traces.await;
        self.recorder.say(What::ReplicaSought { environment, found, unlooked });
    }

    /// Waits for an operation's end, which is to be the one that is wanted.
    async fn ended(&self, step: &Step, operation: u64, limit: Instant) -> Result<String, String> {
        let left = limit.saturating_duration_since(Instant::now());
        let (state, why) = self.plane.outcome(operation, left).await.map_err(|error| error.to_string())?;
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        match (state, step.outcome) {
            (OperationState::Completed, WantedOutcome::Completed)
            | (OperationState::Partial, WantedOutcome::Partial)
            | (OperationState::Aborted, WantedOutcome::Aborted) => {
                Ok(format!("operation {operation} ended as {state:?}{why}"))
            }
            (OperationState::Running, _) => Err(format!("operation {operation} still runs")),
            (ended, wanted) => {
                Err(format!("operation {operation} ended as {ended:?}, and not {}{why}", wanted.as_str()))
            }
        }
    }
}

/// Keeps a fault until it is told how it ends, or until its time is over; a sender that is dropped ends it with the run.
async fn keep(
    injected: Injected,
    hold: Option<Duration>,
    told: oneshot::Receiver<Ending>,
    recorder: Recorder,
) -> FaultRecord {
    let ending = match hold {
        Some(hold) => {
            tokio::select! {
                () = sleep(hold) => Ending::Heal,
                ending = told => ending.unwrap_or_default(),
            }
        }
        None => told.await.unwrap_or_default(),
    };
    if let Ending::WithTheRun = ending {
        return injected.ends_with_the_run();
    }
    let record = injected.heal().await;
    recorder.say(What::Fault(record.clone()));
    if record.healed.is_some() {
        let detail = record.healing.clone().unwrap_or_default();
        recorder.say(What::Step { id: record.step.clone(), state: StepState::Healed, detail });
    }
    record
}

/// What a step has to say of an order that the platform did not take.
fn not_taken(step: &Step, error: PlaneError) -> Result<String, String> {
    match error {
        PlaneError::Refused(why) if step.outcome == WantedOutcome::Refused => Ok(format!("refused, as wanted: {why}")),
        error => Err(error.to_string()),
    }
}

/// Whether it takes a region's servers, or a zone's, from whoever reads them.
fn takes_servers(fault: &Fault) -> bool {
    fault.lost_region().is_some() || fault.lost_zone().is_some()
}

fn reached(event: &Event, wanted: &str, at_least: StepState) -> bool {
    matches!(&event.what, What::Step { id, state, .. } if id == wanted && *state >= at_least)
}

fn trigger_text(step: &Step) -> String {
    match &step.when {
        Some(When::Step { id, is }) => format!("step `{id}` {is:?}"),
        Some(When::Event { name, environment, nth }) => {
            let of = environment.as_ref().map(|environment| format!(" of {environment}")).unwrap_or_default();
            format!("event {name}{of}, number {nth}")
        }
        // These tell themselves what came instead, or cannot fail to come.
        Some(When::Journal { .. } | When::Lag { .. } | When::Count { .. } | When::At(_) | When::Quiesced) | None => {
            String::new()
        }
    }
}
