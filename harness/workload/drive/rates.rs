//! Live figures, for the one who watches; no verdict uses them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::operation::{Lane, Told};

/// How many operations came to what since the load started, over all environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Of writers: acknowledged.
    pub acked_total: u64,
    /// Of writers: proven without effect.
    pub failed_total: u64,
    /// Of writers: in doubt.
    pub in_doubt_total: u64,
    /// Of writers: due, and so late that it was not sent at all; the ledger does not have it.
    pub unsent_total: u64,
    /// Of probes: acknowledged.
    pub probe_acked_total: u64,
    /// Of probes: failed or in doubt.
    pub probe_other_total: u64,
}

/// The counters behind [`Rates`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    acked: AtomicU64,
    failed: AtomicU64,
    in_doubt: AtomicU64,
    unsent: AtomicU64,
    probe_acked: AtomicU64,
    probe_other: AtomicU64,
}

impl Tally {
    /// An operation was answered, or given up.
    pub fn told(&self, lane: Lane, told: &Told) {
        let counter = match (lane, told) {
            (Lane::Writer(_), Told::Ok { .. }) => &self.acked,
            (Lane::Writer(_), Told::Fail { .. }) => &self.failed,
            (Lane::Writer(_), Told::InDoubt { .. }) => &self.in_doubt,
            (Lane::Probe { .. }, Told::Ok { .. }) => &self.probe_acked,
            (Lane::Probe { .. }, _) => &self.probe_other,
            // The old side's refusals are as it should be, and no figure of the service's.
            (Lane::OldSide { .. }, _) => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// An operation was not sent.
    pub fn unsent(&self) {
        self.unsent.fetch_add(1, Relaxed);
    }

    /// The figures now.
    pub fn rates(&self) -> Rates {
        Rates {
            acked_total: self.acked.load(Relaxed),
            failed_total: self.failed.load(Relaxed),
            in_doubt_total: self.in_doubt.load(Relaxed),
            unsent_total: self.unsent.load(Relaxed),
            probe_acked_total: self.probe_acked.load(Relaxed),
            probe_other_total: self.probe_other.load(Relaxed),
        }
    }
}
