//! `files.replication_pause`: objects of a region do not reach the other, everything else does. The links between the stores
//! are stalled on all their proxies, and proven to be as any stalled link is.

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    link_partition::LinkPartition,
};
use crate::{
    api::Region,
    model::{
        fault::{Direction, PartitionMode},
        link::Link,
    },
    testbed::{Impediment, Testbed, TestbedError},
};

pub(super) struct FilesReplicationPause {
    from: Region,
    links: Vec<Link>,
    /// Each of them as a stalled link, for what proves it.
    stalled: Vec<LinkPartition>,
}

impl FilesReplicationPause {
    pub fn new(from: Region) -> Self {
        Self { from, links: Vec::new(), stalled: Vec::new() }
    }
}

/// The links that carry objects from a region's sites to the other region's stores.
fn links_of(links: Vec<Link>, sites: &[String]) -> Vec<Link> {
    let leads_out = |link: &Link| sites.contains(&link.from) && !sites.contains(&link.to) && link.service == "files";
    links.into_iter().filter(leads_out).collect()
}

impl Breakage for FilesReplicationPause {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.links = links_of(testbed.links(), &testbed.sites(&self.from));
            if self.links.is_empty() {
                return Err(format!("no link carries objects of {} to another region", self.from));
            }
            let stall = |link: &Link| LinkPartition::new(link.clone(), PartitionMode::Stall, Direction::Both);
            self.stalled = self.links.iter().map(stall).collect();
            for link in &mut self.stalled {
                link.before(testbed).await?;
            }
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        if self.links.is_empty() {
            return Box::pin(async { Err(TestbedError::Unusable("there is no such link".to_owned())) });
        }
        testbed.impede(&self.links, Impediment::Partition(PartitionMode::Stall))
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let mut proofs = Vec::new();
            for link in &self.stalled {
                proofs.push(link.prove(testbed).await?);
            }
            Ok(proofs.join("; "))
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(&self.links)
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let mut proofs = Vec::new();
            for link in &self.stalled {
                proofs.push(link.prove_healed(testbed).await?);
            }
            Ok(proofs.join("; "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_between_the_stores_are_the_ones_that_are_held() {
        let check = |links: &[&str], sites: &[&str], held: &[&str]| {
            let links = links.iter().map(|link| link.parse().unwrap()).collect();
            let sites: Vec<String> = sites.iter().map(|site| (*site).to_owned()).collect();
            let found: Vec<String> = links_of(links, &sites).iter().map(ToString::to_string).collect();
            assert_eq!(found, held);
        };
        let whole = ["edge -> east / files", "east -> east / files", "west -> east / files", "east -> west / files"];
        check(&whole, &["east"], &["east -> west / files"]);
        check(&whole, &["west"], &["west -> east / files"]);
        check(&whole, &["north"], &[]);
        let zones =
            ["east -> east-2 / files", "east-2 -> west-3 / files", "east -> west / files", "east -> west / sql"];
        check(&zones, &["east", "east-2", "east-3"], &["east-2 -> west-3 / files", "east -> west / files"]);
    }
}
