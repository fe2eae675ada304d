//! The control API, version 1: HTTP on loopback, JSON bodies, `Authorization: Bearer <token>` on every call.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /v1/health` | → `Health` |
//! | `PUT /v1/tenants/{tenant}` | `Tenant` → `Tenant` |
//! | `POST /v1/environments` | `Deploy` → `OperationView` (202) |
//! | `GET /v1/environments`, `GET /v1/environments/{id}` | → `EnvironmentView`s |
//! | `DELETE /v1/environments/{id}` | → `OperationView` (202) |
//! | `GET /v1/environments/{id}/dangling` | → `Dangling` |
//! | `POST /v1/conversions` | `Conversion` → `OperationView` (202) |
//! | `POST /v1/support-tickets` | `SupportTicket` → `OperationView` (202) |
//! | `POST /v1/backups`, `POST /v1/restores` | `BackUp`, `Restore` → `OperationView` (202) |
//! | `POST /v1/copies` | `Copy` → `OperationView` (202) |
//! | `PUT /v1/environments/{id}/exposure` | `Exposure` → `Exposure` |
//! | `GET /v1/environments/{id}/salvage` | → `Salvage` |
//! | `GET /v1/environments/{id}/salvage/objects/{number}` | → the body of an object on that list |
//! | `GET /v1/status` | → `Status` |
//! | `GET /v1/openapi.json` | → this API as an OpenAPI 3.1 document |
//! | `POST /v1/failovers` | `Failover` → `OperationView` (202) |
//! | `GET /v1/operations/{id}?wait_ms=` | → `OperationView`; waits up to `wait_ms` for its end |
//! | `PUT /v1/subscriptions/{name}` | `Subscription` → `Subscription` |
//! | `GET /v1/events?after=&wait_ms=` | → `Events`; waits up to `wait_ms` for the first |
//! | `GET /v1/notices` | → `Notice`s, the outbox |
//!
//! Roles use the same server under `/internal/` with the internal token: see [`crate::api::permit`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    EnvironmentId, Epoch, Region, Zone,
    environment::{EnvironmentKind, EnvironmentPhase, Product},
    guard::{GuardLevel, GuardMode},
    permit::SqlRole,
    reports::FeatureStatus,
};

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The platform's version, for the report.
    pub version: String,
    /// Regions whose node and compute have been heard within the suspicion time, both.
    pub regions_ready: Vec<Region>,
    /// The edge has been heard within the suspicion time.
    pub edge_ready: bool,
}

/// A tenant's licences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Products the tenant may deploy.
    pub licences: Vec<Product>,
}

/// Deploys an environment: answered as done only when both replicas exist and stream, where the kind promises any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// Its name.
    pub id: EnvironmentId,
    /// Its kind.
    pub kind: EnvironmentKind,
    /// The tenant whose licence is used.
    pub tenant: String,
    /// Its home region.
    pub region: Region,
}

/// Upgrades an environment to production: answered as done only when both replicas exist, stream and hold what was there
/// before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// Which; of a kind that has an upgrade.
    pub environment: EnvironmentId,
}

/// Asks for what a support ticket restores of an environment that is served away from its home: done once it is offered there
/// again. It holds until the environment is switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupportTicket {
    /// Which; of a kind that has features.
    pub environment: EnvironmentId,
}

/// Backs an environment up: rows and files of one moment, in which nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackUp {
    /// Which; of a kind that has no replica.
    pub environment: EnvironmentId,
}

/// Puts an environment's last back-up in the place of what it holds, which is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Which; of a kind that has no replica.
    pub environment: EnvironmentId,
}

/// Puts a copy of a production environment in the place of what a sandbox of the same product holds, which is given up: rows and
/// files of one moment, in which production is served as ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The production environment.
    pub from: EnvironmentId,
    /// The sandbox.
    pub to: EnvironmentId,
}

/// What a failover covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// Every environment that is served in the region; of a failback, every one that has its home there and is served
    /// elsewhere.
    Region(Region),
    /// The environments named.
    Environments(Vec<EnvironmentId>),
}

/// How a switch is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchKind {
    /// The old side is given up: bounded loss.
    Unplanned,
    /// Both sides are online: no loss.
    Planned,
    /// Back to the home region: no loss.
    Failback,
}

