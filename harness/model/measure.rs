//! Measures: what verification found, in figures. Times are seconds unless the name says otherwise.

use serde::{Deserialize, Serialize};

use super::{
    RunTime, Token,
    claim::ClaimError,
    feature::FeaturePeriod,
    operation::{EnvironmentIndex, Side, Store},
};
use crate::api::control::SwitchKind;

/// Everything that verification says of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures {
    /// Per environment and event, in the order of time; the last of each environment is its `end`.
    pub events: Vec<EventMeasures>,
    /// Findings against integrity, of any event. Empty is what one hopes for.
    pub findings: Vec<Finding>,
    /// The books of each environment and store at the final observation.
    pub books: Vec<Books>,
    /// Replication lag of each environment and store.
    pub lags: Vec<Lag>,
    /// What servers and platform said of replication, and how far they were off.
    #[serde(default)]
    pub claims: Vec<ClaimError>,
    /// What customers were answered of each feature, period by period.
    #[serde(default)]
    pub features: Vec<FeaturePeriod>,
    /// Of each environment that ended protected, as the platform says: whether both regions are equal.
    #[serde(default)]
    pub regions: Vec<RegionsCompared>,
}

/// The two regions of one environment at the end, laid beside each other.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RegionsCompared {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Rows that one side alone has, of all tables.
    pub rows: u64,
    /// Object versions that one side alone has, or whose bodies differ.
    pub versions: u64,
    /// Delete markers that one side alone has.
    pub markers: u64,
    /// What is wrong with the direction of replication.
    pub direction: Vec<String>,
    /// The first few differences, for a person.
    pub examples: Vec<String>,
    /// A side could not be read, so nothing can be said.
    pub unread: Option<String>,
}

impl RegionsCompared {
    /// Everything that is not as it should be.
    pub fn differences(&self) -> u64 {
        self.rows + self.versions + self.markers + self.direction.len() as u64
    }
}

/// What the platform salvaged at the return after a switch, laid beside what the switch lost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Salvaged {
    /// History rows in its list.
    pub rows: u64,
    /// Object versions in its list.
    pub objects: u64,
    /// Delete markers in its list.
    pub markers: u64,
    /// Writes that were lost and are not in its list.
    pub missing: u64,
    /// Entries of its list that were not lost and are not in doubt either.
    pub extra: u64,
    /// The first few of both, for a person.
    pub examples: Vec<String>,
}

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// Traffic is moved to the other region.
    Switch(SwitchKind),
    /// A zone of the region that serves is lost, and its other zones go on.
    Zone,
}

impl EventKind {
    /// The switch that it is, if it is one.
    pub fn switch(self) -> Option<SwitchKind> {
        match self {
            Self::Switch(kind) => Some(kind),
            Self::Zone => None,
        }
    }
}

/// What one event did to one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventMeasures {
    /// `failover-1`, or the step's id, or `end`.
    pub id: String,
    /// Its kind; `None` for the end, where nothing happened.
    pub kind: Option<EventKind>,
    /// The attempt was undone, as the platform says: nothing was switched, and its loss and interruption are what it cost.
    #[serde(default)]
    pub aborted: bool,
    /// Environment.
    pub environment: EnvironmentIndex,
    /// When the fault that led to it took effect, or the order was given.
    pub began: RunTime,
    /// The first acknowledged write that a client saw from the other side, if any: the switch, observed.
    pub switched: Option<RunTime>,
    /// Of a zone: from when on its environment was surely answered by another zone of the region, whose Postgres the examiner
    /// had seen to be the primary before the question was sent. `None`: the seat was seen where it was.
    #[serde(default)]
    pub moved: Option<RunTime>,
    /// The side before.
    pub from: Option<Side>,
    /// The side after.
    pub to: Option<Side>,
    /// The last acknowledgement of a write that any client had from the old side, whenever it came.
    pub cut: Option<RunTime>,
    /// Data loss.
    pub recovery_point: RecoveryPoint,
    /// How far the other side was behind when the fault took effect: the largest lag measured in the second before it.
    pub dose_s: Option<f64>,
    /// Acknowledgements in the five seconds before the fault took effect.
    pub acked_before: u64,
    /// Longest interruption of each access, the worse of fresh and long-lived connections.
    pub interruption: Interruptions,
    /// Fates and marks of rows.
    pub sql: Counts,
    /// Fates and marks of objects.
    pub files: Counts,
    /// Rows whose object cannot be read, and the platform says so (409).
    pub dangling_marked: u64,
    /// Rows whose object cannot be read, and nobody says so.
    pub dangling_unmarked: u64,
    /// At the end: references that are still marked though their object is there.
    #[serde(default)]
    pub dangling_left: u64,
    /// What was salvaged of what this switch lost; `None`: no list was fetched.
    #[serde(default)]
    pub salvage: Option<Salvaged>,
    /// Objects without a row, excused ones included.
    pub orphans: u64,
    /// Orphans that nothing excuses.
    pub orphans_unexcused: u64,
    /// Tokens lost in this event, with what was lost.
    pub lost: Vec<LostWrite>,
    /// Its boundary was observed; if not, its loss is inconclusive and this says why.
    pub unobserved: Option<String>,
    /// How the old side answered past the edge; `None`: there was no switch.
    #[serde(default)]
    pub old_side: Option<OldSideAsked>,
    /// Failover time in parts.
    pub phases: Vec<Phase>,
    /// Seconds from the first acknowledgement of the new side until 95 % of the rate before was served again.
    pub back_to_rate_s: Option<f64>,
    /// The offered load before and after; `None`: there was no switch, or too short a stretch before or after it.
    #[serde(default)]
    pub served: Option<Served>,
}

