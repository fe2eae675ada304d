//! What control asks of a node: `POST /internal/command` with the internal token, answered when it is done.
//!
//! Every command is idempotent (precheck, act, postcheck) and carries the environment's epoch; a node refuses an epoch
//! smaller than the highest it has durably seen for that environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    EnvironmentId, Epoch, Region, Zone, control::FileReference, environment::EnvironmentKind, guard::Limits,
    permit::Credentials,
};

/// One command to one node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The operation that asks, for logs and for telling a repeat.
    pub operation: u64,
    /// The environment.
    pub environment: EnvironmentId,
    /// The environment's epoch as the sender knows it.
    pub epoch: Epoch,
    /// The zone of the other region in which its side of the environment is.
    #[serde(default)]
    pub peer_zone: Zone,
    /// What to do.
    pub action: Action,
}

/// What a node can be told to do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Makes the environment's cluster (database, roles, HBA) and bucket (versioned), as the owner of `epoch`, and
    /// opens it to clients. Done when both answer.
    CreatePrimary(Spec),
    /// Makes the standby from the other region's primary and the bucket that takes its objects. Done when the
    /// receiver streams and has replayed the primary's position of the beginning.
    CreateReplica(Spec),
    /// On the primary's side of an environment that had no replica: whatever the other region needs to follow it (slot,
    /// rights, the key pair that writes into the bucket), and from now on the running account is verified there. Clients are
    /// served as before.
    PrepareReplica(Spec),
    /// Makes a standby, within the region, of the primary in another zone, anew if what is there does not follow it; it is no
    /// replica of the other region's. Done when it streams.
    MakeZoneStandby {
        /// What to make it from.
        spec: Spec,
        /// The zone of the primary.
        source: Zone,
    },
    /// On the primary: nothing is acknowledged from now on that this zone's standby has not got on its disk; `None`: nobody is
    /// waited for. Done when it has everything that was written before. Of two orders the later operation's holds.
    Synchronize {
        /// Whose standby.
        zone: Option<Zone>,
    },
    /// On the other region's standby, after another zone has taken over: follows that one, as it is where it has not gone past the
    /// fork, built anew where it has. Done when it streams. Answered with [`Answer::Rejoined`].
    FollowZone {
        /// Where the zone forked from the one before.
        fork: Fork,
    },
    /// On either side, where its store is one of several nodes: every object of the bucket gets back those of its parts that a node
    /// missed while it was away. Refused (409) while a node is away still. Done when none is missing.
    CompleteFiles(Spec),
    /// On every node that is heard, on either side, while another's zone is missed: if the store of several nodes makes its callers
    /// wait for one that does not answer, those that can be reached start anew, and do without it. Done when it answers in time,
    /// at once where it did so anyway.
    RenewFiles(Spec),
    /// Undoes [`Action::PrepareReplica`] and [`Action::ReplicateFiles`]: no rule, no slot, nothing is verified.
    WithdrawReplica(Spec),
    /// On the other side, undoes [`Action::CreateReplica`]: no cluster, no bucket, nothing may be granted. Refused (409) where
    /// there is anything but a standby.
    DropReplica(Spec),
    /// On either side, whatever its role is there: no cluster, no bucket, no users of it, no back-up, copy or evidence, nothing may be
    /// granted. What stays is that the epoch has been seen. Done when nothing is left; a repeat removes what a crash has left.
    Delete(Spec),
    /// On the primary's side: makes the rule that replicates the bucket (objects, existing ones, delete markers, version
    /// deletes) to the other region. Done when an object of its own has been read, unproxied, from the other side and
    /// removed again in both, all versions.
    ReplicateFiles(Spec),
    /// On the primary's side, after its zone has taken over: as [`Action::ReplicateFiles`], but by this zone's way to the other
    /// region; the rule that another zone's node has made may lead by one that is gone.
    TakeOverFiles(Spec),
    /// This node may grant permits for the environment to `primary` (the other region) under the epoch. Refused (409) under
    /// an epoch whose granting a *later* operation has stopped: a command delayed on its way must not open it again. The
    /// operation that stopped it may allow it again, which is how an undone failover ends. Of two leaves the one of the later
    /// operation holds.
    AllowGranting {
        /// The region that may be granted to.
        primary: Region,
        /// Writes are slowed and withheld by these limits, as far as this node itself knows what it has received; `None`:
        /// it does not guard.
        guard: Option<Limits>,
    },
    /// Durably stops granting permits of the epoch or smaller. The answer says how long a permit already given may live.
    StopGranting,
    /// On the old side, if it can be reached: locks clients out by HBA and ends their sessions.
    Fence,
    /// On the standby that takes over, `epoch` being the new one: cuts the receiver, waits until no further complete record exists
    /// past the replay position, promotes, checks the new timeline, opens to clients.
    Promote,
    /// On the secondary's store: disables the key pair with which the old side replicates into the bucket.
    RevokeFilesReplication {
        /// The old side.
        source: Region,
    },
    /// Finds rows whose object version is not in this region's bucket, remembers them durably as marked, and answers
    /// with them.
    ReconcileReferences,
    /// On the primary's side, before a planned switch: the standby streams and has replayed, within a second, the position
    /// that the primary had when asked; the running account has nothing old that the other region lacks; full version
    /// listings of both stores are equal but for what is in flight. [`Answer::Done`] or [`Answer::Unmet`] with all
    /// reasons.
    PreflightPrimary,
    /// On the other side: the standby streams and replays, the store answers a real call, there is room on the disk.
    /// [`Answer::Done`] or [`Answer::Unmet`].
    PreflightStandby,
    /// On either side: a checkpoint (on a standby a restartpoint), so that the stop that follows has little left to write.
    Checkpoint,
    /// On the primary's side, clients already cut off by the compute: durably no longer to be started here by the
    /// supervisor, clients locked out by HBA and their sessions ended, stopped fast, found cleanly shut down
    /// (`pg_controldata`), the end of the shutdown record read (`pg_waldump`). Answered with [`Answer::HandedOver`].
    HandOver,
    /// Undoes [`Action::HandOver`] under the same epoch: the primary runs again and is open to clients. Also right when
    /// nothing was handed over. Refused (409) if a later operation has handed it over, or a greater epoch was seen.
    TakeBack,
    /// On the standby's side: waits until it has replayed to or past the end of the shutdown record.
    /// [`Answer::Done`] or, after `within_ms`, [`Answer::Unmet`].
    AwaitLog {
        /// What the primary said.
        end: LogEnd,
        /// Longest wait, milliseconds.
        within_ms: u64,
    },
    /// On the primary's side: drives and waits until the other region's store has every entry of the running account up to
    /// the sealed number. [`Answer::Done`] or, after `within_ms`, [`Answer::Unmet`].
    AwaitFiles {
        /// The number that the compute sealed.
        sealed: u64,
        /// Longest wait, milliseconds.
        within_ms: u64,
    },
    /// On the returning side, before anything is started there: a cluster that still runs is fenced and stopped, evidence
    /// is kept (data folder with its log, control data, version listing), and whatever exists only here is itemised and
    /// exported: rows past the fork, object versions and delete markers. Answered with [`Answer::Secured`].
    Secure {
        /// Where the live side forked from this one's timeline.
        fork: Fork,
    },
    /// On the returning side, once secured: the cluster follows the live side, as it is where it has not diverged, after
    /// `pg_rewind` where it has, built anew where that fails. Done when it streams. Answered with [`Answer::Rejoined`].
    Rejoin {
        /// As before.
        fork: Fork,
    },
    /// On the returning side's store: enables the key pair with which `source` replicates into the bucket.
    AllowFilesReplication {
        /// The live side.
        source: Region,
    },
    /// On the returning side: its own rule is turned off; what only it has is removed by version id if `clean` is false (it
    /// has been salvaged), else kept and answered as gaps of the live side; what it lacks is copied with its version ids.
    /// Done when listings are equal but for what is in flight. Answered with [`Answer::FilesReturned`].
    ReturnFiles {
        /// The switch away from this side was one without loss: nothing may exist only here.
        clean: bool,
    },
    /// On the primary's side, clients already cut off by the compute: copies rows and files into a back-up of this number. Done
    /// when all of it is durable; a repeat of what is done changes nothing.
    BackUp {
        /// The back-up's number.
        backup: u64,
    },
    /// On the primary's side, clients already cut off by the compute: puts a back-up in the place of what is there, rows and files
    /// with their version ids. Of the restore of an operation that is done a repeat changes nothing, whenever it comes.
    PutBack {
        /// The back-up's number.
        backup: u64,
    },
    /// Where both are served, of a sandbox, which it is ordered for: takes a copy of `from`, rows and files of one moment, while
    /// customers of both are served. Done when all of it is durable; a repeat of what is done changes nothing. Refused (409) where
    /// `from` is not served here under its epoch.
    TakeCopy {
        /// The production environment.
        from: EnvironmentId,
        /// Its epoch.
        from_epoch: Epoch,
        /// The copy's number.
        copy: u64,
    },
    /// Where a sandbox is served, clients already cut off by the compute: puts a copy that was taken in the place of what is there.
    /// Rows belong to the sandbox's own roles, versions keep their ids. Of an operation that is done a repeat changes nothing,
    /// whenever it comes.
    PutIn {
        /// The copy's number.
        copy: u64,
    },
    /// On the live side: copies these versions, with their ids, out of the other region's store.
    RepairFiles {
        /// Which.
        references: Vec<FileReference>,
    },
}