/// Orders a failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// How.
    pub kind: SwitchKind,
    /// Of what.
    pub scope: Scope,
    /// "I accept the loss of data": needed past the enforced bound.
    #[serde(default)]
    pub accept_data_loss: bool,
}

/// Lets an environment be written to although more would be lost than the enforced bound allows, or ends that.
///
/// While it is granted the bound is not guaranteed, and the environment is not failed over by itself; afterwards neither is
/// again before the other region has caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// Whether it is.
    pub granted: bool,
}

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Under way.
    Running,
    /// Done, whole.
    Completed,
    /// Some environments done, others left as they were.
    Partial,
    /// Undone: the state before it holds.
    Aborted,
    /// Could not be finished; `why` says what an operator must do.
    Failed,
}

/// An operation as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationView {
    /// Its number, unique in the life of the control plane.
    pub id: u64,
    /// `deploy`, `convert`, `support-ticket`, `failover`, ...
    pub kind: String,
    /// Its state.
    pub state: OperationState,
    /// The environments it covers, each with the step it is in.
    pub environments: Vec<EnvironmentStep>,
    /// Why it failed or was aborted.
    pub why: Option<String>,
}

/// How far one environment of an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentStep {
    /// The environment.
    pub environment: EnvironmentId,
    /// The step's name.
    pub step: String,
    /// Its epoch at that step.
    pub epoch: Epoch,
}

/// A webhook subscriber: notices are POSTed to it as [`Notice`] JSON until it answers 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// An `http://HOST:PORT/…` address, HOST being one of those that control may call: 127.0.0.1, unless it is told others.
    pub url: String,
}

/// One notification to customers, as it stands in the outbox and as it is POSTed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Its number.
    pub id: u64,
    /// The operation that it announces.
    pub operation: u64,
    /// The environment.
    pub environment: EnvironmentId,
    /// What is announced.
    pub kind: NoticeKind,
    /// The sentence a person reads.
    pub text: String,
    /// Delivery attempts made so far, over all subscribers.
    pub attempts: u32,
    /// Every subscriber has answered 2xx.
    pub delivered: bool,
}

/// What a notice announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// An unplanned failover is about to switch traffic.
    UnplannedFailover,
    /// A planned failover is about to switch traffic.
    PlannedFailover,
    /// A failback is about to switch traffic.
    Failback,
    /// The switch is done; the text has the estimated loss window.
    Completed,
    /// Anything else a customer should know (no replica, exposure, ...).
    Warning,
}

/// `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Those after the number asked for, in order.
    pub events: Vec<PlatformEvent>,
}

/// Something the platform says has happened: to the examiner a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformEvent {
    /// Grows by one for each event, across restarts.
    pub number: u64,
    /// Milliseconds since the control plane's first start, on its own clock.
    pub at_ms: u64,
    /// What, out of [`EVENT_NAMES`].
    pub name: String,
    /// The operation it belongs to.
    pub operation: Option<u64>,
    /// The region it is about.
    pub region: Option<Region>,
    /// The environment it is about.
    pub environment: Option<EnvironmentId>,
    /// The epoch in force after it.
    pub epoch: Option<Epoch>,
    /// Details for a person.
    pub detail: String,
}

/// How a platform's words on a loss begin, if it knows a bound of it: seconds follow, and of what.
pub const LOSS_AT_MOST: &str = "estimated loss window: at most the last ";

/// The same where nothing can be lost.
pub const NOTHING_LOST: &str = "nothing is lost";

impl PlatformEvent {
    /// The loss that it estimates, seconds; `None`: it gives no figure.
    pub fn loss_window_s(&self) -> Option<f64> {
        if self.detail.starts_with(NOTHING_LOST) {
            return Some(0.0);
        }
        self.detail.strip_prefix(LOSS_AT_MOST)?.split_once(" s of ")?.0.parse().ok()
    }
}

