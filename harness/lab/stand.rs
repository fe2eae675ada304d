//! Making a lab: the testbed, the environments, or a drill that is kept.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::sync::{mpsc, watch};

use super::{
    file::LabEnvironment,
    order::Task,
    talk::{Blame, Said},
};
use crate::{
    api::{Region, Zone, environment::EnvironmentView},
    clients::http::Http,
    conduct::{Drill, DrillError},
    model::{
        plan::{Plan, Platform},
        process::ProcessName,
        testbed::TestbedName,
    },
    plane::{Plane, PlaneError, ReferencePlane},
    testbed::{Equipped, Spec, Testbed, TestbedError, setup::SetupMode},
};

/// Longest wait for the roles to have found one another.
const READY: Duration = Duration::from_secs(20);
/// Longest wait for a deployment.
const DEPLOY: Duration = Duration::from_secs(60);
/// Longest wait for the platform to say where an environment is reached.
const PROMPT: Duration = Duration::from_secs(5);

/// Why nothing stands.
pub(super) struct Failed {
    pub why: String,
    pub blame: Blame,
}

impl Failed {
    /// People look at labs to learn what the platform does.
    fn sabotaged() -> Self {
        let why = "a platform that is sabotaged is for drills alone, and is not kept standing".to_owned();
        Self { why, blame: Blame::User }
    }
}

impl From<DrillError> for Failed {
    fn from(error: DrillError) -> Self {
        let blame = match error {
            DrillError::Invalid(_) | DrillError::Unusable(_) => Blame::User,
            DrillError::Interrupted => Blame::Interrupted,
            DrillError::Failed(_) => Blame::Ours,
        };
        Self { why: error.to_string(), blame }
    }
}

impl From<TestbedError> for Failed {
    fn from(error: TestbedError) -> Self {
        DrillError::from(error).into()
    }
}

impl From<PlaneError> for Failed {
    fn from(error: PlaneError) -> Self {
        DrillError::from(error).into()
    }
}

/// What stands.
pub(super) struct Stood {
    pub testbed: Arc<dyn Testbed>,
    pub regions: [Region; 2],
    pub environments: Vec<LabEnvironment>,
    /// Regions that a drill has left lost.
    pub lost: Vec<Region>,
    /// Present if there is to be a load.
    pub load: Option<Plan>,
}

/// What breaks an attempt off: any of these becoming true.
pub(super) struct Interrupt {
    pub any_of: [watch::Receiver<bool>; 2],
}

impl Interrupt {
    async fn raised(self) {
        let [one, other] = self.any_of;
        tokio::select! { () = raised(one) => {} () = raised(other) => {} }
    }
}

/// Waits until it is true; for ever if it never will be.
pub(super) async fn raised(mut flag: watch::Receiver<bool>) {
    if flag.wait_for(|raised| *raised).await.is_err() {
        std::future::pending().await
    }
}

/// Does the task, telling how it goes.
///
/// # Errors
/// Why it could not be done; what had been started is then ended.
pub(super) async fn stand(
    task: Task,
    testbed: TestbedName,
    folder: &Path,
    say: mpsc::UnboundedSender<Said>,
    interrupt: Interrupt,
) -> Result<Stood, Failed> {
    match task {
        Task::Up { plan, .. } if plan.platform.sabotage().is_some() => Err(Failed::sabotaged()),
        Task::Up { plan, load } => tokio::select! {
            stood = up(*plan, load, testbed, folder, say) => stood,
            // What was coming up is dropped, and everything of it is killed.
            () = interrupt.raised() => Err(DrillError::Interrupted.into()),
        },
        Task::Drill { name, text, commands_in, seed, out } => {
            let drill = match commands_in {
                Some(commands_in) => Drill::from_text_on(testbed, &name, &text, &commands_in)?,
                None => Drill::shipped_on(testbed, &name)?,
            };
            if drill.plan().platform.sabotage().is_some() {
                return Err(Failed::sabotaged());
            }
            let drill = Some(seed).flatten().into_iter().fold(drill, Drill::seed);
            let drill = out.into_iter().fold(drill, Drill::out);
            run(drill.in_folder(folder), say, interrupt).await
        }
    }
}

