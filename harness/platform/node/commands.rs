//! Control's commands: each refuses an older epoch, is idempotent, and is answered when it is done.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    back_up, copies, delete, files, handover,
    postgres::{PostgresError, Session},
    preflight, replica, returning,
    shared::{Node, Supervised},
    state::{Granting, Promotion, Record, Role, Stopped},
    store::StoreError,
    zones,
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        node::{Action, Answer, Command, Spec},
        sabotage::Sabotage,
    },
    clients::poll,
    platform::{actor::locked, node::postgres::Access},
};

/// For how long a new primary stands open without a permit: the rest of its deployment, in which it has no customers.
const DEPLOYMENT: Duration = Duration::from_secs(30);
/// How long the standby of a promotion may take to run.
const STANDBY_WITHIN: Duration = Duration::from_secs(30);

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A greater epoch has been seen: 409.
    #[error("epoch {asked} is over: epoch {seen} has been seen")]
    Old {
        /// Of the command.
        asked: Epoch,
        /// The greatest seen.
        seen: Epoch,
    },
    /// Not in this state, or not any more: 409.
    #[error("{0}")]
    NotNow(String),
    /// What was read has changed while it was read: 500, for it may go better the next time.
    #[error("{0}")]
    Spoilt(String),
    /// The node's state could not be written: 500.
    #[error("cannot write the node's state: {0}")]
    Io(#[from] io::Error),
    /// 500.
    #[error("postgres: {0}")]
    Postgres(#[from] PostgresError),
    /// 500.
    #[error("file store: {0}")]
    Store(#[from] StoreError),
}

/// Does a command.
///
/// # Errors
/// [`CommandError`].
pub async fn execute(node: &Arc<Node>, command: Command) -> Result<Answer, CommandError> {
    let Command { operation, environment, epoch, peer_zone, action } = command;
    current(&node.durable.record(&environment), epoch)?;
    node.raise(&environment, epoch)?;
    node.durable.change(&environment, |record| record.peer_zone = peer_zone)?;
    match action {
        Action::CreatePrimary(spec) => create_primary(node, &environment, epoch, spec).await,
        Action::CreateReplica(spec) => replica::create(node, &environment, operation, spec).await,
        Action::MakeZoneStandby { spec, source } => {
            zones::make_standby(node, &environment, epoch, operation, spec, source).await
        }
        Action::Synchronize { zone } => zones::synchronize(node, &environment, epoch, operation, zone).await,
        Action::FollowZone { fork } => zones::follow_zone(node, &environment, fork).await,
        Action::PrepareReplica(spec) => replica::prepare(node, &environment, operation, spec).await,
        Action::WithdrawReplica(spec) => replica::withdraw(node, &environment, operation, spec).await,
        Action::DropReplica(spec) => replica::drop_it(node, &environment, operation, &spec).await,
        Action::Delete(spec) => delete::delete(node, &environment, epoch, operation, &spec).await,
        Action::ReplicateFiles(spec) => {
            let supervised = known(node, &environment)?;
            let _bucket = supervised.bucket.lock().await;
            replica::in_turn(&node.durable.record(&environment), operation)?;
            node.store.replicate(&spec).await?;
            Ok(Answer::Done)
        }
        Action::TakeOverFiles(spec) => {
            let supervised = known(node, &environment)?;
            let _bucket = supervised.bucket.lock().await;
            node.store.rule_off(&spec.bucket).await?;
            node.store.replicate(&spec).await?;
            Ok(Answer::Done)
        }
        Action::CompleteFiles(spec) => {
            node.store.complete(&spec.bucket).await?;
            Ok(Answer::Done)
        }
        Action::RenewFiles(spec) => {
            node.store.renew(&spec.bucket).await?;
            Ok(Answer::Done)
        }
        Action::AllowGranting { primary, guard } => {
            allow_granting(node, &environment, Granting { primary, epoch, operation, guard })
        }
        Action::StopGranting => {
            node.durable.change(&environment, |record| {
                let stopped = Stopped { epoch, operation };
                if record.stopped.is_none_or(|old| (old.epoch, old.operation) < (epoch, operation)) {
                    record.stopped = Some(stopped);
                }
            })?;
            // Whoever granted before this was durable has noted it by the time the lock is had.
            let wait = locked(&node.grants).wait(&environment, Instant::now());
            // Rounded up: a wait too short is no wait.
            Ok(Answer::Stopped { wait_ms: u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX) })
        }
        Action::Fence => fence(node, &environment).await,
        Action::Promote => promote(node, &environment, epoch).await,
        Action::RevokeFilesReplication { source } => {
            let supervised = known(node, &environment)?;
            let spec = spec(node, &environment)?;
            let _bucket = supervised.bucket.lock().await;
            node.store.revoke(&spec, &source).await?;
            Ok(Answer::Done)
        }
        Action::ReconcileReferences => reconcile(node, &environment).await,
        Action::PreflightPrimary => preflight::primary(node, &environment, epoch).await,
        Action::PreflightStandby => preflight::standby(node, &environment).await,
        Action::Checkpoint => handover::checkpoint(node, &environment).await,
        Action::HandOver => handover::hand_over(node, &environment, epoch, operation).await,
        Action::TakeBack => handover::take_back(node, &environment, epoch, operation).await,
        Action::AwaitLog { end, within_ms } => {
            handover::await_log(node, &environment, &end, Duration::from_millis(within_ms)).await
        }
        Action::Secure { fork } => returning::secure(node, &environment, epoch, fork).await,
        Action::Rejoin { fork } => returning::rejoin(node, &environment, epoch, fork).await,
        Action::AwaitFiles { sealed, within_ms } => {
            files::await_files(node, &environment, sealed, Duration::from_millis(within_ms)).await
        }
        Action::AllowFilesReplication { source } => {
            node.store.allow(&spec(node, &environment)?, &source).await?;
            Ok(Answer::Done)
        }
        Action::ReturnFiles { clean } => {
            let supervised = known(node, &environment)?;
            let _bucket = supervised.bucket.lock().await;
            files::return_files(node, &environment, clean).await
        }
        Action::BackUp { backup } => back_up::back_up(node, &environment, backup).await,
        Action::PutBack { backup } => back_up::put_back(node, &environment, operation, backup).await,
        Action::TakeCopy { from, from_epoch, copy } => copies::take(node, &environment, &from, from_epoch, copy).await,
        Action::PutIn { copy } => copies::put_in(node, &environment, operation, copy).await,
        Action::RepairFiles { references } => files::repair(node, &environment, references).await,
    }
}

async fn create_primary(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    epoch: Epoch,
    spec: Spec,
) -> Result<Answer, CommandError> {
    let supervised = node.supervise(environment, &spec);
    let mut cluster = supervised.cluster.lock().await;
    // Looked at under the lock: the environment may have been deleted while this order waited for it.
    let record = node.durable.record(environment);
    current(&record, epoch)?;
    may_be_made(&record, &spec, record.owned() == Some(epoch))?;
    node.durable.change(environment, |record| {
        record.spec = Some(spec.clone());
        record.role = Role::Primary(epoch);
    })?;
    // Another environment may have had the name, in another slot.
    cluster.place = node.place(environment, &spec);
    let sql = async {
        cluster.create_primary().await?;
        let record = node.durable.record(environment);
        if record.owned() == Some(epoch) {
            // A repeat does not renew: it may be of long ago.
            if node.terms(environment).until.is_none() {
                node.stand_in(environment, &record, DEPLOYMENT);
            }
            cluster.let_in(Access::Open).await?;
        }
        Ok::<(), CommandError>(())
    };
    let files = async {
        let _bucket = supervised.bucket.lock().await;
        Ok(node.store.make_bucket(&spec).await?)
    };
    tokio::try_join!(sql, files)?;
    drop(cluster);
    supervised.wake.notify_one();
    Ok(Answer::Done)
}

/// Whether no greater epoch has been seen than that of an order.
pub(super) fn current(record: &Record, epoch: Epoch) -> Result<(), CommandError> {
    match record.epoch > epoch {
        true => Err(CommandError::Old { asked: epoch, seen: record.epoch }),
        false => Ok(()),
    }
}

/// A cluster is made once; the same order may be repeated, another one may not take its place.
pub(super) fn may_be_made(record: &Record, spec: &Spec, same_role: bool) -> Result<(), CommandError> {
    let fresh = record.role == Role::None;
    let repeated = same_role && record.spec.as_ref() == Some(spec);
    if fresh || repeated {
        return Ok(());
    }
    Err(CommandError::NotNow("there is another cluster of this environment here".to_owned()))
}

fn allow_granting(node: &Node, environment: &EnvironmentId, granting: Granting) -> Result<Answer, CommandError> {
    if granting.primary != node.config.peer {
        return Err(CommandError::NotNow("permits are granted to the other region alone".to_owned()));
    }
    let operation = granting.operation;
    let mut late = false;
    node.durable.change(environment, |record| {
        let held = record.granting.as_ref().filter(|held| held.epoch == granting.epoch);
        // An earlier leave that was delayed on its way may not replace a later one.
        late = held.is_some_and(|held| operation < held.operation);
        // Granting that was stopped begins again only by an order of the same operation or a later one: an order that was
        // delayed on its way may not undo a fence.
        match record.stopped {
            Some(stopped) if stopped.epoch > granting.epoch => late = true,
            Some(stopped) if stopped.epoch == granting.epoch && operation < stopped.operation => late = true,
            Some(stopped) if stopped.epoch == granting.epoch && !late => record.stopped = None,
            _ => {}
        }
        if !late {
            record.granting = Some(granting);
        }
    })?;
    if late {
        return Err(CommandError::NotNow("a later operation has stopped granting, or allowed it otherwise".to_owned()));
    }
    Ok(Answer::Done)
}

async fn fence(node: &Node, environment: &EnvironmentId) -> Result<Answer, CommandError> {
    // The permit held ends here, so that the supervisor does not open again; only one asked for after this can.
    locked(&node.permits).drop_held(environment, Instant::now());
    let Some(supervised) = node.cluster(environment) else { return Ok(Answer::Done) };
    let mut cluster = supervised.cluster.lock().await;
    if cluster.is_running() && matches!(node.durable.record(environment).role, Role::Primary(_)) {
        cluster.let_in(Access::Fenced).await?;
    }
    Ok(Answer::Done)
}

async fn promote(node: &Arc<Node>, environment: &EnvironmentId, epoch: Epoch) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let repeats = node.config.sabotage == Some(Sabotage::RepeatPromotion);
    let done = |record: &Record| record.promotion.filter(|promotion| promotion.epoch == epoch && !repeats);
    let before = node.durable.record(environment);
    if let Some(promotion) = done(&before) {
        return Ok(Answer::Promoted { timeline: promotion.timeline, fork_lsn: promotion.fork_lsn });
    }
    if before.role != Role::Standby && !(repeats && before.role == Role::Primary(epoch)) {
        return Err(CommandError::NotNow("there is no standby here to promote".to_owned()));
    }
    if before.follows.is_some() {
        tokio::spawn(zones::free_files(Arc::clone(node), environment.clone()));
    }
    // Whatever zone it followed, it is to be kept running for this.
    node.durable.change(environment, |record| record.follows = None)?;
    running(&supervised).await?;
    let mut cluster = supervised.cluster.lock().await;
    // Another attempt may have done it while this one waited for the cluster.
    let before = node.durable.record(environment);
    if let Some(promotion) = done(&before) {
        return Ok(Answer::Promoted { timeline: promotion.timeline, fork_lsn: promotion.fork_lsn });
    }
    current(&before, epoch)?;
    cluster.place.synchronous = None;
    let promoted = cluster.promote().await?;
    node.durable.change(environment, |record| {
        record.role = Role::Primary(epoch);
        record.promotion = Some(Promotion { epoch, timeline: promoted.timeline, fork_lsn: promoted.fork_lsn });
        record.handing = None;
        record.returning = None;
    })?;
    let record = node.durable.record(environment);
    node.stand_in(environment, &record, Duration::from_millis(node.config.timers.permit_ms));
    if record.owned() == Some(epoch) {
        cluster.let_in(Access::Open).await?;
    }
    tracing::info!(%environment, epoch = epoch.0, timeline = promoted.timeline, "promoted");
    Ok(Answer::Promoted { timeline: promoted.timeline, fork_lsn: promoted.fork_lsn })
}

