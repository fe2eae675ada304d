//! Heartbeats: acknowledged writes of the long-lived write probes that nobody has yet seen in the secondary.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::model::{RunTime, Token};

/// Heartbeats that wait to be seen at most: at ten a second, nearly two hours. What comes after is not kept, so the
/// oldest, which are what lag is measured by, are never lost.
const WAITING_MAX: usize = 65_536;

/// One acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The write.
    pub token: Token,
    /// When it was sent.
    pub sent: RunTime,
    /// The row's key, or the object's.
    pub key: Box<str>,
}

/// The heartbeats of one environment that wait to be seen, oldest first.
#[derive(Debug, Default)]
pub struct Pulse {
    sql: Mutex<VecDeque<Heartbeat>>,
    files: Mutex<VecDeque<Heartbeat>>,
}

impl Pulse {
    /// A row was acknowledged.
    pub(super) fn row(&self, heartbeat: Heartbeat) {
        insert(&mut lock(&self.sql), heartbeat);
    }

    /// An object was acknowledged.
    pub(super) fn object(&self, heartbeat: Heartbeat) {
        insert(&mut lock(&self.files), heartbeat);
    }

    /// Forgets those of other epochs: they were acknowledged by a side that serves no more, so whether they reach the
    /// secondary of now says nothing of replication.
    pub fn only_epoch(&self, epoch: u32) {
        for waiting in [&self.sql, &self.files] {
            lock(waiting).retain(|heartbeat| heartbeat.token.epoch == epoch);
        }
    }

    /// Forgets all of them: there is nowhere that they could be seen.
    pub fn forget(&self) {
        [&self.sql, &self.files].into_iter().for_each(|waiting| lock(waiting).clear());
    }

    /// Rows that wait, oldest first.
    pub fn rows(&self) -> Vec<Heartbeat> {
        lock(&self.sql).iter().cloned().collect()
    }

    /// The oldest objects that wait, `count` at most.
    pub fn objects(&self, count: usize) -> Vec<Heartbeat> {
        lock(&self.files).iter().take(count).cloned().collect()
    }

    /// The secondary holds `token` under `key`: that write and those of the same key before it have been seen.
    pub fn row_seen(&self, key: &str, token: Token) {
        lock(&self.sql).retain(|heartbeat| {
            &*heartbeat.key != key
                || heartbeat.token.stream != token.stream
                || heartbeat.token.sequence > token.sequence
        });
    }

    /// The secondary holds this object.
    pub fn object_seen(&self, token: Token) {
        lock(&self.files).retain(|heartbeat| heartbeat.token != token);
    }
}

fn lock(waiting: &Mutex<VecDeque<Heartbeat>>) -> MutexGuard<'_, VecDeque<Heartbeat>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the order of sending; several may be in flight at once, so the end is not always the place.
fn insert(waiting: &mut VecDeque<Heartbeat>, heartbeat: Heartbeat) {
    if waiting.len() < WAITING_MAX {
        let place = waiting.iter().rposition(|other| other.sent <= heartbeat.sent).map_or(0, |place| place + 1);
        waiting.insert(place, heartbeat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(stream: u32, sequence: u32, epoch: u32) -> Heartbeat {
        let token = Token { run: 1, stream, sequence, epoch };
        Heartbeat { token, sent: RunTime(u64::from(sequence)), key: format!("probe-{stream}").into() }
    }

    #[test]
    fn a_row_that_is_seen_takes_those_before_it_along() {
        let pulse = Pulse::default();
        for beat in [beat(1, 0, 0), beat(1, 2, 0), beat(1, 1, 0), beat(2, 3, 0)] {
            pulse.row(beat);
        }
        assert_eq!(pulse.rows().iter().map(|beat| beat.token.sequence).collect::<Vec<_>>(), [0, 1, 2, 3]);
        pulse.row_seen("probe-1", beat(1, 1, 0).token);
        assert_eq!(pulse.rows(), [beat(1, 2, 0), beat(2, 3, 0)]);
    }

    #[test]
    fn heartbeats_of_another_epoch_are_forgotten() {
        let pulse = Pulse::default();
        pulse.row(beat(1, 0, 0));
        pulse.object(beat(1, 1, 0));
        pulse.object(beat(1, 2, 1));
        pulse.only_epoch(1);
        assert_eq!((pulse.rows(), pulse.objects(9)), (vec![], vec![beat(1, 2, 1)]));
        pulse.object_seen(beat(1, 2, 1).token);
        assert!(pulse.objects(9).is_empty());
    }
}
