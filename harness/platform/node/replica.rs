//! A replica made, and unmade: of an environment that is deployed with one, and of one that gets one by its conversion.
//!
//! Orders come late, twice and out of turn: each of these remembers the operation that it is of, and an earlier one is refused
//! from then on. Whether it is in turn is looked at under the cluster's lock, since an order that waited for it may have been
//! undone meanwhile.

use std::sync::Arc;

use super::{
    commands::{CommandError, known, may_be_made},
    postgres::Cluster,
    shared::Node,
    state::{Record, Role},
};
use crate::api::{
    EnvironmentId,
    node::{Answer, Spec},
};

/// Makes the standby and the bucket of the other region's environment.
pub async fn create(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    operation: u64,
    spec: Spec,
) -> Result<Answer, CommandError> {
    let supervised = node.supervise(environment, &spec);
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    in_turn(&record, operation)?;
    may_be_made(&record, &spec, record.role == Role::Standby)?;
    node.durable.change(environment, |record| {
        record.spec = Some(spec.clone());
        record.role = Role::Standby;
        record.replica_by = operation;
    })?;
    cluster.place = node.place(environment, &spec);
    let sql = async { Ok::<(), CommandError>(cluster.create_replica().await?) };
    let files = async {
        let _bucket = supervised.bucket.lock().await;
        Ok(node.store.make_bucket(&spec).await?)
    };
    tokio::try_join!(sql, files)?;
    supervised.wake.notify_one();
    Ok(Answer::Done)
}

/// Lets the other region follow what is served here, and has the running account verified there from now on.
pub async fn prepare(
    node: &Node,
    environment: &EnvironmentId,
    operation: u64,
    spec: Spec,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    take_over(node, environment, operation, &spec)?;
    cluster.place.spec = spec.clone();
    cluster.let_follow().await?;
    drop(cluster);
    let _bucket = supervised.bucket.lock().await;
    node.store.make_bucket(&spec).await?;
    Ok(Answer::Done)
}

/// Undoes [`prepare`], and takes the bucket's rule off.
pub async fn withdraw(
    node: &Node,
    environment: &EnvironmentId,
    operation: u64,
    spec: Spec,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    take_over(node, environment, operation, &spec)?;
    cluster.place.spec = spec.clone();
    cluster.end_following().await?;
    drop(cluster);
    let _bucket = supervised.bucket.lock().await;
    node.store.rule_off(&spec.bucket).await?;
    Ok(Answer::Done)
}

/// Undoes [`create`]. What was removed in part is removed by a repeat: that it was made is forgotten last.
pub async fn drop_it(
    node: &Node,
    environment: &EnvironmentId,
    operation: u64,
    spec: &Spec,
) -> Result<Answer, CommandError> {
    let Some(supervised) = node.cluster(environment) else {
        let record = node.durable.record(environment);
        is_no_primary(&record, operation)?;
        node.durable.change(environment, |record| record.replica_by = operation)?;
        return Ok(Answer::Done);
    };
    let mut cluster = supervised.cluster.lock().await;
    is_no_primary(&node.durable.record(environment), operation)?;
    // From here on nobody starts it.
    node.durable.change(environment, |record| {
        record.role = Role::None;
        record.granting = None;
        record.replica_by = operation;
    })?;
    let _bucket = supervised.bucket.lock().await;
    remove_stores(node, environment, &mut cluster, spec).await?;
    tracing::info!(%environment, "replica dropped");
    Ok(Answer::Done)
}

/// Removes a cluster that nobody starts any more, and its bucket with whoever may use it; that there are any is forgotten last. Both
/// locks are held by whoever calls it.
pub(super) async fn remove_stores(
    node: &Node,
    environment: &EnvironmentId,
    cluster: &mut Cluster,
    spec: &Spec,
) -> Result<(), CommandError> {
    cluster.remove().await?;
    node.store.remove(spec).await?;
    node.durable.change(environment, |record| record.spec = None)?;
    Ok(())
}

/// Whether an order of this operation may still be done.
pub(super) fn in_turn(record: &Record, operation: u64) -> Result<(), CommandError> {
    match operation < record.replica_by {
        true => Err(CommandError::NotNow("a later operation has made a replica, or unmade it".to_owned())),
        false => Ok(()),
    }
}

/// What is served here is of this kind from now on; nothing else of it may change.
fn take_over(node: &Node, environment: &EnvironmentId, operation: u64, spec: &Spec) -> Result<(), CommandError> {
    let record = node.durable.record(environment);
    in_turn(&record, operation)?;
    let same = record.spec.as_ref().map(|old| Spec { kind: spec.kind, ..old.clone() });
    if record.owned().is_none() || same.as_ref() != Some(spec) {
        return Err(CommandError::NotNow("this side does not serve the environment that is meant".to_owned()));
    }
    node.durable.change(environment, |record| {
        record.spec = Some(spec.clone());
        record.replica_by = operation;
    })?;
    Ok(())
}

fn is_no_primary(record: &Record, operation: u64) -> Result<(), CommandError> {
    in_turn(record, operation)?;
    match record.role {
        Role::Primary(_) => Err(CommandError::NotNow("what is here is a primary, and not dropped".to_owned())),
        Role::Standby | Role::None => Ok(()),
    }
}
