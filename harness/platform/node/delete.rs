//! Everything of an environment removed, whatever its role is here.
//!
//! What stays is the epoch, and the number of the operation: whatever comes late of the environment, or of a region that was away, is
//! refused by them, and one of the same name that comes later is another one.

use std::{fs, io, path::Path, sync::Arc};

use super::{
    back_up,
    commands::{CommandError, current},
    copies,
    evidence::Evidence,
    kept::Kept,
    replica::remove_stores,
    shared::Node,
    state::Record,
};
use crate::api::{
    EnvironmentId, Epoch,
    node::{Answer, Spec},
};

/// Removes it. A repeat removes what an attempt before has left.
///
/// # Errors
/// [`CommandError`].
pub async fn delete(
    node: &Arc<Node>,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
    spec: &Spec,
) -> Result<Answer, CommandError> {
    let supervised = node.supervise(environment, spec);
    let mut cluster = supervised.cluster.lock().await;
    // Under the lock: a later environment may have got the name while this order waited for it.
    current(&node.durable.record(environment), epoch)?;
    // From here on nobody starts it, nobody is granted anything, and no earlier order makes anything of it.
    node.durable.change(environment, |record| {
        *record = Record {
            epoch: record.epoch,
            spec: record.spec.take(),
            replica_by: operation,
            replaced_by: operation,
            stopped: record.stopped,
            ..Record::default()
        };
    })?;
    cluster.place = node.place(environment, spec);
    // Whoever takes a copy for it has this one alone.
    let _bucket = supervised.bucket.lock().await;
    for folder in [back_up::FOLDER, copies::FOLDER] {
        for kept in Kept::all(node, folder, environment, spec)? {
            kept.remove(node).await?;
        }
        remove(&node.config.data.join(folder).join(environment.as_str()))?;
    }
    remove_stores(node, environment, &mut cluster, spec).await?;
    cluster.remove_notes().await?;
    let (data, id) = (node.config.data.clone(), environment.clone());
    let removed = tokio::task::spawn_blocking(move || Evidence::remove_all(&data, &id)).await;
    removed.map_err(|error| io::Error::other(error.to_string()))??;
    tracing::info!(%environment, epoch = epoch.0, "deleted");
    Ok(Answer::Done)
}

/// Removes a folder; that there is none is no error.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
