//! The other region's store, by whichever of its addresses answers. A link is all of its proxies: one that the store here takes
//! for offline may well carry.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use aws_sdk_s3::Client;

use crate::{
    api::{Address, environment::Login},
    clients::s3,
};

/// Longest any call to the other region's store may take, but for bodies.
const CALL_WITHIN: Duration = Duration::from_secs(3);

/// The other region's store as one user.
pub struct Peer {
    clients: Vec<Client>,
    current: AtomicUsize,
}

impl Peer {
    /// By these addresses.
    pub fn new(addresses: &[Address], login: &Login) -> Self {
        let clients = addresses.iter().map(|address| s3::client(address.clone(), login, CALL_WITHIN)).collect();
        Self { clients, current: AtomicUsize::new(0) }
    }

    /// The client of the address that answered last; `None`: there is no way there.
    pub fn client(&self) -> Option<&Client> {
        self.clients.get(self.current.load(Ordering::Relaxed) % self.clients.len().max(1))
    }

    /// How many addresses there are.
    pub fn addresses(&self) -> usize {
        self.clients.len()
    }

    /// The address that was last in use did not answer: the next one is tried.
    pub fn turn(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }
}
