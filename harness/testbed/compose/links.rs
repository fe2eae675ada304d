//! The Toxiproxies as containers.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::{docker::Engine, packets::Packets, plan::Project};
use crate::{
    api::Address,
    clients::toxiproxy::ProxyState,
    testbed::{
        contract::TestbedError,
        layout::{Group, hosts},
        links::{self, Servers},
        probe::Way,
    },
};

/// Runs them.
pub(super) struct Toxiproxies {
    engine: Engine,
    project: Project,
    dial: u16,
    packets: Arc<Packets>,
    crossings: BTreeMap<Group, Vec<ProxyState>>,
}

impl Toxiproxies {
    /// Those of a project, whose relay dials for us at this port, with what leads callers to their links ([`super::plan::crossings`]).
    pub fn new(
        engine: Engine,
        project: Project,
        dial: u16,
        packets: Arc<Packets>,
        crossings: BTreeMap<Group, Vec<ProxyState>>,
    ) -> Self {
        Self { engine, project, dial, packets, crossings }
    }

    fn container(&self, group: &Group) -> String {
        self.project.container(&hosts::links(group))
    }
}

impl Servers for Toxiproxies {
    fn start<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            let container = self.container(group);
            // Compose has started it the first time.
            if self.engine.running(&container).await?.is_some() { Ok(()) } else { self.engine.start(&container).await }
        })
    }

    fn end<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let container = self.container(group);
            if let Err(error) = self.engine.kill(&container).await {
                tracing::warn!(%container, %error, "toxiproxy not ended");
            }
        })
    }

    fn ended<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move { self.engine.ended(&self.container(group)).await })
    }

    fn standing(&self, group: &Group) -> Vec<ProxyState> {
        self.crossings.get(group).cloned().unwrap_or_default()
    }

    fn way(&self, group: &Group, listen: &Address) -> Way {
        match group {
            // Customers' doors are published.
            Group::Common => Way::Direct(listen.port()),
            Group::Of(_) | Group::Within(_) | Group::Between => {
                Way::Relayed(self.dial, Address::new(hosts::links(group), listen.port()))
            }
        }
    }

    fn packets(&self) -> Option<&dyn links::Packets> {
        Some(&*self.packets)
    }

    fn last_words<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, String> {
        Box::pin(async move { self.engine.last_words(&self.container(group)).await })
    }
}