impl EventMeasures {
    /// The switch that it is, if it is one.
    pub fn switch(&self) -> Option<SwitchKind> {
        self.kind.and_then(EventKind::switch)
    }
}

/// What customers were served of the offered load on either side of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Up to five seconds before its cause.
    pub before: Service,
    /// The best three seconds after the first acknowledged write of the new side.
    pub after: Service,
}

/// The service of one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Acknowledged operations of the load, a second.
    pub acked_per_s: f64,
    /// The 99th percentile of the time from sending to acknowledgement, seconds; `null`: nothing was acknowledged.
    pub p99_s: Option<f64>,
}

/// How the side that served before a switch answered when it was asked past the edge, from the new side's first
/// acknowledgement until it was seen to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OldSideAsked {
    /// Operations: reads and writes of rows and of objects, with the old epoch and with the new one.
    pub asked: u64,
    /// Of these acknowledged, in whole or in part: there should be none.
    pub answered: u64,
    /// Of these without a clear answer. All others were refused before anything was sent.
    pub in_doubt: u64,
}

/// One part of a failover's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// `suspected`, `declared`, `noticed`, `fenced`, `promoted`, `routed`, `first_ack`.
    pub name: String,
    /// Its length.
    pub seconds: f64,
    /// The platform's word for it, not measured.
    pub claim: bool,
}

/// Recovery point of one event.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// Last acknowledgement of the old side − acknowledgement of the first lost operation of either store: what is judged.
    pub age_s: f64,
    /// The same for rows.
    pub sql_age_s: f64,
    /// The same for objects, by the whole operation's acknowledgement; marked dangling ones count.
    pub files_age_s: f64,
    /// Last acknowledgement − last surviving acknowledgement.
    pub tail_s: f64,
    /// Age if every in-doubt write that is absent counted as lost.
    pub in_doubt_age_s: f64,
    /// Operations lost in either store, each counted once.
    pub operations: u64,
}

/// Interruptions of one event, in seconds; `None` where that access was not probed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Interruptions {
    /// Writing rows.
    pub sql_write: Option<Gap>,
    /// Reading rows.
    pub sql_read: Option<Gap>,
    /// Writing objects.
    pub files_write: Option<Gap>,
    /// Reading objects.
    pub files_read: Option<Gap>,
    /// Probe period of the access that is probed least often: no shorter interruption can be told from none.
    pub resolution_s: f64,
}

impl Interruptions {
    /// All four, by name.
    pub fn each(&self) -> [(&'static str, Option<&Gap>); 4] {
        [
            ("sql_write", self.sql_write.as_ref()),
            ("sql_read", self.sql_read.as_ref()),
            ("files_write", self.files_write.as_ref()),
            ("files_read", self.files_read.as_ref()),
        ]
    }
}

/// One interruption.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Gap {
    /// Its length; 0 if no probe failed or was overdue.
    pub seconds: f64,
    /// The run ended before service was back: it is at least this long.
    pub censored: bool,
    /// It overlaps a stall of the examiner itself: inconclusive.
    pub examiner_stalled: bool,
}

