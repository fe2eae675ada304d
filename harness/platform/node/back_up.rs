//! Back-ups of what has no replica: rows in a file of the node's, files in a bucket that no customer's key reaches.
//!
//! Nobody is let in meanwhile: the compute sees to that, durably, before either is ordered.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    commands::{CommandError, known, spec},
    files::mirror,
    shared::Node,
};
use crate::{
    api::{EnvironmentId, node::Answer, sabotage::Sabotage},
    os::files,
};

/// Where a back-up is.
struct BackUp {
    folder: PathBuf,
    bucket: String,
}

impl BackUp {
    fn of(node: &Node, environment: &EnvironmentId, bucket: &str, number: u64) -> Self {
        let folder = node.config.data.join("backups").join(environment.as_str()).join(number.to_string());
        Self { folder, bucket: format!("{bucket}-{number}") }
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows.dump")
    }

    /// Written last: with it the back-up is whole.
    fn whole(&self) -> PathBuf {
        self.folder.join("whole")
    }
}

/// Copies rows and files. What was made of this back-up before a crash is made again.
///
/// # Errors
/// [`CommandError`].
pub async fn back_up(node: &Arc<Node>, environment: &EnvironmentId, number: u64) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let spec = spec(node, environment)?;
    let cluster = supervised.cluster.lock().await;
    let _bucket = supervised.bucket.lock().await;
    let backup = BackUp::of(node, environment, &spec.bucket, number);
    if backup.whole().exists() {
        return Ok(Answer::Done);
    }
    files::private_folder(&backup.folder)?;
    files::give(&backup.folder)?;
    cluster.dump(&backup.rows()).await?;
    std::fs::File::open(backup.rows())?.sync_all()?;
    node.store.make_plain_bucket(&backup.bucket).await?;
    let copied = mirror(node.store.root(), &spec.bucket, &backup.bucket).await?;
    files::write_private(&backup.whole(), b"")?;
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
    if node.durable.record(environment).restored_by >= operation {
        return Ok(Answer::Done);
    }
    let backup = BackUp::of(node, environment, &spec.bucket, number);
    if !backup.whole().exists() {
        let why = format!("back-up {number} of {environment} is not here");
        return Err(io::Error::new(io::ErrorKind::NotFound, why).into());
    }
    cluster.put_back(&backup.rows()).await?;
    if node.config.sabotage != Some(Sabotage::RestoreRowsAlone) {
        let changed = mirror(node.store.root(), &backup.bucket, &spec.bucket).await?;
        tracing::info!(%environment, number, versions = changed, "files put back");
    }
    node.durable.change(environment, |record| record.restored_by = operation)?;
    Ok(Answer::Done)
}
