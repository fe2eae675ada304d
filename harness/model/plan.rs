//! A validated scenario: what a run will do.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    operation::{Side, Store},
    process::ProcessName,
    verdict::Verdict,
};
use crate::api::{
    EnvironmentId, Region,
    control::{Scope, SwitchKind},
    environment::EnvironmentKind,
    role::{Policy, Timers},
    sabotage::Sabotage,
};

/// Everything a run needs to know; written to `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// A sentence for people.
    pub about: Option<String>,
    /// Folder that `exec` commands run in: the scenario file's own.
    pub folder: PathBuf,
    /// The two regions.
    pub regions: Regions,
    /// The platform under test.
    pub platform: Platform,
    /// The environments, in the order of the file.
    pub environments: Vec<EnvironmentPlan>,
    /// The load.
    pub workload: Workload,
    /// The steps, in the order of the file.
    pub timeline: Vec<Step>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// The seed, if the file sets one.
    pub seed: Option<u64>,
}

/// The two regions of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regions {
    /// Home of every environment.
    pub primary: Region,
    /// The other one.
    pub secondary: Region,
    /// Zones in each.
    pub zones: u8,
    /// How much of the processors each region's processes may use together; `None`: as much as there is.
    #[serde(default)]
    pub processors: Option<Processors>,
}

/// Quotas of the two regions, in thousandths of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processors {
    /// The primary's.
    pub primary_milli: u32,
    /// The secondary's.
    pub secondary_milli: u32,
}

impl Regions {
    /// A side's.
    pub fn of(&self, side: Side) -> &Region {
        if side == Side(0) { &self.primary } else { &self.secondary }
    }

    /// The side of one of the two.
    pub fn side(&self, region: &Region) -> Side {
        if *region == self.primary { Side(0) } else { Side(1) }
    }

    /// Each region with its quota, if it has one, in thousandths of a processor.
    pub fn quotas(&self) -> impl Iterator<Item = (&Region, u32)> {
        self.processors.into_iter().flat_map(|Processors { primary_milli, secondary_milli }| {
            [(&self.primary, primary_milli), (&self.secondary, secondary_milli)]
        })
    }
}

/// The platform under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Platform {
    /// The reference platform of this project.
    Reference {
        /// Its timers.
        timers: Timers,
        /// How it decides.
        policy: Policy,
        /// The way in which it is broken on purpose, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sabotage: Option<Sabotage>,
    },
}

impl Platform {
    /// The way in which it is broken on purpose, if it is.
    pub fn sabotage(&self) -> Option<Sabotage> {
        let Self::Reference { sabotage, .. } = self;
        *sabotage
    }
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentPlan {
    /// Its name.
    pub id: EnvironmentId,
    /// Its kind.
    pub kind: EnvironmentKind,
}

/// The offered load of *each* environment. Open loop: what is due is sent when it is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Operations a second.
    pub rate_per_s: f64,
    /// Writers, a connection each.
    pub writers: u16,
    /// Shares of the kinds of write.
    pub mix: Mix,
    /// Share of creates and overwrites that carry a file, 0 to 1.
    pub file_share: f64,
    /// Bytes of a file.
    pub file_bytes: u32,
    /// Rows with an object each that are written, and seen in both regions, before the load starts.
    pub prefill: u32,
    /// Hard deadline of every operation.
    pub deadline: Duration,
    /// Period of every probe; also the resolution of every interruption.
    pub probe_period: Duration,
    /// Load before the timeline starts.
    pub warm_up: Duration,
    /// Load after the last ordinary step.
    pub settle: Duration,
    /// Acknowledgements needed in the window before a fault; fewer, and its loss is inconclusive.
    pub min_acked: u64,
}

/// Weights of the kinds of write; what counts is their ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Creates.
    pub create: u32,
    /// Overwrites: half of the writer's own keys, half of contended ones.
    pub overwrite: u32,
    /// Deletes of the writer's own keys.
    pub delete: u32,
    /// Transfers.
    pub transfer: u32,
}

/// One step of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name: the file's, or `step-N` counted from 1.
    pub id: String,
    /// What it waits for, besides the end of the step before.
    pub when: Option<When>,
    /// Waits this long after the trigger.
    pub delay: Duration,
    /// Waits this much longer, which `within` does not count: drawn, so that what is done again and again meets the
    /// platform's timers at ever other moments. Nothing, unless phases were asked for.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub phase: Duration,
    /// Bound on trigger and completion together; exceeded, the run is inconclusive.
    pub within: Duration,
    /// A fault is healed in the background after this long. `None`: until a `heal` step or the end.
    pub hold: Option<Duration>,
    /// What must become of an order; anything else fails the step.
    #[serde(default)]
    pub outcome: WantedOutcome,
    /// What is done.
    pub action: Action,
}

