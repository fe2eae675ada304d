//! `report.json`, as it stands on disk.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{reports::Feature, sabotage::Sabotage},
    model::{
        claim::{ClaimCounts, Claimant, Spread},
        measure::{Counts, OldSideAsked, Served},
        operation::Store,
        verdict::Verdict,
    },
};

/// Name and version of the contract.
pub const CONTRACT: &str = "geodrill.report/1";

/// The report of one run. Times are seconds since its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// `geodrill.report/1`.
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's own sentence.
    pub about: Option<String>,
    /// The seed that was used.
    pub seed: u64,
    /// The testbed.
    pub testbed: String,
    /// The way in which the platform was broken on purpose; left out: it was whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// When the run was started, as text, for people.
    pub started_at: String,
    /// The run's folder.
    pub folder: String,
    /// Versions of everything that ran.
    pub versions: BTreeMap<String, String>,
    /// The verdict: the worst of what was expected and of `integrity.*`.
    pub verdict: Verdict,
    /// What brought it about, if it is not held.
    pub reasons: Vec<String>,
    /// Every guarantee of the environments' products, `integrity.*`, and the measures that the scenario bounds.
    pub guarantees: Vec<GuaranteeRow>,
    /// What each event did to each environment; the last of each is its end.
    pub events: Vec<EventRow>,
    /// What the platform said, and how far it was off where that was measured.
    pub claims: Vec<ClaimRow>,
    /// The error of each claim over the whole run: of lag and backlog as servers and platform say it, of moments, of the loss
    /// that was estimated.
    pub claim_errors: Vec<ClaimErrorRow>,
    /// Every fault.
    pub faults: Vec<FaultRow>,
    /// Findings against integrity.
    pub findings: Vec<FindingRow>,
    /// Whether the books of each environment and store balance.
    pub books: Vec<BooksRow>,
    /// Replication lag while a replica was due.
    pub lags: Vec<LagRow>,
    /// Of each environment that ended protected, as the platform says: whether both regions are equal.
    pub regions: Vec<RegionsRow>,
    /// Readings that had to wait for files that were listed and were not handed out.
    #[serde(default)]
    pub withheld: Vec<WithheldRow>,
    /// What customers were answered of each feature, period by period; empty where there are none.
    #[serde(default)]
    pub features: Vec<FeatureRow>,
    /// What went wrong in the run itself.
    pub problems: Vec<String>,
}

/// Versions of files that were listed and that their store did not hand out when a reading asked for them; all came at last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithheldRow {
    /// Environment.
    pub environment: String,
    /// The region.
    pub region: String,
    /// When the last of them was handed out.
    pub at_s: f64,
    /// How many.
    pub versions: u64,
    /// From the first question to the last body, seconds; too long by a try of some ten seconds at most.
    pub waited_s: f64,
}

/// What customers were answered of one feature while one region served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureRow {
    /// Environment.
    pub environment: String,
    /// Feature.
    pub feature: Feature,
    /// The region that served.
    pub region: String,
    /// A support ticket was done.
    pub ticket: bool,
    /// When the period began: the switch was seen, or the ticket's end.
    pub began_s: f64,
    /// Questions of customers' at the environment's own door.
    pub asked: u64,
    /// Of these, those that brought a report.
    pub given: u64,
    /// Those that were answered that there is none to be had.
    pub unavailable: u64,
    /// Those that brought neither.
    pub unanswered: u64,
    /// Reports whose figures are those that were acknowledged.
    pub right: u64,
    /// Reports whose figures are not.
    pub wrong: u64,
    /// Reports that could not be compared.
    pub unchecked: u64,
    /// From the beginning of the period to the first report.
    pub given_after_s: Option<f64>,
    /// The last reason why there was none, in the platform's words.
    pub why: Option<String>,
    /// The first few wrong figures.
    pub examples: Vec<String>,
}