impl Action {
    /// Its name, for logs: what an action holds may be secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreatePrimary(_) => "create-primary",
            Self::CreateReplica(_) => "create-replica",
            Self::MakeZoneStandby { .. } => "make-zone-standby",
            Self::Synchronize { .. } => "synchronize",
            Self::CompleteFiles(_) => "complete-files",
            Self::RenewFiles(_) => "renew-files",
            Self::FollowZone { .. } => "follow-zone",
            Self::PrepareReplica(_) => "prepare-replica",
            Self::WithdrawReplica(_) => "withdraw-replica",
            Self::DropReplica(_) => "drop-replica",
            Self::Delete(_) => "delete",
            Self::TakeOverFiles(_) => "take-over-files",
            Self::ReplicateFiles(_) => "replicate-files",
            Self::AllowGranting { .. } => "allow-granting",
            Self::StopGranting => "stop-granting",
            Self::Fence => "fence",
            Self::Promote => "promote",
            Self::RevokeFilesReplication { .. } => "revoke-files-replication",
            Self::ReconcileReferences => "reconcile-references",
            Self::PreflightPrimary => "preflight-primary",
            Self::PreflightStandby => "preflight-standby",
            Self::Checkpoint => "checkpoint",
            Self::HandOver => "hand-over",
            Self::TakeBack => "take-back",
            Self::AwaitLog { .. } => "await-log",
            Self::AwaitFiles { .. } => "await-files",
            Self::Secure { .. } => "secure",
            Self::Rejoin { .. } => "rejoin",
            Self::AllowFilesReplication { .. } => "allow-files-replication",
            Self::ReturnFiles { .. } => "return-files",
            Self::BackUp { .. } => "back-up",
            Self::PutBack { .. } => "put-back",
            Self::TakeCopy { .. } => "take-copy",
            Self::PutIn { .. } => "put-in",
            Self::RepairFiles { .. } => "repair-files",
        }
    }
}