/// Waits until the supervisor has the cluster running.
async fn running(supervised: &Arc<Supervised>) -> Result<(), CommandError> {
    poll::until("the standby to run", STANDBY_WITHIN, Duration::from_millis(20), || async {
        supervised.wake.notify_one();
        if supervised.cluster.lock().await.is_running() { Ok(()) } else { Err("it does not run") }
    })
    .await
    .map_err(|timed_out| PostgresError::from(timed_out).into())
}

async fn reconcile(node: &Arc<Node>, environment: &EnvironmentId) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let spec = spec(node, environment)?;
    let place = supervised.cluster.lock().await.place.clone();
    let mut session = Session::open(&place, &spec.database).await?;
    let found = node.store.reconcile(&mut session, &spec.bucket).await?;
    node.durable.change(environment, |record| record.marks.clone_from(&found.dangling))?;
    tracing::info!(%environment, dangling = found.dangling.len(), orphans = found.orphans, "references reconciled");
    Ok(Answer::Marked { references: found.dangling, orphans: found.orphans })
}

/// The environment's cluster here.
pub(super) fn known(node: &Node, environment: &EnvironmentId) -> Result<Arc<Supervised>, CommandError> {
    node.cluster(environment)
        .ok_or_else(|| CommandError::NotNow("there is no cluster of this environment here".to_owned()))
}

pub(super) fn spec(node: &Node, environment: &EnvironmentId) -> Result<Spec, CommandError> {
    let record = node.durable.record(environment);
    record.spec.ok_or_else(|| CommandError::NotNow("there is no cluster of this environment here".to_owned()))
}
