//! The steps of a run: each waits for its trigger, acts, and is done when what it did is proven.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{exec, recorder::Recorder, recorder::deadline, watch::Boundaries};
use crate::{
    api::{control::OperationState, environment::Endpoints},
    fault::{self, Injected},
    model::{
        event::{Event, What},
        fault::{Fault, FaultRecord},
        plan::{Action, Order, Plan, Step, StepState, When},
    },
    plane::Plane,
    testbed::Testbed,
};

/// The numbers of operations that steps ordered, with the step's id, so that a switch is named after its step.
pub(super) type Orders = Arc<Mutex<BTreeMap<u64, String>>>;

/// All that a step may need.
pub(super) struct Timeline {
    pub(super) plan: Arc<Plan>,
    pub(super) testbed: Arc<dyn Testbed>,
    pub(super) plane: Arc<dyn Plane>,
    pub(super) recorder: Recorder,
    pub(super) endpoints: Arc<Vec<Endpoints>>,
    pub(super) boundaries: Boundaries,
    pub(super) orders: Orders,
    /// Faults that last, by the step that injected them.
    faults: BTreeMap<String, Lasting>,
    /// The first event that the next step's trigger may match: the start of the last step's action.
    since: usize,
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
    pub(super) fn new(
        plan: Arc<Plan>,
        testbed: Arc<dyn Testbed>,
        plane: Arc<dyn Plane>,
        recorder: Recorder,
        endpoints: Arc<Vec<Endpoints>>,
        boundaries: Boundaries,
        orders: Orders,
    ) -> Self {
        let since = recorder.mark();
        Self { plan, testbed, plane, recorder, endpoints, boundaries, orders, faults: BTreeMap::new(), since }
    }

    /// Walks the steps of one part of the timeline: the ordinary ones, or those after the last write. The first that fails
    /// ends the walk, since what follows would act on a state that it was not written for.
    pub(super) async fn walk(&mut self, quiesced: bool) -> Result<(), StepFailed> {
        let started = Instant::now();
        let plan = Arc::clone(&self.plan);
        for step in plan.timeline.iter().filter(|step| (step.when == Some(When::Quiesced)) == quiesced) {
            self.step(step, started).await.map_err(|why| {
                self.recorder.say(What::StepFailed { id: step.id.clone(), why: why.clone() });
                StepFailed { id: step.id.clone(), why }
            })?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step, started: Instant) -> Result<(), String> {
        if let Some(When::At(at)) = step.when {
            sleep_until(started + at).await;
        }
        let limit = deadline(step.within);
        self.trigger(step, limit).await?;
        sleep(step.delay).await;
        self.boundaries.observed(limit).await?;
        self.since = self.recorder.mark();
        self.state(&step.id, StepState::Started, String::new());
        let detail = timeout_at(limit, self.act(step, limit))
            .await
            .unwrap_or_else(|_| Err(format!("not done within {:?}", step.within)))?;
        self.state(&step.id, StepState::Done, detail);
        Ok(())
    }

    fn state(&self, id: &str, state: StepState, detail: String) {
        self.recorder.say(What::Step { id: id.to_owned(), state, detail });
    }

    async fn trigger(&self, step: &Step, limit: Instant) -> Result<(), String> {
        let found = match &step.when {
            None | Some(When::At(_) | When::Quiesced) => return Ok(()),
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
                        (events.iter().skip(self.since).filter(matches).count() >= nth).then_some(())
                    })
                    .await
            }
        };
        found.ok_or_else(|| format!("its trigger did not come within {:?}: {}", step.within, trigger_text(step)))
    }

    async fn act(&mut self, step: &Step, limit: Instant) -> Result<String, String> {
        match &step.action {
            Action::Inject(fault) => self.inject(step, fault).await,
            Action::Heal(id) => self.heal(id).await,
            Action::Operate(order) => self.operate(step, order, limit).await,
            Action::Exec { command, timeout } => {
                let variables = exec::environment(&self.plan, self.testbed.as_ref(), &self.endpoints);
                let log = self.testbed.folder().join("logs").join(format!("exec-{}.log", step.id));
                exec::run(command, &self.plan.folder, &variables, &log, *timeout).await.map(|()| command.join(" "))
            }
            Action::Pause(duration) => {
                sleep(*duration).await;
                Ok(format!("{duration:?} passed"))
            }
        }
    }

    async fn inject(&mut self, step: &Step, fault: &Fault) -> Result<String, String> {
        let clock = self.recorder.clock();
        let injected = fault::inject(&step.id, fault, Arc::clone(&self.testbed), Arc::new(move || clock.now())).await;
        let record = injected.record().clone();
        self.recorder.say(What::Fault(record.clone()));
        let (end, told) = oneshot::channel();
        let keeper = tokio::spawn(keep(injected, step.hold, told, self.recorder.clone()));
        self.faults.insert(step.id.clone(), Lasting { fault: fault.clone(), end: Some(end), keeper });
        if record.unproven {
            return Err(format!("{fault}: its effect was not proven: {}", record.proof));
        }
        Ok(record.proof)
    }

    async fn heal(&mut self, id: &str) -> Result<String, String> {
        let mut lasting = self.faults.remove(id).ok_or_else(|| format!("no fault of step `{id}` lasts"))?;
        if let Some(end) = lasting.end.take() {
            // It may have been healed after its time already; the keeper tells.
            end.send(Ending::Heal).unwrap_or_default();
        }
        let record = lasting.keeper.await.map_err(|error| error.to_string())?;
        let healing = record.healing.clone().unwrap_or_default();
        if record.healed.is_some() { Ok(healing) } else { Err(format!("{} was not healed: {healing}", record.fault)) }
    }

    /// Heals what still lasts, at the end of the load: whatever stands in the way of the final readings. A region that is
    /// lost stays lost: bringing it back would change what is read.
    pub(super) async fn heal_for_reading(&mut self) {
        let lasting: Vec<String> = self
            .faults
            .iter()
            .filter(|(_, lasting)| !matches!(lasting.fault, Fault::RegionOutage { .. }) || lasting.keeper.is_finished())
            .map(|(id, _)| id.clone())
            .collect();
        for id in lasting {
            if let Err(why) = self.heal(&id).await {
                self.recorder.say(What::StepFailed { id, why });
            }
        }
    }

    /// Leaves what lasts to the testbed's clean-up, which ends the processes and links that it would be healed on.
    pub(super) fn abandon(&mut self) {
        self.faults.clear();
    }

    async fn operate(&self, step: &Step, order: &Order, limit: Instant) -> Result<String, String> {
        let operation = {
            // Held over the call, so that the watcher cannot meet the operation's first event before its name is known.
            let mut orders = self.orders.lock().await;
            let operation = self.plane.order(order).await.map_err(|error| error.to_string())?;
            orders.insert(operation, step.id.clone());
            operation
        };
        let left = limit.saturating_duration_since(Instant::now());
        let (state, why) = self.plane.outcome(operation, left).await.map_err(|error| error.to_string())?;
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        match state {
            OperationState::Running => Err(format!("operation {operation} still runs")),
            ended => Ok(format!("operation {operation} ended as {ended:?}{why}")),
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
        Some(When::At(at)) => format!("{at:?} into the load"),
        Some(When::Quiesced) => "the last write".to_owned(),
        None => "the step before".to_owned(),
    }
}
