//! The reference platform broken on purpose: one way at a time, so that it can be shown that the examiner finds it.
//!
//! Each of these is a mistake that platforms have made or could make. Where the platform acts, a branch of one line asks for
//! its name; without a name nothing is changed. A scenario in `scenarios/sabotage/` shows each one caught.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names every way in which the platform can be broken, and says what is broken and which id has to catch it.
macro_rules! sabotages {
    ($($variant:ident $name:literal: $broken:literal, caught by $caught:literal;)*) => {
        /// A way in which the platform is broken on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Sabotage {
            $(#[doc = concat!($broken, ". Caught by `", $caught, "`.")] #[serde(rename = $name)] $variant,)*
        }

        impl Sabotage {
            /// Every one.
            pub const ALL: &[Sabotage] = &[$(Self::$variant),*];

            /// As files write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What is broken.
            pub fn broken(self) -> &'static str {
                match self { $(Self::$variant => $broken),* }
            }

            /// The guarantee or measure that has to catch it.
            pub fn caught_by(self) -> &'static str {
                match self { $(Self::$variant => $caught),* }
            }
        }
    };
}

sabotages! {
    SkipFence "skip-fence": "an unplanned failover promotes while permits of the old side live",
        caught by "integrity.split-brain";
    PermitNeverExpires "permit-never-expires": "holders of permits do not heed their end",
        caught by "integrity.split-brain";
    AcceptStaleEpoch "accept-stale-epoch": "no heed is taken of a greater epoch, and the old side gets permits of its own",
        caught by "integrity.split-brain";
    ReadFromOldSide "read-from-old-side": "objects are read without a permit, under whatever epoch",
        caught by "integrity.stale-read";
    SkipLogGate "skip-log-gate": "a planned switch does not wait for the other side to have the log's end",
        caught by "dataverse.planned.loss";
    IgnoreFileBacklog "ignore-file-backlog": "a planned switch does not wait for the files to have arrived",
        caught by "dataverse.failback.loss";
    SkipReconcile "skip-reconcile": "after an unplanned failover rows without their object are not marked",
        caught by "integrity.dangling-unmarked";
    CopyWithoutVersionId "copy-without-version-id": "files that are late are put anew, under another version id",
        caught by "integrity.regions-differ";
    DropDeletes "drop-deletes": "delete markers are not carried over",
        caught by "integrity.regions-differ";
    AcknowledgeEarly "acknowledge-early": "commits are acknowledged before they are on the disk",
        caught by "integrity.hole";
    RepeatPromotion "repeat-promotion": "a control plane that is started anew begins again at the promotion, which is undone and done once more",
        caught by "dataverse.planned.loss";
    StaleCredential "stale-credential": "the old side's credential for the new side's bucket is not revoked after an unplanned failover",
        caught by "salvage.missing";
    DiscardReceivedLog "discard-received-log": "a promotion gives up the log that was received and not yet replayed",
        caught by "dataverse.unplanned.loss";
    ActBeforeJournalling "act-before-journalling": "control acts at once on what it has decided, and journals it six seconds later",
        caught by "dataverse.planned.switched";
    NoticeAfterSwitch "notice-after-switch": "customers are told of a switch only after it",
        caught by "dataverse.unplanned.notice";
    NoNotice "no-notice": "customers are not told of a switch",
        caught by "dataverse.planned.notice";
    ReturnWithoutResync "return-without-resync": "what a region missed while it was lost is not brought to its store",
        caught by "integrity.regions-differ";
    ProtectedEarly "protected-early": "protection is announced before anything follows",
        caught by "integrity.regions-differ";
    SalvageForgets "salvage-forgets": "every second row is left out of the salvage list",
        caught by "salvage.missing";
    SalvageInvents "salvage-invents": "rows that are not lost stand in the salvage list",
        caught by "salvage.extra";
    GuardOffByFactor "guard-off-by-factor": "the data-loss guard's limits are four times what they should be",
        caught by "dataverse.unplanned.loss";
    GuardIgnoresFiles "guard-ignores-files": "the data-loss guard takes every file for arrived",
        caught by "dataverse.unplanned.loss";
    SwitchInWordsOnly "switch-in-words-only": "a planned switch is announced as completed and not done",
        caught by "dataverse.failback.switched";
    SlowSwitch "slow-switch": "a planned switch dawdles for twelve seconds after its promotion",
        caught by "dataverse.planned.interruption";
    KeepOldRoute "keep-old-route": "the edge acknowledges new routes and does not follow them",
        caught by "dataverse.planned.switched";
    IgnoreGrace "ignore-grace": "a region is declared lost as soon as it is suspected",
        caught by "dataverse.unplanned.declared";
    NeverDeclare "never-declare": "a lost region is never declared",
        caught by "dataverse.unplanned.switched";
    DeployUnlicensed "deploy-unlicensed": "environments are deployed for tenants that have no licence for them",
        caught by "dataverse.deploy.licensed";
    DeployWithoutReplica "deploy-without-replica": "a deployment is answered though there is no replica",
        caught by "dataverse.replica.at-deployment";
    ReplayLate "replay-late": "standbys replay commits six seconds late",
        caught by "dataverse.replication.lag";
    FeaturesInSecondary "features-in-secondary": "every feature is offered wherever an environment is served, with figures of its first question",
        caught by "finops.secondary.features";
    TicketInWordsOnly "ticket-in-words-only": "a support ticket is done in words, and nothing is restored",
        caught by "finops.secondary.support-ticket";
    TicketRestoresAll "ticket-restores-all": "a support ticket restores Power BI reporting too",
        caught by "finops.secondary.support-ticket";
    OldFigures "old-figures": "Financial Reporting, once restored, goes on answering with its first figures",
        caught by "finops.secondary.support-ticket";
    ForgetFeatures "forget-features": "features are not offered again after a failback",
        caught by "finops.failback.restored";
    RestoreRowsAlone "restore-rows-alone": "a restore puts back rows and leaves files as they are",
        caught by "dataverse.nonproduction.backup";
    CopyWithoutFiles "copy-without-files": "a copy of production into a sandbox brings rows and leaves files as they are",
        caught by "finops.nonproduction.data-movement";
    ForgetNonProduction "forget-non-production": "non-production is not served any more once production has been switched, nor after its failback",
        caught by "dataverse.failback.restored";
    FailBackUnfit "fail-back-unfit": "a failback is made whatever is missing in the home region",
        caught by "dataverse.failback.condition";
    FrailSecondary "frail-secondary": "away from home computes take a long time over every write",
        caught by "dataverse.compute.both-regions";
    ZoneNotSynchronous "zone-not-synchronous": "writes are acknowledged before the standby that takes over for a lost zone has them",
        caught by "dataverse.zone.availability";
    LessAdvanced "less-advanced": "of a region's standbys the one takes over that nobody waits for",
        caught by "dataverse.zone.availability";
    AlwaysAbort "always-abort": "a planned switch is always undone",
        caught by "dataverse.planned.switched";
}

impl std::fmt::Display for Sabotage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
