//! Quotas of the processors: a region's is parted among its containers, each of which the engine holds to its part. So together they
//! never use more, and none can use what another leaves.

use std::collections::BTreeMap;

use super::{docker::Engine, plan::Project, testbed::CONTAINERS};
use crate::{
    api::Region,
    testbed::{
        contract::{QuotaSeen, TestbedError},
        layout::hosts,
    },
};

/// The part of each of a region's containers, in percent: a node's has the databases.
const PARTS: [(&str, u32); 3] = [("files", 25), ("node", 50), ("compute", 25)];

/// Sets them.
pub(super) async fn set(
    engine: &Engine,
    project: &Project,
    quotas: &BTreeMap<Region, u32>,
) -> Result<(), TestbedError> {
    for (region, milli) in quotas {
        for (service, percent) in PARTS {
            engine.limit(&project.container(&hosts::of(region, service)), milli * percent / 100).await?;
        }
    }
    Ok(())
}

/// Reads them back.
pub(super) async fn look(engine: &Engine, project: &Project, region: &Region) -> Result<QuotaSeen, TestbedError> {
    let mut seen = QuotaSeen { milli: None, held: 0, outside: Vec::new() };
    for service in CONTAINERS {
        let container = project.container(&hosts::of(region, service));
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
