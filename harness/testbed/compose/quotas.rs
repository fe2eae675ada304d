//! Quotas of the processors: a region's is parted among its sites' containers, each of which the engine holds to its part. So together they
//! never use more, and none can use what another leaves.

use super::{docker::Engine, plan::Project, testbed::CONTAINERS};
use crate::testbed::{
    contract::{QuotaSeen, TestbedError},
    layout::hosts,
};

/// The part of each of a site's containers, in percent of the site's: a node's has the databases.
const PARTS: [(&str, u32); 3] = [("files", 25), ("node", 50), ("compute", 25)];

/// Sets that of a region with these sites.
pub(super) async fn set(engine: &Engine, project: &Project, sites: &[String], milli: u32) -> Result<(), TestbedError> {
    let whole = 100 * sites.len() as u32;
    for (site, (service, percent)) in sites.iter().flat_map(|site| PARTS.map(|part| (site, part))) {
        engine.limit(&project.container(&hosts::of(site, service)), milli * percent / whole).await?;
    }
    Ok(())
}

/// Reads it back.
pub(super) async fn look(engine: &Engine, project: &Project, sites: &[String]) -> Result<QuotaSeen, TestbedError> {
    let mut seen = QuotaSeen { milli: None, held: 0, outside: Vec::new() };
    for (site, service) in sites.iter().flat_map(|site| CONTAINERS.map(|service| (site, service))) {
        let container = project.container(&hosts::of(site, service));
        let limit = engine.limit_of(&container).await?;
        let runs = engine.running(&container).await?.is_some();
        match limit {
            Some(milli) => {
                seen.milli = Some(seen.milli.unwrap_or_default() + milli);
                seen.held += u64::from(runs);
            }
            None => seen.outside.push(container),
        }
    }
    Ok(seen)
}
