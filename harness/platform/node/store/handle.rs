//! The store as its node holds it.

use std::time::Duration;

use aws_sdk_s3::Client;
use tokio::{sync::Mutex, time::Instant};

use super::mc::Mc;
use crate::{
    api::{Address, Region, environment::Login, role::NodeConfig, sabotage::Sabotage},
    clients::s3,
};

/// Longest any call to the store may take.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(10);

/// The zone's store.
pub struct Store {
    pub(super) region: Region,
    pub(super) peer: Region,
    /// As root.
    pub(super) own: Client,
    pub(super) at: Address,
    pub(super) targets: Vec<Address>,
    pub(super) mc: Mc,
    /// When its nodes were last told to start anew.
    pub(super) renewed: Mutex<Option<Instant>>,
    pub(super) sabotage: Option<Sabotage>,
}

impl Store {
    /// The store that the configuration names.
    pub fn new(config: &NodeConfig) -> Self {
        Self {
            region: config.region.clone(),
            peer: config.peer.clone(),
            own: s3::client(config.files.clone(), &config.files_root, CALL_WITHIN),
            at: config.files.clone(),
            targets: config.files_targets.clone(),
            mc: Mc::new(config),
            renewed: Mutex::default(),
            sabotage: config.sabotage,
        }
    }

    /// The store as root.
    pub fn root(&self) -> &Client {
        &self.own
    }

    /// The store as one of its users.
    pub fn as_user(&self, login: &Login) -> Client {
        s3::client(self.at.clone(), login, CALL_WITHIN)
    }
}
