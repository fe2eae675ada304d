//! Back-ups of what has no replica, made and put back.
//!
//! Nobody is let in meanwhile: the compute sees to that, durably, before either is ordered.

use std::sync::Arc;

use super::{
    commands::{CommandError, known, spec},
    files::mirror,
    kept::Kept,
    shared::Node,
};
use crate::api::{EnvironmentId, node::Answer, sabotage::Sabotage};

/// The node's folder of back-ups.
pub(super) const FOLDER: &str = "backups";

/// Copies rows and files. What was made of this back-up before a crash is made again.
///
/// # Errors
/// [`CommandError`].
pub async fn back_up(node: &Arc<Node>, environment: &EnvironmentId, number: u64) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let cluster = supervised.cluster.lock().await;
    let _bucket = supervised.bucket.lock().await;
    // Under the lock: it may have been deleted while this order waited for it.
    let spec = spec(node, environment)?;
    let backup = Kept::of(node, FOLDER, environment, &spec, number);
    if backup.is_whole() {
        return Ok(Answer::Done);
    }
    backup.begin(node).await?;
    cluster.dump(&backup.rows()).await?;
    let copied = mirror(node.store.root(), &spec.bucket, &backup.bucket, None).await?;
    backup.end()?;
    tracing::info!(%environment, number, versions = copied, "backed up");
    Ok(Answer::Done)
}

/// Puts a back-up in the place of what is there, on behalf of `operation`.
///
/// # Errors
/// [`CommandError`]; a repeat makes whole what a crash has left.
pub async fn put_back(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    operation: u64,
    number: u64,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let spec = spec(node, environment)?;
    let cluster = supervised.cluster.lock().await;
    let _bucket = supervised.bucket.lock().await;
    // Looked at under the lock: an order that waited for it may be one that has been done meanwhile, and customers have written since.
    if node.durable.record(environment).replaced_by >= operation {
        return Ok(Answer::Done);
    }
    let backup = Kept::of(node, FOLDER, environment, &spec, number);
    backup.expect(&format!("back-up {number} of {environment}"))?;
    cluster.put_back(&backup.rows()).await?;
    if node.config.sabotage != Some(Sabotage::RestoreRowsAlone) {
        let changed = mirror(node.store.root(), &backup.bucket, &spec.bucket, None).await?;
        tracing::info!(%environment, number, versions = changed, "files put back");
    }
    node.durable.change(environment, |record| record.replaced_by = operation)?;
    Ok(Answer::Done)
}