/// Where a cleanly stopped primary's log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogEnd {
    /// The cluster's system identifier, decimal.
    pub system_id: String,
    /// Timeline.
    pub timeline: u32,
    /// End of the shutdown record, in bytes of log.
    pub lsn: u64,
}

/// Where a new timeline forked from an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The new timeline.
    pub timeline: u32,
    /// The position, in bytes of log.
    pub lsn: u64,
}

/// How a cluster came to follow the live side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rejoin {
    /// It had not diverged.
    Followed,
    /// By `pg_rewind`.
    Rewound,
    /// Wiped and copied anew.
    Rebuilt,
}

/// All a node needs to make an environment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Kind.
    pub kind: EnvironmentKind,
    /// Slot of ports, the same in both regions.
    pub slot: u16,
    /// Database name.
    pub database: String,
    /// Bucket name.
    pub bucket: String,
    /// Who may do what.
    pub credentials: Credentials,
}

/// The answer of a node, or of a compute, to a command (HTTP 200). A refusal for an old epoch is HTTP 409, any failure 500, both with
/// [`super::control::Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Done; nothing to tell.
    Done,
    /// Answer to [`Action::StopGranting`].
    Stopped {
        /// Milliseconds, from this answer on, until no permit of this grantor can be alive (drift and the compute's
        /// cutting time included). 0 if it never granted.
        wait_ms: u64,
    },
    /// Answer to [`Action::Promote`].
    Promoted {
        /// The new timeline.
        timeline: u32,
        /// Where the new timeline forked from the old one, in bytes of log.
        fork_lsn: u64,
    },
    /// Answer to [`Action::ReconcileReferences`].
    Marked {
        /// Rows that lack their object.
        references: Vec<FileReference>,
        /// Objects without a row, kept.
        orphans: u64,
    },
    /// A gate or a preflight that is not met; nothing was changed by asking.
    Unmet {
        /// Every reason, as a person reads it.
        why: String,
    },
    /// Answer of a compute to [`super::compute::Action::Stop`].
    Sealed {
        /// The number of the last entry of the running account; nothing is appended after it.
        account: u64,
        /// Connections that had to be cut in the middle of an operation.
        cut: u64,
    },
    /// Answer to [`Action::HandOver`].
    HandedOver(LogEnd),
    /// Answer to [`Action::Secure`].
    Secured {
        /// The log goes on past the fork.
        diverged: bool,
        /// Rows salvaged.
        rows: u64,
        /// Object versions and delete markers salvaged.
        objects: u64,
    },
    /// Answer to [`Action::Rejoin`] and [`Action::FollowZone`].
    Rejoined(Rejoin),
    /// Answer to [`Action::ReturnFiles`].
    FilesReturned {
        /// Versions and markers removed.
        removed: u64,
        /// Versions and markers copied here.
        copied: u64,
        /// Versions that the live side lacks though the switch was clean.
        gaps: Vec<FileReference>,
    },
}