/// One guarantee, or measure, in one environment and event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuaranteeRow {
    /// Its id.
    pub id: String,
    /// The environment, if it is judged for each.
    pub environment: Option<String>,
    /// The event, if it is judged for each.
    pub event: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The dose exceeded the tested bound. `null` where no bound is judged. Held and not stressed does not count as
    /// exercised.
    pub stressed: Option<bool>,
    /// The documented bound.
    pub documented: Option<f64>,
    /// The bound that was tested.
    pub tested: Option<f64>,
    /// What was measured.
    pub measured: Option<f64>,
    /// How many operations, marks or samples are behind it.
    pub count: Option<u64>,
    /// Unit of the three figures.
    pub unit: Option<String>,
    /// Why it is not simply held.
    pub why: Option<String>,
    /// The scenario's `expect` names it.
    pub expected: bool,
    /// What the scenario wants to come out.
    pub wanted: Verdict,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The old side was given up.
    Unplanned,
    /// Both sides were online.
    Planned,
    /// Back to the home region.
    Failback,
    /// Within the region.
    Zone,
    /// No switch: the end of the run.
    None,
}

/// What one event did to one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRow {
    /// `failover-1`, a step's id, or `end`.
    pub id: String,
    /// Kind of switch.
    pub kind: EventKind,
    /// Environment.
    pub environment: String,
    /// A write was acknowledged from the other region; a zone is lost without that.
    pub switched: bool,
    /// The attempt was undone, as the platform says.
    pub aborted: bool,
    /// When what led to it took effect.
    pub began_s: f64,
    /// When the first write was acknowledged from the other region.
    pub switched_s: Option<f64>,
    /// Of a zone: from when on another zone of the region surely answered; `null`: the seat was seen where it was.
    pub moved_s: Option<f64>,
    /// The last acknowledgement from the old side.
    pub cut_s: Option<f64>,
    /// Its boundary was not observed, and why.
    pub unobserved: Option<String>,
    /// Data loss.
    pub recovery_point: RecoveryPointRow,
    /// How far the other side was behind when the fault took effect.
    pub dose_s: Option<f64>,
    /// Longest interruption of each access.
    pub interruption: InterruptionRow,
    /// Fates and marks of rows.
    pub sql: Counts,
    /// Fates and marks of objects.
    pub files: Counts,
    /// Rows without their object, of which the platform says so.
    pub dangling_marked: u64,
    /// Rows without their object, of which nobody says so.
    pub dangling_unmarked: u64,
    /// At the end: references still marked though their object is there.
    pub dangling_left: u64,
    /// What the platform salvaged of what was lost; `null`: no list was fetched.
    pub salvage: Option<SalvageRow>,
    /// Objects without a row.
    pub orphans: u64,
    /// Orphans that nothing excuses.
    pub orphans_unexcused: u64,
    /// How the side that served before answered when it was asked past the edge; `null`: there was no switch.
    pub old_side: Option<OldSideAsked>,
    /// Failover time in parts, which sum to the whole.
    pub phases_s: BTreeMap<String, f64>,
    /// Those of the parts that are the platform's word.
    pub claimed_phases: Vec<String>,
    /// Seconds until 95 % of the rate before was served again.
    pub back_to_rate_s: Option<f64>,
    /// The offered load before and after; `null`: there was no switch, or too short a stretch before or after it.
    pub served: Option<Served>,
}

/// A salvage list beside what was lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalvageRow {
    /// History rows in the list.
    pub rows: u64,
    /// Object versions in the list.
    pub objects: u64,
    /// Delete markers in the list.
    pub markers: u64,
    /// Lost writes that it lacks.
    pub missing: u64,
    /// Entries that were not lost.
    pub extra: u64,
    /// The first few of both.
    pub examples: Vec<String>,
}

/// The two regions of one environment at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionsRow {
    /// Environment.
    pub environment: String,
    /// Rows that one side alone has.
    pub rows: u64,
    /// Object versions that one side alone has.
    pub versions: u64,
    /// Delete markers that one side alone has.
    pub markers: u64,
    /// What is wrong with the direction of replication.
    pub direction: Vec<String>,
    /// The first few differences.
    pub examples: Vec<String>,
    /// Why nothing can be said.
    pub unread: Option<String>,
}