async fn up(
    plan: Plan,
    load: bool,
    on: TestbedName,
    folder: &Path,
    say: mpsc::UnboundedSender<Said>,
) -> Result<Stood, Failed> {
    let line = |text: &str| say.send(Said::Line(text.to_owned())).unwrap_or_default();
    let equipped = Equipped::find(on, &line, SetupMode::Auto).await?;
    line("starting two regions");
    let Platform::Reference { timers, policy, sabotage } = plan.platform.clone();
    let regions = [plan.regions.primary.clone(), plan.regions.secondary.clone()];
    let spec = Spec {
        regions: regions.clone(),
        zones: plan.regions.zones,
        environments_max: u16::try_from(plan.environments.len()).unwrap_or(u16::MAX),
        timers,
        policy,
        sabotage,
        role_binary: std::env::current_exe().map_err(|error| Failed { why: error.to_string(), blame: Blame::Ours })?,
        parent_folder: folder.parent().unwrap_or(folder).to_owned(),
        run_id: super::file::run_id(folder),
        quotas: plan.regions.quotas().map(|(region, milli)| (region.clone(), milli)).collect(),
        small_disks: Vec::new(),
    };
    let testbed = equipped.up(spec).await?;
    line("deploying environments with their replicas");
    let control = testbed.control();
    let plane = ReferencePlane::new(control.port, &control.token);
    plane.ready(READY).await?;
    let kinds: Vec<_> = plan.environments.iter().map(|environment| environment.kind).collect();
    plane.license(&kinds).await?;
    let deployments = plan.environments.iter().map(|environment| {
        let (plane, home) = (&plane, &regions[0]);
        async move { plane.deploy(&environment.id, environment.kind, home, DEPLOY).await }
    });
    let deployed = try_join_all(deployments).await?;
    let environments = deployed
        .into_iter()
        .map(|deployed| LabEnvironment { id: deployed.id, endpoints: Some(deployed.endpoints) })
        .collect();
    Ok(Stood { testbed, regions, environments, lost: Vec::new(), load: load.then_some(plan) })
}

async fn run(drill: Drill, say: mpsc::UnboundedSender<Said>, interrupt: Interrupt) -> Result<Stood, Failed> {
    let cancel = drill.cancel();
    let interrupts = tokio::spawn(async move {
        interrupt.raised().await;
        cancel.cancel();
    });
    let (listener, mut events) = mpsc::unbounded_channel();
    let told = say.clone();
    let passed_on = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            told.send(Said::Event(Box::new(event))).unwrap_or_default();
        }
    });
    let shown = say.clone();
    let plan = drill.plan().clone();
    let regions = [plan.regions.primary.clone(), plan.regions.secondary.clone()];
    let drill = drill.listen(listener);
    let drill = drill.show(move |text| shown.send(Said::Line(text.to_owned())).unwrap_or_default());
    let ran = drill.run_and_keep().await;
    interrupts.abort();
    let (finished, testbed) = ran?;
    // Every event is to be shown before the result; the drill has dropped its end by now.
    passed_on.await.unwrap_or_default();
    say.send(Said::Judged { results: finished.folder }).unwrap_or_default();
    let (mut lost, mut cut) = (Vec::new(), Vec::new());
    for region in &regions {
        if is_lost(&*testbed, region).await? { lost.push(region.clone()) } else { cut.push(region.clone()) }
    }
    for region in &cut {
        // The final readings were made with the region cut off.
        testbed.return_region(region).await?;
    }
    let control = testbed.control();
    let views = Http::local(control.port, control.token).get::<Vec<EnvironmentView>>("/v1/environments", PROMPT).await;
    let views = views.unwrap_or_default();
    let endpoints = |id| views.iter().find(|view| view.id == id).and_then(|view| view.endpoints.clone());
    let environments = plan
        .environments
        .iter()
        .map(|environment| LabEnvironment { id: environment.id.clone(), endpoints: endpoints(environment.id.clone()) });
    let environments = environments.collect();
    Ok(Stood { testbed, regions, environments, lost, load: None })
}

/// Whether nothing runs in a region.
async fn is_lost(testbed: &dyn Testbed, region: &Region) -> Result<bool, TestbedError> {
    for site in Zone::all(testbed.zones()).map(|zone| zone.site(region)) {
        for service in ["files", "node", "compute"] {
            let name = ProcessName { site: site.clone(), service: service.to_owned(), environment: None };
            if !testbed.processes(&name).await?.is_empty() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