/// The names of events, in the order in which they may come; scenarios may wait for any of them.
pub const EVENT_NAMES: [&str; 62] = [
    "environment.deployed",
    "environment.converting",
    "environment.converted",
    "environment.not-converted",
    "environment.backing-up",
    "environment.backed-up",
    "environment.not-backed-up",
    "environment.restoring",
    "environment.restored",
    "environment.not-restored",
    "environment.copying",
    "environment.copied",
    "environment.not-copied",
    "environment.deleting",
    "environment.closed",
    "environment.deleted",
    "region.suspected",
    "region.cleared",
    "region.declared",
    "region.returned",
    "zone.suspected",
    "zone.started",
    "zone.fenced",
    "zone.switched",
    "zone.promoted",
    "zone.routed",
    "zone.completed",
    "zone.aborted",
    "zone.synchronous",
    "zone.whole",
    "failover.started",
    "failover.preflighted",
    "failover.notified",
    "failover.drained",
    "failover.handed-over",
    "failover.caught-up",
    "failover.fenced",
    "failover.switched",
    "failover.promoted",
    "failover.reconciled",
    "failover.routed",
    "failover.completed",
    "failover.retried",
    "failover.aborted",
    "failover.failed",
    "environment.returning",
    "environment.secured",
    "environment.rejoined",
    "environment.gaps",
    "environment.protected",
    "environment.return-failed",
    "features.requested",
    "features.provided",
    "features.degraded",
    "guard.alerted",
    "guard.throttled",
    "guard.withheld",
    "guard.released",
    "guard.exposed",
    "guard.restoring",
    "guard.suspended",
    "guard.resumed",
];

/// The names of an operation's steps, as [`EnvironmentStep::step`] and the journal have them; scenarios may wait for any.
pub const STEP_NAMES: [&str; 33] = [
    "creating-primary",
    "preparing-replica",
    "creating-replica",
    "allowing-grants",
    "preflight",
    "waiting",
    "notifying",
    "checkpointing",
    "draining",
    "handing-over",
    "catching-up",
    "stopping-grants",
    "fencing",
    "undoing",
    "restoring",
    "promoting",
    "reconciling",
    "opening",
    "following",
    "securing",
    "rejoining",
    "replicating-back",
    "returning-files",
    "protecting",
    "quieting",
    "backing-up",
    "putting-back",
    "copying",
    "putting-in",
    "reopening",
    "withdrawing",
    "closing",
    "deleting",
];

/// `GET /v1/status`: what an operator looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Both regions.
    pub regions: Vec<RegionStatus>,
    /// The edge has been heard within the suspicion time.
    pub edge_ready: bool,
    /// Every environment, by name.
    pub environments: Vec<EnvironmentStatus>,
    /// Operations under way, with the step each environment is in.
    pub operations: Vec<OperationView>,
    /// Notices not yet delivered to every subscriber.
    pub notices_owed: u64,
}

/// A region as control sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionStatus {
    /// Its name.
    pub region: Region,
    /// `clear`, `suspected`, `declared`.
    pub thought: String,
    /// Milliseconds since its node was heard; `None` if never.
    pub node_silent_ms: Option<u64>,
    /// Milliseconds since its compute was heard; `None` if never.
    pub compute_silent_ms: Option<u64>,
    /// Its file store answered its node's last real call.
    pub files_ok: bool,
    /// Why it could not take over, or be failed back to; `None` if it could.
    pub unfit: Option<String>,
}

/// An environment as an operator sees it. No credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentStatus {
    /// Its name.
    pub id: EnvironmentId,
    /// Its kind.
    pub kind: EnvironmentKind,
    /// The region it was deployed in.
    pub home: Region,
    /// The region that serves it now.
    pub active: Region,
    /// In which of its zones.
    #[serde(default)]
    pub zone: Zone,
    /// The zone that may take over for that one, since nothing is acknowledged that it does not have; `None`: none may, or there
    /// is only one.
    #[serde(default)]
    pub synchronous: Option<Zone>,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its phase.
    pub phase: EnvironmentPhase,
    /// Why it is in this phase, where that is not plain.
    pub why: Option<String>,
    /// The step that it is in, if an operation is under way or has failed.
    pub step: Option<String>,
    /// Control grants permits.
    pub granting: bool,
    /// The other region's node grants permits.
    pub peer_granting: bool,
    /// Milliseconds that the last permit given by control may still live; 0 if none.
    pub permit_left_ms: u64,
    /// What each region's node claims of it.
    pub claims: Vec<StoreClaim>,
    /// Rows marked since the last switch.
    pub dangling: u64,
    /// Rows and object versions salvaged at the last return.
    pub salvaged: u64,
    /// The data-loss guard.
    pub guard: GuardStatus,
    /// What it offers beside its stores; empty where its kind offers nothing.
    #[serde(default)]
    pub features: Vec<FeatureStatus>,
    /// The number of its last back-up.
    #[serde(default)]
    pub last_back_up: Option<u64>,
}

