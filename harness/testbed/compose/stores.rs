//! Which stores run, by looking at them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::docker;
use crate::{
    api::{EnvironmentId, site::Inventory},
    testbed::{
        layout::{Service, Site},
        probe, ready,
    },
};

/// Between two looks at the stores that run.
const LOOK: Duration = Duration::from_millis(500);

/// The stores of a site that run.
#[derive(Debug, Clone, Default)]
pub(super) struct Stores {
    /// Port of each cluster.
    pub sql: BTreeMap<EnvironmentId, u16>,
    /// The file store answers.
    pub files: bool,
}

/// Looks again and again which stores of a site run: at their own ports, since each question to the engine costs it a
/// process or two. It is asked for the site's inventory alone, which says whose cluster is at which port, and only until
/// every slot is known.
pub(super) async fn watch(watched: Watched, seen: Arc<Mutex<BTreeMap<Site, Stores>>>) {
    let mut known = BTreeMap::new();
    loop {
        if known.len() < watched.slots {
            match watched.engine.archive(&watched.node, &watched.inventory).await {
                Ok(archive) => known = clusters(&archive),
                Err(error) => tracing::debug!(site = %watched.site, %error, "its inventory was not read"),
            }
        }
        let files = ready::look(watched.files, ready::FILES).await.is_ok();
        let mut sql = BTreeMap::new();
        for (environment, port) in &known {
            if probe::lives(*port, Service::Postgres, LOOK).await {
                sql.insert(environment.clone(), *port);
            }
        }
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(watched.site.clone(), Stores { sql, files });
        tokio::time::sleep(LOOK).await;
    }
}

/// A site whose stores are looked at.
pub(super) struct Watched {
    pub engine: docker::Engine,
    pub site: Site,
    pub node: String,
    pub inventory: String,
    pub files: u16,
    pub slots: usize,
}

/// The clusters and their ports in an archive of an inventory.
fn clusters(archive: &[u8]) -> BTreeMap<EnvironmentId, u16> {
    let read = || {
        let mut archive = tar::Archive::new(archive);
        let entry = archive.entries().ok()?.next()?.ok()?;
        serde_json::from_reader::<_, Inventory>(entry).ok()
    };
    let entries = read().unwrap_or_default().processes.into_iter().filter(|entry| entry.service == "postgres");
    entries.filter_map(|entry| Some((entry.environment?, entry.port?))).collect()
}
