//! `files.replication_pause`: objects of a region do not reach the other, everything else does. The link between the stores
//! is stalled on all its proxies, and proven to be as any stalled link is.

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
    testbed::{Testbed, TestbedError},
};

pub(super) struct FilesReplicationPause {
    from: Region,
    link: Option<LinkPartition>,
}

impl FilesReplicationPause {
    pub fn new(from: Region) -> Self {
        Self { from, link: None }
    }
}

/// The link that carries a region's objects to the other region's store.
fn link_of(links: Vec<Link>, from: &Region) -> Option<Link> {
    links.into_iter().find(|link| link.from == from.as_str() && link.to != link.from && link.service == "files")
}

impl Breakage for FilesReplicationPause {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let link = link_of(testbed.links(), &self.from)
                .ok_or_else(|| format!("no link carries objects of {} to another region", self.from))?;
            self.link.insert(LinkPartition::new(link, PartitionMode::Stall, Direction::Both)).before(testbed).await
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        match &mut self.link {
            Some(link) => link.act(testbed),
            None => Box::pin(async { Err(TestbedError::Unusable("there is no such link".to_owned())) }),
        }
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        match &self.link {
            Some(link) => link.prove(testbed),
            None => Box::pin(async { Err("there is no such link".to_owned()) }),
        }
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        match &mut self.link {
            Some(link) => link.undo(testbed),
            None => Box::pin(async { Ok(()) }),
        }
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        match &self.link {
            Some(link) => link.prove_healed(testbed),
            None => Box::pin(async { Err("there is no such link".to_owned()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_between_the_stores_is_the_one_that_is_held() {
        let links = ["edge -> east / files", "east -> east / files", "west -> east / files", "east -> west / files"];
        let links: Vec<Link> = links.into_iter().map(|link| link.parse().unwrap()).collect();
        let held = |from: &str| link_of(links.clone(), &from.parse().unwrap()).map(|link| link.to_string());
        assert_eq!(held("east").as_deref(), Some("east -> west / files"));
        assert_eq!(held("west").as_deref(), Some("west -> east / files"));
        assert_eq!(held("north"), None);
    }
}