impl Step {
    /// Whether it is to meet a place of the control plane's journal: its trigger is one, or its fault is.
    pub fn meets_journal(&self) -> bool {
        matches!(self.when, Some(When::Journal { .. }))
            || matches!(self.action, Action::Inject(Fault::ControlCrash { at: Some(_), .. }))
    }
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum When {
    /// Not before this long into the steady load.
    At(Duration),
    /// Another step's state.
    Step {
        /// The step.
        id: String,
        /// Its state.
        is: StepState,
    },
    /// The platform says that this happened.
    Event {
        /// One of [`crate::api::control::EVENT_NAMES`].
        name: String,
        /// Of this environment alone.
        environment: Option<EnvironmentId>,
        /// The how-many-th since the step before began, from 1.
        nth: u32,
    },
    /// The control plane's journal has entered this step, seen from outside: within milliseconds after it is durable.
    Journal {
        /// One of [`crate::api::control::STEP_NAMES`].
        step: String,
        /// Of this environment alone.
        environment: Option<EnvironmentId>,
        /// The how-many-th since the step before began, from 1.
        nth: u32,
    },
    /// The examiner has itself measured that a replica is so far behind, in a sample taken since this step was armed.
    Lag {
        /// Of this environment.
        environment: EnvironmentId,
        /// Of this store.
        store: Store,
        /// At least so far.
        at_least: Duration,
    },
    /// So many writes of the offered load (probes are none of it) were acknowledged since the steady load began.
    Count {
        /// Of this environment alone.
        environment: Option<EnvironmentId>,
        /// How many.
        acked: u64,
    },
    /// After the last write, before the final read.
    Quiesced,
}

/// What must become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedOutcome {
    /// Done, whole.
    #[default]
    Completed,
    /// Done for some environments, the others are where they were.
    Partial,
    /// Undone: everything is as it was.
    Aborted,
    /// Not begun at all.
    Refused,
}

impl WantedOutcome {
    /// Every outcome.
    pub const ALL: [WantedOutcome; 4] = [Self::Completed, Self::Partial, Self::Aborted, Self::Refused];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
        }
    }
}

/// States of a step that others may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepState {
    /// Its action has begun.
    Started,
    /// Fault proven, operation final, command exited.
    Done,
    /// The fault it injected is healed, proven.
    Healed,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Breaks something.
    Inject(Fault),
    /// Heals the fault of the named step.
    Heal(String),
    /// Orders the platform to switch, as an operator would.
    Operate(Order),
    /// Orders the platform to upgrade this environment to production.
    Convert(EnvironmentId),
    /// Opens a support ticket with the platform for this environment.
    Ticket(EnvironmentId),
    /// Orders the platform to back this environment up.
    BackUp(EnvironmentId),
    /// Destroys all that this environment holds, as its customer.
    Destroy(EnvironmentId),
    /// Orders the platform to restore this environment from its last back-up.
    Restore(EnvironmentId),
    /// Orders the platform to put a copy of production into a sandbox.
    Copy {
        /// The production environment.
        from: EnvironmentId,
        /// The sandbox.
        to: EnvironmentId,
    },
    /// Runs a user's command; exit code other than 0 makes the run inconclusive.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// It is ended after this long.
        timeout: Duration,
    },
    /// Lets time pass.
    Pause(Duration),
    /// Takes these steps side by side, and is done when all are.
    Parallel(Vec<Step>),
}

impl Plan {
    /// Processes whose disk is to run full.
    pub fn small_disks(&self) -> Vec<ProcessName> {
        let full = self.steps().filter_map(|step| match &step.action {
            Action::Inject(Fault::DiskFull { process }) => Some(process.clone()),
            _ => None,
        });
        full.collect()
    }

    /// The kinds that an environment is of in this run: the one it is deployed as, and what a step is to make of it.
    pub fn kinds(&self, environment: &EnvironmentPlan) -> Vec<EnvironmentKind> {
        let converts = self.steps().any(|step| {
            step.outcome == WantedOutcome::Completed
                && matches!(&step.action, Action::Convert(id) if *id == environment.id)
        });
        let upgraded = environment.kind.upgrades_to().filter(|_| converts);
        std::iter::once(environment.kind).chain(upgraded).collect()
    }

    /// Every step of the timeline, those that stand side by side after the one that holds them.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.timeline.iter().flat_map(|step| {
            let inner: &[Step] = match &step.action {
                Action::Parallel(steps) => steps,
                _ => &[],
            };
            std::iter::once(step).chain(inner)
        })
    }
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// How.
    pub kind: SwitchKind,
    /// Of what.
    pub scope: Scope,
    /// The operator accepts loss past the bound.
    pub accept_data_loss: bool,
}

/// What must hold at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Of what.
    pub subject: Subject,
    /// In this environment; `None`: in every one it applies to.
    pub environment: Option<EnvironmentId>,
    /// In the event of this step; `None`: in every event it applies to.
    pub step: Option<String>,
    /// Tightens (or for a measure: sets) the bound. Seconds, or a count, as the subject has it.
    pub at_most: Option<f64>,
    /// The verdict that must come out: `held` but for sabotage and tampering.
    pub verdict: Verdict,
}

/// A guarantee or a bare measure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// A guarantee's id, such as `dataverse.unplanned.loss` or `integrity.corrupt`.
    Guarantee(String),
    /// A measure's name, such as `loss.operations`.
    Measure(String),
}
