//! Events of a run: all that conductor and reporters share.
//!
//! On disk: `events.ndjson`, one a line, in order. A finished run can be judged again from these, the ledger and the
//! observations.

use serde::{Deserialize, Serialize};

use super::{
    RunTime,
    claim::ClaimSample,
    fault::{FaultRecord, WebhookMode},
    feature::FeatureAnswer,
    operation::{EnvironmentIndex, Side},
    plan::StepState,
};
use crate::api::{
    Region, Zone,
    control::{NoticeKind, PlatformEvent, SwitchKind},
    reports::Feature,
};

/// Something that happened, and when the examiner knew it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: RunTime,
    /// What.
    pub what: What,
}

/// The last record of every fault, in the order of these.
pub fn last_faults(events: &[Event]) -> Vec<&FaultRecord> {
    let mut last: Vec<&FaultRecord> = Vec::new();
    for event in events {
        if let What::Fault(record) = &event.what {
            last.retain(|earlier| earlier.step != record.step);
            last.push(record);
        }
    }
    last
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A phase of the run began.
    Phase(RunPhase),
    /// A step changed its state; `Done` and `Healed` come once proven.
    Step {
        /// The step.
        id: String,
        /// Its state.
        state: StepState,
        /// What a person wants to know.
        detail: String,
    },
    /// A step did not do what it had to: the run is inconclusive, and this says why.
    StepFailed {
        /// The step.
        id: String,
        /// Why.
        why: String,
    },
    /// A fault took effect, or was healed, or neither could be proven. The last of a step counts.
    Fault(FaultRecord),
    /// A switch was ordered or begun, as the platform says; opens an event of the report.
    SwitchBegan {
        /// Event id.
        event: String,
        /// Kind.
        kind: SwitchKind,
        /// Environment.
        environment: EnvironmentIndex,
        /// When what led to it took effect: the last fault proven before, or the order.
        cause: RunTime,
    },
    /// The platform says that the switch is completed; an observation follows.
    SwitchCompleted {
        /// Event id.
        event: String,
        /// Environment.
        environment: EnvironmentIndex,
    },
    /// A zone of the region that serves an environment is lost; opens an event of the report, and an observation follows.
    ZoneLost {
        /// Event id.
        event: String,
        /// Environment.
        environment: EnvironmentIndex,
        /// When what led to it took effect.
        cause: RunTime,
    },
    /// The zone of a region whose Postgres is the environment's primary there, by what the Postgres of every zone said to the
    /// examiner; told when it changes.
    SeatSeen {
        /// Environment.
        environment: EnvironmentIndex,
        /// The region.
        side: Side,
        /// The zone.
        zone: Zone,
        /// Its timeline.
        timeline: u32,
        /// Until then it was not: when the look before began.
        before: RunTime,
    },
    /// The Postgres of a zone that held the seat before was seen to follow the one that holds it.
    SeatFollows {
        /// Environment.
        environment: EnvironmentIndex,
        /// The region.
        side: Side,
        /// The zone.
        zone: Zone,
    },
    /// The platform says that an attempt has ended without a switch; an observation follows.
    SwitchEnded {
        /// Event id.
        event: String,
        /// Environment.
        environment: EnvironmentIndex,
        /// Everything is as it was; if not, the attempt stands where it failed.
        aborted: bool,
        /// Why, in the platform's words.
        why: String,
    },
    /// The platform says that an environment has a replica again; what the examiner then saw itself.
    Protected {
        /// Environment.
        environment: EnvironmentIndex,
        /// The region that holds the replica.
        replica: Side,
        /// Writes acknowledged after the claim were found there, rows and objects, and the standby streams.
        seen: bool,
        /// What was seen, or why not.
        detail: String,
    },
    /// At the end, an environment being protected as the platform says: which way replication runs, as the auditor sees it.
    Direction {
        /// Environment.
        environment: EnvironmentIndex,
        /// The region that serves it.
        serving: Side,
        /// Nothing if it runs from there to the other region; else everything that is wrong with it.
        wrong: Vec<String>,
    },
    /// At the end: references that the platform still lists as dangling though their object is there.
    MarksLeft {
        /// Environment.
        environment: EnvironmentIndex,
        /// How many.
        references: u64,
    },
    /// A reading found versions that are listed and were not handed out when they were first asked for.
    Withheld {
        /// Environment.
        environment: EnvironmentIndex,
        /// Region.
        side: Side,
        /// How many versions.
        versions: u64,
        /// From the first answer that said nothing to the last body, seconds; too long by a try of some ten seconds at most.
        waited_s: f64,
    },
    /// The platform says something.
    Claim(PlatformEvent),
    /// A notice reached the examiner's own receiver.
    NoticeReceived {
        /// Environment.
        environment: EnvironmentIndex,
        /// What it announces.
        kind: NoticeKind,
        /// The platform's number of the operation.
        operation: u64,
    },
    /// A notice was sent to the examiner's own receiver while it failed: it was read, and not taken.
    NoticeAttempt {
        /// Environment.
        environment: EnvironmentIndex,
        /// What it announces.
        kind: NoticeKind,
        /// The platform's number of the operation.
        operation: u64,
        /// How the receiver failed.
        mode: WebhookMode,
    },
    /// One sample of replication lag.
    Lag {
        /// Environment.
        environment: EnvironmentIndex,
        /// Of rows, seconds; `None` if it could not be sampled.
        sql_s: Option<f64>,
        /// Of objects.
        files_s: Option<f64>,
        /// At least so many acknowledged objects had not arrived; `None` if it could not be sampled, or was not.
        #[serde(default)]
        files_missing: Option<u64>,
        /// A replica was due.
        due: bool,
    },
    /// Whether a region was held to its quota of the processors.
    Quota {
        /// The region.
        region: Region,
        /// What it was to get, in thousandths of a processor.
        wanted_milli: u32,
        /// How many of its processes were held to it.
        held: u64,
        /// Why it is not known to have been in force; `None`: it was read back as wanted, and every process was held to it.
        trouble: Option<String>,
    },
    /// What servers and platform said of an environment's replication, when they were asked.
    Claimed(ClaimSample),
    /// The examiner itself was held up: probes were late by this much.
    ExaminerStalled {
        /// Seconds.
        seconds: f64,
    },
    /// How far the writing before the load is; not used by any verdict.
    Prefill {
        /// Environment.
        environment: EnvironmentIndex,
        /// How far.
        detail: String,
    },
    /// The deployment of a production environment was ordered while its tenant had licences for every other product alone.
    OrderedUnlicensed {
        /// Environment.
        environment: EnvironmentIndex,
        /// What came of it.
        answer: UnlicensedAnswer,
    },
    /// Deployment of an environment was answered as done; what the examiner then saw of its replicas.
    Deployed {
        /// Environment.
        environment: EnvironmentIndex,
        /// Seconds from the order to the answer.
        took_s: f64,
        /// The standby streams and holds the first row, seen by the auditor; `None`: no replica is due.
        sql_replica: Option<bool>,
        /// The other bucket holds the first object, seen by the auditor.
        files_replica: Option<bool>,
    },
    /// A conversion to production was answered as done; what the examiner then saw of its replicas.
    Converted {
        /// Environment.
        environment: EnvironmentIndex,
        /// Seconds from the order to the answer.
        took_s: f64,
        /// The standby streams and holds the first row, which was written before.
        sql_replica: bool,
        /// The other bucket holds the first object, which was written before.
        files_replica: bool,
    },
    /// A customer asked for a report, at the environment's own door.
    FeatureAsked {
        /// Environment.
        environment: EnvironmentIndex,
        /// What was asked for.
        feature: Feature,
        /// When the question was about to be sent.
        asked: RunTime,
        /// What came of it.
        answer: FeatureAnswer,
    },
    /// The platform took a support ticket.
    TicketOpened {
        /// Environment.
        environment: EnvironmentIndex,
    },
    /// The platform says that the ticket is done.
    TicketDone {
        /// Environment.
        environment: EnvironmentIndex,
    },
    /// The platform says that a back-up is made.
    BackedUp {
        /// Environment.
        environment: EnvironmentIndex,
        /// Seconds from the order to the answer.
        took_s: f64,
    },
    /// All that an environment held was destroyed; the auditor found nothing left.
    Destroyed {
        /// Environment.
        environment: EnvironmentIndex,
    },
    /// The platform says that it is restored from its last back-up.
    Restored {
        /// Environment.
        environment: EnvironmentIndex,
        /// Seconds from the order to the answer.
        took_s: f64,
    },
    /// The platform says that it has put a copy of production into a sandbox. What the sandbox holds from then on is held against what
    /// production's customers were told.
    Copied {
        /// The sandbox.
        environment: EnvironmentIndex,
        /// The production environment.
        source: EnvironmentIndex,
        /// Seconds from the order to the answer.
        took_s: f64,
    },
    /// What was looked for of a replica of an environment that is promised none: its stores in the other region, and anything
    /// in its own that leads there.
    ReplicaSought {
        /// Environment.
        environment: EnvironmentIndex,
        /// All that was found; there should be nothing.
        found: Vec<String>,
        /// What could not be looked at, and why.
        unlooked: Vec<String>,
    },
    /// Live figures for the one who watches; not used by any verdict.
    Rates {
        /// Acknowledged operations a second, over the last second, all environments.
        acked_per_s: f64,
        /// Failed and in-doubt ones.
        other_per_s: f64,
        /// Largest lag of any environment and store, seconds.
        lag_s: Option<f64>,
    },
    /// The ledger was closed: no write after this.
    Quiesced,
    /// A thing that makes every verdict that needs it inconclusive.
    Problem(String),
    /// Clean-up could not end something.
    CleanUpIncomplete(String),
}

/// What came of a deployment that lacked its licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnlicensedAnswer {
    /// It was refused, with the platform's reason.
    Refused(String),
    /// It was deployed all the same.
    Deployed,
    /// Nobody knows: why.
    Unknown(String),
}

/// Phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunPhase {
    /// Servers are found or made.
    SetUp,
    /// Sites and roles start.
    Start,
    /// Environments are deployed.
    Deploy,
    /// Load before the timeline.
    WarmUp,
    /// The timeline.
    Timeline,
    /// Load after it.
    Settle,
    /// Steps after the last write.
    Quiesced,
    /// Final readings.
    Read,
    /// Verification and verdicts.
    Judge,
    /// Everything is ended.
    CleanUp,
}
