//! Copies of a production environment, taken while it is served, and put into a sandbox.
//!
//! Rows are those of one snapshot, which the database keeps for whoever reads it. Files are the versions that those rows refer to,
//! and whatever else the bucket had just before: so every reference is valid in the copy, and no object is newer than its rows. A
//! version that is removed while it is read spoils the copy, which is then taken anew, of a later moment.
//!
//! Neither the cluster nor the bucket of production is held for it: a fence or a hand-over that comes meanwhile ends the copy.

use std::sync::Arc;

use super::{
    commands::{CommandError, known, spec},
    files::{Moment, mirror},
    kept::Kept,
    postgres::{Place, Session, Snapshot},
    shared::{Node, Supervised},
    store::references,
};
use crate::api::{
    EnvironmentId, Epoch,
    node::{Answer, Spec},
    sabotage::Sabotage,
};

/// The node's folder of copies.
pub(super) const FOLDER: &str = "copies";
/// An object that is put into the copy's bucket to learn the store's own time.
const NOW_KEY: &str = "now";

/// Takes a copy of `from`, which is served here under this epoch, for `to`, on behalf of its operation.
///
/// # Errors
/// [`CommandError`]; a repeat takes it anew, of a later moment, unless it is whole.
pub async fn take(
    node: &Arc<Node>,
    to: &EnvironmentId,
    from: &EnvironmentId,
    epoch: Epoch,
    number: u64,
) -> Result<Answer, CommandError> {
    let target = known(node, to)?;
    let target_spec = spec(node, to)?;
    let source = Source { supervised: known(node, from)?, spec: spec(node, from)?, epoch };
    // Before the bucket is held: whoever holds both takes the cluster first.
    let target_place = target.cluster.lock().await.place.clone();
    let place = source.supervised.cluster.lock().await.place.clone();
    let _bucket = target.bucket.lock().await;
    let copy = Kept::of(node, FOLDER, to, &target_spec, number);
    if node.durable.record(to).replaced_by >= number || copy.is_whole() {
        return Ok(Answer::Done);
    }
    source.check(node)?;
    forget_others(node, to, &target_spec, number).await?;
    copy.begin(node).await?;
    // Of the moment before the snapshot: what is written in between is not in its rows.
    let before_ms = node.store.now_ms(&copy.bucket, NOW_KEY).await?;
    let mut snapshot = Snapshot::open(&place).await?;
    let references = references(snapshot.session()).await?;
    snapshot.dump(&copy.rows(), &target_place).await?;
    drop(snapshot);
    let moment = Arc::new(Moment::new(references, before_ms));
    let versions = mirror(node.store.root(), &source.spec.bucket, &copy.bucket, Some(&moment)).await?;
    let removed = removed_since(node, &place, &moment, &copy.bucket).await?;
    if removed > 0 {
        return Err(CommandError::Spoilt(format!(
            "{removed} object versions of {from} were removed while they were copied"
        )));
    }
    // What was read of a side that has been given up meanwhile is nobody's state.
    source.check(node)?;
    copy.end()?;
    tracing::info!(environment = %to, %from, number, versions, "copy taken");
    Ok(Answer::Done)
}

/// Puts a copy in the place of what the sandbox holds, on behalf of its operation.
///
/// # Errors
/// [`CommandError`]; a repeat makes whole what a crash has left.
pub async fn put_in(node: &Arc<Node>, to: &EnvironmentId, operation: u64, number: u64) -> Result<Answer, CommandError> {
    let supervised = known(node, to)?;
    let spec = spec(node, to)?;
    let cluster = supervised.cluster.lock().await;
    let _bucket = supervised.bucket.lock().await;
    let copy = Kept::of(node, FOLDER, to, &spec, number);
    if node.durable.record(to).replaced_by < operation {
        copy.expect(&format!("copy {number} for {to}"))?;
        cluster.put_in(&copy.rows()).await?;
        if node.config.sabotage != Some(Sabotage::CopyWithoutFiles) {
            let changed = mirror(node.store.root(), &copy.bucket, &spec.bucket, None).await?;
            tracing::info!(environment = %to, number, versions = changed, "copy put in");
        }
        node.durable.change(to, |record| record.replaced_by = operation)?;
    }
    copy.remove(node).await?;
    Ok(Answer::Done)
}

/// How many versions that the moment's rows refer to are not in the copy, because they were removed since. What production's rows
/// refer to still, and its bucket does not have, it did not have before either: that is copied as it is.
async fn removed_since(node: &Node, place: &Place, moment: &Moment, copied: &str) -> Result<usize, CommandError> {
    let lacking = node.store.dangling(moment.references(), copied).await?;
    if lacking.is_empty() {
        return Ok(0);
    }
    let now = references(&mut Session::open(place, &place.spec.database).await?).await?;
    Ok(lacking.iter().filter(|reference| !now.contains(reference)).count())
}

/// What is copied.
struct Source {
    supervised: Arc<Supervised>,
    spec: Spec,
    epoch: Epoch,
}

impl Source {
    /// Whether it is served here under the epoch that is meant.
    fn check(&self, node: &Node) -> Result<(), CommandError> {
        let Self { supervised, epoch, .. } = self;
        let record = node.durable.record(&supervised.id);
        if record.owned() == Some(*epoch) && !record.is_handed_over() {
            return Ok(());
        }
        Err(CommandError::NotNow(format!("{} is not served here under epoch {epoch}", supervised.id)))
    }
}

/// Removes what copies that were given up have left.
async fn forget_others(node: &Node, to: &EnvironmentId, spec: &Spec, number: u64) -> Result<(), CommandError> {
    for other in Kept::all(node, FOLDER, to, spec)?.into_iter().filter(|other| other.number < number) {
        other.remove(node).await?;
    }
    Ok(())
}
