//! What users of the library call.
//!
//! ```no_run
//! # async fn drill() -> Result<(), geodrill::conduct::DrillError> {
//! use geodrill::conduct::Drill;
//!
//! Drill::shipped("unplanned-failover")?.run().await?.assert_held();
//! # Ok(())
//! # }
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::RngExt;
use tokio::sync::{mpsc, watch};

use super::{
    course::Course,
    folder::{self, Layout, RunFile},
    judge,
    places::{fresh_folder, role_binary, runs_root, testbed},
    recorder::Recorder,
};
use crate::{
    guarantee,
    model::{
        RunTime,
        event::{Event, RunPhase, What},
        measure::Measures,
        plan::{Plan, Platform},
        testbed::TestbedName,
        verdict::Verdict,
    },
    os,
    plane::PlaneError,
    report::{self, Report},
    scenario::{self, Catalogue},
    testbed::{Equipped, Spec, Testbed, TestbedError, setup::SetupMode},
    workload::Clock,
};

/// Why a drill brought no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The scenario has mistakes, all of them told; nothing was started.
    #[error("{0}")]
    Invalid(String),
    /// Something the user can mend is missing or in the way; nothing runs any more.
    #[error("{0}")]
    Unusable(String),
    /// The drill was interrupted; what it had started is ended.
    #[error("interrupted; everything that was started is ended")]
    Interrupted,
    /// Anything else went wrong before there was anything to judge.
    #[error("{0}")]
    Failed(String),
}

impl DrillError {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Failed(format!("{what}: {error}"))
    }
}

impl From<PlaneError> for DrillError {
    fn from(error: PlaneError) -> Self {
        match error {
            PlaneError::Refused(_) => Self::Unusable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<TestbedError> for DrillError {
    fn from(error: TestbedError) -> Self {
        match error {
            TestbedError::Unusable(why) => Self::Unusable(why),
            TestbedError::Failed(why) | TestbedError::Disturbed(why) => Self::Failed(why),
        }
    }
}

/// Interrupts a drill from outside, as Ctrl-C does.
#[derive(Clone, Default)]
pub struct Cancel {
    told: watch::Sender<bool>,
}

impl Cancel {
    /// Interrupts it: what was started is ended in order, and `run` answers [`DrillError::Interrupted`].
    pub fn cancel(&self) {
        self.told.send_replace(true);
    }

    /// Whether it was.
    pub fn is_cancelled(&self) -> bool {
        *self.told.borrow()
    }

    async fn cancelled(&self) {
        // An error would mean that the sender is gone, which `self` keeps alive.
        self.told.subscribe().wait_for(|told| *told).await.map(drop).unwrap_or_default();
    }
}

/// A drill that is ready to run.
#[must_use = "a drill does nothing until it is run"]
pub struct Drill {
    plan: Plan,
    seed: u64,
    phase_seed: Option<u64>,
    folder: PathBuf,
    out: Option<PathBuf>,
    role_binary: Option<PathBuf>,
    testbed: TestbedName,
    setup: SetupMode,
    shown: Shown,
    listener: Option<mpsc::UnboundedSender<Event>>,
    cancel: Cancel,
}

/// Takes the lines that setting the servers up has to show.
type Shown = Arc<dyn Fn(&str) + Send + Sync>;

impl Drill {
    /// A drill from a scenario file, on the testbed that `GEODRILL_TESTBED` names, or else on `native`.
    ///
    /// # Errors
    /// [`DrillError::Invalid`] with every mistake of the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, DrillError> {
        Self::from_file_on(testbed()?, path)
    }

    /// As [`Drill::from_file`], on this testbed.
    ///
    /// # Errors
    /// As there.
    pub fn from_file_on(testbed: TestbedName, path: impl AsRef<Path>) -> Result<Self, DrillError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| DrillError::Invalid(format!("{}: {error}", path.display())))?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder =
            folder.canonicalize().map_err(|error| DrillError::Invalid(format!("{}: {error}", path.display())))?;
        Self::from_text_on(testbed, &path.display().to_string(), &text, &folder)
    }

