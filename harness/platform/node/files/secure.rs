//! Before anything is changed on a returning side: what exists here alone, itemised and exported.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;

use super::{
    compare::{Comparison, Source},
    peer::Peer,
    preflight::{reachable, spec},
    spool::{Spooled, spool},
};
use crate::{
    api::{
        EnvironmentId,
        control::{SALVAGED_BODIES, SalvagedObject},
    },
    clients::s3::{classify, unproxied},
    os::files,
    platform::node::{
        commands::CommandError,
        shared::Node,
        store::{Listing, StoreError, Version},
    },
};

/// The list, one [`SalvagedObject`] a line; it is written last, so that it stands for the whole.
const LIST: &str = "objects.ndjson";

/// Exports into `folder` every version and delete marker that is in the own store alone; returns how many. Both listings
/// are kept as evidence, the own one taken first: what the live side gets meanwhile is not mistaken for a loss here. Done
/// once: what a repeat finds in the folder stands, since the store may have been levelled after it.
///
/// # Errors
/// [`CommandError`].
pub async fn secure(node: &Node, environment: &EnvironmentId, folder: &Path) -> Result<u64, CommandError> {
    let spec = spec(node, environment)?;
    let list = folder.join(LIST);
    if let Ok(done) = tokio::fs::read_to_string(&list).await {
        return Ok(done.lines().count() as u64);
    }
    let bodies = folder.join(SALVAGED_BODIES);
    files::private_folder(&bodies).map_err(StoreError::from)?;
    let peer = Peer::new(&node.config.files_targets, &spec.credentials.s3);
    let live = reachable(&peer, &spec.bucket).await?;
    let [own, theirs] = ["listing-own.ndjson", "listing-live.ndjson"].map(|name| folder.join(name));
    spool(Listing::new(node.store.root(), &spec.bucket), &own).await?;
    spool(Listing::new(live, &spec.bucket), &theirs).await?;
    let (own, theirs) = (Source::File(Spooled::open(&own).await?), Source::File(Spooled::open(&theirs).await?));
    let mut comparison = Comparison::new(own, theirs);
    let mut lines = Vec::new();
    let mut count = 0;
    while let Some(found) = comparison.next().await? {
        // What has another content there is a loss as well.
        for version in found.left.into_iter().chain(found.unlike.into_iter().filter(|one| !one.delete_marker)) {
            count += 1;
            let salvaged = salvage(node, &spec.bucket, version, &bodies, count).await?;
            serde_json::to_writer(&mut lines, &salvaged).map_err(|error| StoreError::Io(error.into()))?;
            lines.push(b'\n');
        }
    }
    files::write_private(&list, &lines).map_err(StoreError::from)?;
    tracing::info!(%environment, objects = count, "objects salvaged");
    Ok(count)
}

async fn salvage(
    node: &Node,
    bucket: &str,
    version: Version,
    bodies: &Path,
    number: u64,
) -> Result<SalvagedObject, StoreError> {
    let mut file = None;
    if !version.delete_marker {
        let name = format!("{number:06}");
        body(node, bucket, &version, &bodies.join(&name)).await?;
        file = Some(format!("{SALVAGED_BODIES}/{name}"));
    }
    let Version { object_key, version_id, delete_marker, bytes, .. } = version;
    Ok(SalvagedObject { object_key, version_id, delete_marker, bytes, file })
}

async fn body(node: &Node, bucket: &str, version: &Version, path: &PathBuf) -> Result<(), StoreError> {
    let get = node.store.root().get_object().bucket(bucket).key(&version.object_key).version_id(&version.version_id);
    let got = get
        .customize()
        .mutate_request(unproxied)
        .send()
        .await
        .map_err(|error| StoreError::Call { what: "read a version to salvage", why: classify(&error) })?;
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).await?;
    let mut body = got.body;
    while let Some(bytes) =
        body.try_next().await.map_err(|error| StoreError::Order(format!("a body broke off: {error}")))?
    {
        file.write_all(&bytes).await?;
    }
    file.sync_data().await?;
    Ok(())
}