/// Data loss of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPointRow {
    /// Last acknowledgement of the old side − acknowledgement of the first lost operation: what is judged.
    pub age_s: f64,
    /// The same for rows.
    pub sql_age_s: f64,
    /// The same for objects.
    pub files_age_s: f64,
    /// Last acknowledgement − last surviving acknowledgement.
    pub tail_s: f64,
    /// Age if every absent in-doubt write counted as lost.
    pub in_doubt_age_s: f64,
    /// Operations lost in either store.
    pub operations: u64,
}

/// Interruptions of one event; `null` where that access was not probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InterruptionRow {
    /// Writing rows.
    pub sql_write_s: Option<f64>,
    /// Reading rows.
    pub sql_read_s: Option<f64>,
    /// Writing objects.
    pub files_write_s: Option<f64>,
    /// Reading objects.
    pub files_read_s: Option<f64>,
    /// No shorter interruption can be told from none.
    pub resolution_s: f64,
    /// Accesses that were still interrupted when the run ended: at least that long.
    pub censored: Vec<String>,
    /// Accesses whose interruption overlaps a stall of the examiner's own.
    pub examiner_stalled: Vec<String>,
}

/// Something that the platform said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRow {
    /// What, such as `failover.completed`.
    pub claim: String,
    /// The environment it is about.
    pub environment: Option<String>,
    /// The region it is about.
    pub region: Option<String>,
    /// When the examiner heard it.
    pub heard_s: f64,
    /// When the examiner itself saw what is claimed, if it can.
    pub measured_s: Option<f64>,
    /// Heard − measured.
    pub error_s: Option<f64>,
    /// What it is that was measured.
    pub beside: Option<String>,
    /// Why it was not compared.
    pub why: Option<String>,
    /// The platform's own words.
    pub detail: String,
}

/// The error of one claim over the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimErrorRow {
    /// The environment it is about, if it is about one.
    pub environment: Option<String>,
    /// Who says it.
    pub by: Claimant,
    /// What it is called by whoever says it.
    pub claim: String,
    /// Unit of every figure.
    pub unit: String,
    /// How often it was asked for or said, and what came of it.
    pub samples: ClaimCounts,
    /// What was said, where it was compared; `null` of moments.
    pub claimed: Option<Spread>,
    /// What was measured beside it.
    pub measured: Option<Spread>,
    /// Claimed − measured: negative is too good, or too early.
    pub error: Option<Spread>,
    /// The largest that was measured while it was not said.
    pub measured_unsaid_max: Option<f64>,
    /// What was measured is a lower bound: a larger claim has no error.
    pub at_least: bool,
    /// What was measured is itself uncertain by this much.
    pub resolution: Option<f64>,
    /// Why nothing was compared.
    pub why: Option<String>,
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultRow {
    /// Its name.
    pub fault: String,
    /// Its name and what it hit.
    pub target: String,
    /// The step that asked for it.
    pub step: String,
    /// When it was asked for.
    pub requested_s: f64,
    /// When its effect was proven.
    pub effective_s: Option<f64>,
    /// What was observed at injection.
    pub proof: String,
    /// When its healing was proven.
    pub healed_s: Option<f64>,
    /// What was observed at healing.
    pub healing: Option<String>,
    /// An effect or a healing that was due could not be proven.
    pub unproven: bool,
}

/// A finding against integrity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingRow {
    /// The guarantee it violates.
    pub id: String,
    /// Environment.
    pub environment: String,
    /// Event in which it was found.
    pub event: String,
    /// Store, where it is of one.
    pub store: Option<Store>,
    /// How many.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

/// The books of one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BooksRow {
    /// Environment.
    pub environment: String,
    /// Store.
    pub store: Store,
    /// Both balances are even.
    pub balanced: bool,
    /// Foreign tokens are the cause of an imbalance.
    pub foreign: bool,
    /// What is uneven.
    pub why: Option<String>,
}

/// Replication lag of one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LagRow {
    /// Environment.
    pub environment: String,
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
    /// The dose: what the largest would at least have been with a link as narrow as it was, had no write been held off.
    pub unguarded_s: f64,
    /// Error of each.
    pub error_s: f64,
}