/// Fates and marks of one store, in writes; the terms of both balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Writes intended so far.
    pub intents: u64,
    /// Of these acknowledged.
    pub acked: u64,
    /// Fate: there, its key's last, value or body fit.
    pub intact: u64,
    /// Fate: there, a later one exists.
    pub superseded: u64,
    /// Fate: lost, a write of something new that is not there.
    pub lost_create: u64,
    /// Fate: lost, the key holds an older state.
    pub stale: u64,
    /// Fate: lost, a deleted key is back.
    pub resurrected: u64,
    /// Fate: there, but value, body or hash does not fit.
    pub corrupt: u64,
    /// Fate: no clear answer, and it is there.
    pub in_doubt_present: u64,
    /// Fate: no clear answer, and it is not there.
    pub in_doubt_absent: u64,
    /// Fate: refused, and yet it is there.
    pub fail_present: u64,
    /// Fate: refused, and not there.
    pub fail_absent: u64,
    /// Mark: copies beyond the first.
    pub duplicate: u64,
    /// Mark: lost although a later one of the same side and epoch, sent after its acknowledgement, survives.
    pub hole: u64,
    /// Mark: one leg of a transfer without the other.
    pub torn: u64,
    /// Mark: acknowledged by the old side though sent after the new side's first acknowledgement.
    pub zombie: u64,
    /// Mark: acknowledged by the old side after the new side's first acknowledgement, but sent before it.
    pub late: u64,
    /// Mark: a token that nobody issued.
    pub foreign: u64,
    /// Mark (files): lost although a later one survives, which replication of objects may do.
    pub out_of_order: u64,
    /// Bytes of lost writes (values, or bodies).
    pub lost_bytes: u64,
    /// Rows, or versions with a body, of writes that count as lost all the same: the key's state contradicts them, or an
    /// earlier event lost them and they reappeared.
    pub lost_found: u64,
    /// Rows, or versions with a body, that were found.
    pub found: u64,
    /// Rows, or versions, that were there before the first intent.
    pub seeded: u64,
    /// What the two passes disagree by: 0 or the books do not balance.
    pub residual: i64,
}

impl Counts {
    /// Writes lost, of all three kinds.
    pub fn lost(&self) -> u64 {
        self.lost_create + self.stale + self.resurrected
    }
}

/// A write that was acknowledged and is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LostWrite {
    /// Which.
    pub token: Token,
    /// In which store.
    pub store: Store,
    /// How.
    pub kind: LossKind,
}

/// How a write is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Something new that is not there.
    LostCreate,
    /// The key holds an older state.
    Stale,
    /// A deleted key is back.
    ResurrectedDelete,
}

/// Something that must never be, found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The integrity guarantee it violates.
    pub id: Integrity,
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Event in which it was found.
    pub event: String,
    /// Store, where it is of one.
    pub store: Option<Store>,
    /// How many.
    pub count: u64,
    /// The first few, for a person: tokens, keys.
    pub examples: Vec<String>,
}

/// The guarantees that are judged in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    /// Zombie writes.
    SplitBrain,
    /// A loss in the middle of the log; a fork or a break in a key's chain.
    Hole,
    /// A row of a failed operation, or of a token that nobody issued.
    Phantom,
    /// More copies than one.
    Duplicate,
    /// A value, body or hash that does not fit.
    Corrupt,
    /// One leg of a transfer alone, or a sum that is off.
    Torn,
    /// A row without its object, and nobody says so.
    DanglingUnmarked,
    /// A read that returned an older state than one acknowledged before it was sent.
    StaleRead,
    /// A read that returned a lost write after the switch.
    GhostRead,
    /// The two passes disagree.
    Books,
    /// The platform says that an environment is protected, and its regions are not equal at the end, or replication does
    /// not run from the one that serves.
    RegionsDiffer,
}

impl Integrity {
    /// All of them, in the order of reports.
    pub const ALL: [Integrity; 11] = [
        Self::SplitBrain,
        Self::Hole,
        Self::Phantom,
        Self::Duplicate,
        Self::Corrupt,
        Self::Torn,
        Self::DanglingUnmarked,
        Self::StaleRead,
        Self::GhostRead,
        Self::Books,
        Self::RegionsDiffer,
    ];

    /// Its guarantee id.
    pub fn id(self) -> &'static str {
        match self {
            Self::SplitBrain => "integrity.split-brain",
            Self::Hole => "integrity.hole",
            Self::Phantom => "integrity.phantom",
            Self::Duplicate => "integrity.duplicate",
            Self::Corrupt => "integrity.corrupt",
            Self::Torn => "integrity.torn",
            Self::DanglingUnmarked => "integrity.dangling-unmarked",
            Self::StaleRead => "integrity.stale-read",
            Self::GhostRead => "integrity.ghost-read",
            Self::Books => "integrity.books",
            Self::RegionsDiffer => "integrity.regions-differ",
        }
    }
}

/// Whether the books of one store balance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Store.
    pub store: Store,
    /// The final reading was whole and both balances are even.
    pub balanced: bool,
    /// Foreign tokens are the cause of an imbalance.
    pub foreign: bool,
    /// What is uneven, or why it could not be reckoned.
    pub why: Option<String>,
}

/// Replication lag of one environment and store over the time in which a replica was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Environment.
    pub environment: EnvironmentIndex,
    /// Store.
    pub store: Store,
    /// Samples taken.
    pub samples: u64,
    /// Median.
    pub p50_s: f64,
    /// 99th of a hundred.
    pub p99_s: f64,
    /// Largest.
    pub max_s: f64,
    /// What the largest would at least have been with a link as narrow as it was, had no write been held off.
    pub unguarded_s: f64,
    /// Heartbeat period and poll period together.
    pub error_s: f64,
}
