//! What is lost or cut off together: a region, or one zone of it.

use std::fmt;

use futures_util::future::{BoxFuture, join_all};

use super::trials::{ANSWER, Trials, running, try_link};
use crate::{
    api::{Region, Zone},
    model::{link::Link, process::ProcessName},
    testbed::{Process, Testbed, TestbedError},
};

/// What runs in each site.
pub(super) const SERVICES: [&str; 4] = ["postgres", "files", "node", "compute"];

/// A region or one of its zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of a region.
    Region(Region),
    /// A zone of a region.
    Zone(Region, Zone),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => write!(f, "{region}"),
            Self::Zone(region, zone) => write!(f, "zone {zone} of {region}"),
        }
    }
}

impl Part {
    /// Its sites.
    pub fn sites(&self, testbed: &dyn Testbed) -> Vec<String> {
        match self {
            Self::Region(region) => testbed.sites(region),
            Self::Zone(region, zone) => vec![zone.site(region)],
        }
    }

    /// The links that touch it.
    pub fn links(&self, testbed: &dyn Testbed) -> Vec<Link> {
        let sites = self.sites(testbed);
        let touches = |link: &Link| sites.iter().any(|site| link.touches(site));
        testbed.links().into_iter().filter(touches).collect()
    }

    /// Those of them that lead out of it.
    pub fn outside(&self, testbed: &dyn Testbed) -> Vec<Link> {
        let sites = self.sites(testbed);
        let leads_out = |link: &Link| sites.contains(&link.from) != sites.contains(&link.to);
        testbed.links().into_iter().filter(leads_out).collect()
    }

    /// The running processes of a service, of all its sites.
    pub async fn running(&self, testbed: &dyn Testbed, service: &str) -> Result<Vec<Process>, String> {
        let mut found = Vec::new();
        for site in self.sites(testbed) {
            let name = ProcessName { site, service: service.to_owned(), environment: None };
            found.extend(running(testbed, &name).await?);
        }
        Ok(found)
    }

    /// Those of every service.
    pub async fn all_running(&self, testbed: &dyn Testbed) -> Result<Vec<Process>, String> {
        let mut found = Vec::new();
        for service in SERVICES {
            found.extend(self.running(testbed, service).await?);
        }
        Ok(found)
    }

    /// Kills it and cuts it off.
    pub fn lose<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        match self {
            Self::Region(region) => testbed.lose_region(region),
            Self::Zone(region, zone) => testbed.lose_zone(region, *zone),
        }
    }

    /// Brings it back.
    pub fn bring_back<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        match self {
            Self::Region(region) => testbed.return_region(region),
            Self::Zone(region, zone) => testbed.return_zone(region, *zone),
        }
    }
}

/// What every proxy of each of these links met.
pub(super) async fn try_all(testbed: &dyn Testbed, links: &[Link]) -> Result<Vec<(Link, Trials)>, String> {
    let tried = join_all(links.iter().map(|link| try_link(testbed, link, ANSWER))).await;
    links.iter().cloned().zip(tried).map(|(link, trials)| Ok((link, trials?))).collect()
}