/// The data-loss guard of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardStatus {
    /// What it is set to do.
    pub mode: GuardMode,
    /// How much may be lost, milliseconds.
    pub bound_ms: u64,
    /// What it does now.
    pub state: GuardState,
    /// How far it has gone.
    pub level: GuardLevel,
    /// How much would be lost if the active region were, at most, milliseconds; `None` if not known.
    pub exposure_ms: Option<u64>,
    /// The same, of rows alone.
    pub sql_ms: Option<u64>,
    /// The same, of files alone.
    pub files_ms: Option<u64>,
    /// The bound is guaranteed.
    pub guaranteed: bool,
    /// If its region is lost, the environment is failed over without an operator.
    pub automatic: bool,
}

/// What the guard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardState {
    /// It measures and alerts.
    Observing,
    /// It keeps the loss below the bound.
    Enforcing,
    /// There is no replica that could be behind.
    Suspended,
    /// An operator has granted exposure.
    Exposed,
    /// An operator has ended it, and the other region has not caught up yet.
    Restoring,
}

/// What a node claims of one environment's stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreClaim {
    /// Whose node.
    pub region: Region,
    /// What its Postgres does.
    pub sql: SqlRole,
    /// Timeline; 0 if not known.
    pub timeline: u32,
    /// Bytes of log by which the standby is behind, on the primary's side; `None` if not known.
    pub sql_behind_bytes: Option<u64>,
    /// Entries of the running account that the other region is not known to have.
    pub files_pending: u64,
    /// Age of the oldest of them, milliseconds.
    pub files_oldest_ms: u64,
    /// A standby streams from it, or it streams.
    pub streaming: bool,
}

/// `GET /v1/environments/{id}/salvage`: what existed on the returning side alone when it came back last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Salvage {
    /// Folder on the returning side's node with this list, the objects' bodies and the evidence.
    pub folder: String,
    /// Every row.
    pub rows: Vec<SalvagedRow>,
    /// Every object version and delete marker.
    pub objects: Vec<SalvagedObject>,
}

/// A row version past the fork.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalvagedRow {
    /// `schema.table`.
    pub table: String,
    /// The row, as JSON.
    pub row: serde_json::Value,
}

/// Folder of the salvaged objects' bodies, below the list's; the last part of the path at which each can be fetched is its file here.
pub const SALVAGED_BODIES: &str = "objects";

/// An object version or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalvagedObject {
    /// Object key.
    pub object_key: String,
    /// Version id.
    pub version_id: String,
    /// It is a delete marker.
    pub delete_marker: bool,
    /// Its length; 0 for a marker.
    pub bytes: u64,
    /// The file in the folder that holds its body, also where it is to be fetched: `…/salvage/<file>`. `None` for a marker.
    pub file: Option<String>,
}

/// `GET /v1/environments/{id}/dangling`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dangling {
    /// References whose object version the active region does not have.
    pub references: Vec<FileReference>,
}

/// Keys under this prefix are the platform's own, not the customer's: with an object there, which it takes away again, a node
/// proves that a bucket replicates.
pub const OWN_PREFIX: &str = "geodrill-proof/";

/// A row's reference to an object version.
///
/// The contract with applications: every table of the database that has the columns `object_key` and `version_id`
/// (both text) holds file references; a row refers to an object where `object_key` is not null.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileReference {
    /// Object key.
    pub object_key: String,
    /// Version id.
    pub version_id: String,
}

/// The body of every refusal: 400 bad request, 401 wrong token, 404 unknown, 409 not now, 422 not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What is wrong and what to do.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_window_is_read_from_the_words_that_tell_it() {
        let check = |detail: &str, expected: Option<f64>| {
            let event = PlatformEvent {
                number: 1,
                at_ms: 1,
                name: "failover.completed".to_owned(),
                operation: None,
                region: None,
                environment: None,
                epoch: None,
                detail: detail.to_owned(),
            };
            assert_eq!(event.loss_window_s(), expected, "{detail}");
        };
        check(&format!("{LOSS_AT_MOST}2.1 s of rows (timeline 2); unprotected"), Some(2.1));
        check(&format!("{NOTHING_LOST} (timeline 2)"), Some(0.0));
        check("estimated loss window: not known", None);
        check("", None);
    }
}