    /// A drill from a scenario's text; `folder` is where its commands run.
    ///
    /// # Errors
    /// [`DrillError::Invalid`] with every mistake of the text.
    pub fn from_text(name: &str, text: &str, folder: &Path) -> Result<Self, DrillError> {
        Self::from_text_on(testbed()?, name, text, folder)
    }

    /// As [`Drill::from_text`], on this testbed.
    ///
    /// # Errors
    /// As there.
    pub fn from_text_on(testbed: TestbedName, name: &str, text: &str, folder: &Path) -> Result<Self, DrillError> {
        let plan = scenario::parse(name, text, folder, &Catalogue::of(testbed, guarantee::promises()))
            .map_err(|diagnostics| DrillError::Invalid(diagnostics.render(false)))?;
        Ok(Self { testbed, ..Self::new(plan) })
    }

    /// A drill from a scenario that is shipped inside this program.
    ///
    /// # Errors
    /// [`DrillError::Invalid`] if there is none of this name, with those there are.
    pub fn shipped(name: &str) -> Result<Self, DrillError> {
        Self::shipped_on(testbed()?, name)
    }

    /// As [`Drill::shipped`], on this testbed.
    ///
    /// # Errors
    /// As there.
    pub fn shipped_on(testbed: TestbedName, name: &str) -> Result<Self, DrillError> {
        let scenario = scenario::shipped().into_iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let names: Vec<_> = scenario::shipped().into_iter().map(|scenario| scenario.name).collect();
            DrillError::Invalid(format!("no scenario `{name}` is shipped; there are: {}", names.join(", ")))
        })?;
        let drill = Self::from_text_on(testbed, &format!("{name}.yaml"), scenario.text, Path::new("."))?;
        let unpacked = drill.folder.join("scenario");
        Ok(Self { plan: Plan { folder: unpacked, ..drill.plan }, ..drill })
    }

    /// A drill from a plan, on the testbed `native`.
    pub fn new(plan: Plan) -> Self {
        let seed = plan.seed.unwrap_or_else(|| rand::rng().random());
        Self {
            plan,
            seed,
            phase_seed: None,
            folder: fresh_folder(),
            out: None,
            role_binary: None,
            testbed: TestbedName::Native,
            setup: SetupMode::Auto,
            shown: Arc::new(|line| tracing::info!("{line}")),
            listener: None,
            cancel: Cancel::default(),
        }
    }

    /// Sets the seed of the load; the file's own is then not used.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets a wait of its own go before every fault and every order, drawn from this seed, so that they meet the platform's
    /// timers at other moments than with another seed. [`Drill::plan`] shows them.
    pub fn phases(mut self, seed: u64) -> Self {
        self.plan = scenario::phased(self.plan, seed);
        self.phase_seed = Some(seed);
        self
    }

    /// Leaves the results in this folder (they are copied there at the end).
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// The `geodrill` program that the roles run. Without it: `GEODRILL_BIN`, this very program if it is geodrill, PATH.
    pub fn role_binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.role_binary = Some(path.into());
        self
    }

    /// Whether missing servers are made.
    pub fn setup(mut self, mode: SetupMode) -> Self {
        self.setup = mode;
        self
    }

    /// Shows the lines of setting the servers up, every command among them; without this they are logged.
    pub fn show(mut self, shown: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.shown = Arc::new(shown);
        self
    }

    /// Passes every event on as it happens.
    pub fn listen(mut self, listener: mpsc::UnboundedSender<Event>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Runs in this folder, which is not shared with any other run.
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        if self.plan.folder.starts_with(&self.folder) {
            self.plan.folder = folder.join("scenario");
        }
        self.folder = folder;
        self
    }

    /// The same drill once more, in a folder of its own. Whatever interrupts one of the two interrupts both.
    pub(super) fn again(&self) -> Self {
        let same = Self {
            plan: self.plan.clone(),
            seed: self.seed,
            phase_seed: self.phase_seed,
            folder: self.folder.clone(),
            out: self.out.clone(),
            role_binary: self.role_binary.clone(),
            testbed: self.testbed,
            setup: self.setup,
            shown: Arc::clone(&self.shown),
            listener: self.listener.clone(),
            cancel: self.cancel.clone(),
        };
        same.in_folder(fresh_folder())
    }

    /// Where it runs.
    pub fn testbed(&self) -> TestbedName {
        self.testbed
    }

    /// What interrupts it.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// What it will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The seed of its load.
    pub fn seed_used(&self) -> u64 {
        self.seed
    }

    /// Where its results are left, if that is not the run's folder.
    pub fn kept_in(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// The run's folder, which `run` makes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs it: stands everything up, loads, breaks, measures, ends everything, judges.
    ///
    /// # Errors
    /// [`DrillError`]. A violated or inconclusive verdict is no error: it is in the report.
    pub async fn run(self) -> Result<Finished, DrillError> {
        Ok(self.perform(false).await?.0)
    }

    /// As [`Drill::run`], but what it has stood up stands when it is over, in the state that the drill has left it in; each
    /// region's links are still cut for the final readings. Dropping the testbed ends it.
    ///
    /// # Errors
    /// As [`Drill::run`]; nothing stands then.
    pub async fn run_and_keep(self) -> Result<(Finished, Arc<dyn Testbed>), DrillError> {
        self.perform(true).await
    }

    /// Finds what its testbed runs, or makes what is missing.
    pub(super) async fn equipped(&self) -> Result<Equipped, DrillError> {
        let shown = |line: &str| (self.shown)(line);
        Ok(Equipped::find(self.testbed, &shown, self.setup).await?)
    }

    async fn perform(self, keeps: bool) -> Result<(Finished, Arc<dyn Testbed>), DrillError> {
        let layout = Layout::new(&self.folder);
        let equipped = self.equipped().await?;
        layout.create().map_err(DrillError::io("the run's folder"))?;
        // To the end of judging, so that nobody takes it for a finished one. Whoever keeps it may hold it already.
        let _held = os::hold::hold(&self.folder).map_err(DrillError::io("the run's folder"))?;
        let clock = Clock::start();
        let recorder = Recorder::create(&layout.events(), clock, self.listener.clone())
            .map_err(DrillError::io("the run's events"))?;
        let started = jiff::Timestamp::now().to_string();
        if self.plan.folder.starts_with(&self.folder) {
            scenario::unpack(&self.plan.folder).map_err(DrillError::io("the scenario's files"))?;
        }
        recorder.say(What::Phase(RunPhase::Start));
        let Platform::Reference { timers, policy, sabotage } = self.plan.platform.clone();
        let spec = Spec {
            regions: [self.plan.regions.primary.clone(), self.plan.regions.secondary.clone()],
            zones: self.plan.regions.zones,
            environments_max: u16::try_from(self.plan.environments.len()).unwrap_or(u16::MAX),
            timers,
            policy,
            sabotage,
            role_binary: role_binary(self.role_binary.as_deref())?,
            parent_folder: runs_root(),
            run_id: self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            quotas: self.plan.regions.quotas().map(|(region, milli)| (region.clone(), milli)).collect(),
            small_disks: self.plan.small_disks(),
        };
        let testbed: Arc<dyn Testbed> = tokio::select! {
            up = equipped.up(spec) => up?,
            () = self.cancel.cancelled() => {
                // The testbed that was coming up is dropped by now, and everything of it is killed.
                folder::tidy(&self.folder).map_err(DrillError::io("removing the servers' data"))?;
                return Err(DrillError::Interrupted);
            }
        };
        let mut run = RunFile {
            plan: self.plan.clone(),
            seed: self.seed,
            phase_seed: self.phase_seed,
            run: rand::rng().random(),
            testbed: testbed.name().to_owned(),
            versions: testbed.versions(),
            started,
            ended: RunTime::ZERO,
        };
        os::files::write_json(&layout.run(), &run).map_err(DrillError::io("run.json"))?;
        let course = Course {
            plan: Arc::new(self.plan.clone()),
            seed: self.seed,
            run: run.run,
            recorder: recorder.clone(),
            testbed: Arc::clone(&testbed),
            layout: layout.clone(),
        };
        // A task of its own, so that a panic in it ends the task and not the clean-up.
        let mut task = tokio::spawn(async move { course.walk().await });
        let walked = tokio::select! {
            walked = &mut task => walked.unwrap_or_else(|panic| Err(DrillError::Failed(format!("a defect of geodrill: {panic}")))),
            () = self.cancel.cancelled() => {
                task.abort();
                // An error says that it was aborted, as asked.
                task.await.map(drop).unwrap_or_default();
                Err(DrillError::Interrupted)
            }
        };
        let keeps = keeps && walked.is_ok();
        let mut left = Vec::new();
        if !keeps {
            recorder.say(What::Phase(RunPhase::CleanUp));
            left = testbed.down().await.err().unwrap_or_default();
        }
        for what in &left {
            recorder.say(What::CleanUpIncomplete(what.clone()));
        }
        if left.is_empty() && !keeps {
            folder::tidy(&self.folder).map_err(DrillError::io("removing the servers' data"))?;
        }
        run.ended = match walked {
            Ok(ended) => ended,
            Err(error) => {
                recorder.close().map_err(DrillError::io("the run's events"))?;
                return Err(self.with_logs(error));
            }
        };
        os::files::write_json(&layout.run(), &run).map_err(DrillError::io("run.json"))?;
        recorder.say(What::Phase(RunPhase::Judge));
        recorder.close().map_err(DrillError::io("the run's events"))?;
        let folder = match &self.out {
            Some(out) => {
                folder::hand_over(&self.folder, out).map_err(DrillError::io("handing over the results"))?;
                if !keeps {
                    std::fs::remove_dir_all(&self.folder).map_err(DrillError::io("removing the run's folder"))?;
                }
                out.clone()
            }
            None => self.folder.clone(),
        };
        // On a thread of its own: other drills may be under way on these.
        let judged = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || judge::judge(&folder)).await.map_err(io::Error::other).flatten()
        };
        let (report, measures) = judged.map_err(DrillError::io("judging"))?;
        Ok((Finished { report, measures, folder, left }, testbed))
    }

    /// A failure, with the place of the logs that explain it.
    fn with_logs(&self, error: DrillError) -> DrillError {
        match error {
            DrillError::Failed(why) => {
                DrillError::Failed(format!("{why} (logs: {})", self.folder.join("logs").display()))
            }
            other => other,
        }
    }
}

/// A drill that has run to its end.
#[derive(Debug)]
pub struct Finished {
    /// What was found.
    pub report: Report,
    /// The figures behind it, token for token.
    pub measures: Measures,
    /// Where everything about it is kept.
    pub folder: PathBuf,
    /// What could not be ended. Empty is what one hopes for.
    pub left: Vec<String>,
}

impl Finished {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.report.verdict
    }

    /// The report as a person reads it.
    pub fn human(&self) -> String {
        report::human(&self.report, report::Style::PLAIN)
    }

    /// For tests: returns the drill if it is held and nothing is left behind.
    ///
    /// # Panics
    /// With the whole report, if not.
    #[track_caller]
    pub fn assert_held(self) -> Self {
        self.assert(Verdict::Held)
    }

    /// For tests: returns the drill if its verdict is this and nothing is left behind.
    ///
    /// # Panics
    /// With the whole report, if not.
    #[track_caller]
    pub fn assert(self, wanted: Verdict) -> Self {
        assert!(
            self.verdict() == wanted && self.left.is_empty(),
            "wanted {wanted}, and nothing left behind; left: {:?}; folder: {}\n{}",
            self.left,
            self.folder.display(),
            self.human()
        );
        self
    }
}
