//! The other region's store, by whichever of its ports answers. A link is all of its proxies: one that the store here takes
//! for offline may well carry.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use aws_sdk_s3::Client;

use crate::{api::environment::Login, clients::s3};

/// Longest any call to the other region's store may take, but for bodies.
const CALL_WITHIN: Duration = Duration::from_secs(3);

/// The other region's store as one user.
pub struct Peer {
    clients: Vec<Client>,
    current: AtomicUsize,
}

impl Peer {
    /// By these ports.
    pub fn new(ports: &[u16], login: &Login) -> Self {
        let clients = ports.iter().map(|port| s3::client(*port, login, CALL_WITHIN)).collect();
        Self { clients, current: AtomicUsize::new(0) }
    }

    /// The client of the port that answered last; `None`: there is no way there.
    pub fn client(&self) -> Option<&Client> {
        self.clients.get(self.current.load(Ordering::Relaxed) % self.clients.len().max(1))
    }

    /// How many ports there are.
    pub fn ports(&self) -> usize {
        self.clients.len()
    }

    /// The port that was last in use did not answer: the next one is tried.
    pub fn turn(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }
}
