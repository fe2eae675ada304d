//! Entries of one environment's running account that are not verified yet: pure. Entries of one key are looked at one after
//! the other, in their order, so that nothing is brought that a later entry removes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::api::{
    Epoch,
    compute::{AccountEntry, AccountMark, AccountOperation, AccountPush},
};

/// When an entry is first looked at: the store's own replication takes some 30 ms.
const FIRST_LOOK: Duration = Duration::from_millis(150);

struct Pending {
    entry: AccountEntry,
    since: Instant,
}

/// The ledger.
#[derive(Default)]
pub struct Ledger {
    epoch: Epoch,
    /// Number of the next entry; 0 before the first push.
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// Of each key, its pending entries in order; the first may be looked at.
    keys: HashMap<String, VecDeque<u64>>,
    /// When an entry is to be looked at next; those being looked at are not in it.
    due: BTreeSet<(Instant, u64)>,
    /// Somebody waits: entries are looked at as soon as they come.
    hurried: bool,
}

impl Ledger {
    /// Takes a push, and answers.
    pub fn take(&mut self, push: AccountPush, now: Instant) -> AccountMark {
        if push.epoch > self.epoch || push.kept_from > self.next {
            *self = Self { epoch: push.epoch, next: push.kept_from, hurried: self.hurried, ..Self::default() };
        }
        while let Some(number) = self.pending.keys().next().copied().filter(|number| *number < push.kept_from) {
            self.settle(number, now);
        }
        for entry in push.entries {
            if entry.number == self.next {
                self.next += 1;
                self.add(entry, now);
            }
        }
        AccountMark { verified: self.verified(), next: self.next }
    }

    fn add(&mut self, entry: AccountEntry, now: Instant) {
        let number = entry.number;
        let of_key = self.keys.entry(entry.object_key.clone()).or_default();
        of_key.push_back(number);
        if of_key.len() == 1 {
            let at = if self.hurried { now } else { now + FIRST_LOOK };
            self.due.insert((at, number));
        }
        self.pending.insert(number, Pending { entry, since: now });
    }

    /// Every entry up to this number is verified.
    pub fn verified(&self) -> u64 {
        self.pending.keys().next().copied().unwrap_or(self.next).saturating_sub(1)
    }

    /// Number of the next entry; 0 before the first push.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Entries not verified, and the age of the oldest.
    pub fn pending(&self, now: Instant) -> (u64, Duration) {
        let oldest = self.pending.values().next().map(|oldest| now.saturating_duration_since(oldest.since));
        (self.pending.len() as u64, oldest.unwrap_or_default())
    }

    /// The oldest entry not verified.
    pub fn oldest(&self) -> Option<&AccountEntry> {
        self.pending.values().next().map(|oldest| &oldest.entry)
    }

    /// Whether a version has an entry that is not verified.
    pub fn has(&self, key: &str, version: &str) -> bool {
        let of_key = self.keys.get(key).into_iter().flatten();
        of_key.filter_map(|number| self.pending.get(number)).any(|pending| pending.entry.version_id == version)
    }

    /// Whether a removal of this version is on its way.
    pub fn is_purged(&self, entry: &AccountEntry) -> bool {
        let of_key = self.keys.get(&entry.object_key).into_iter().flatten();
        of_key.filter_map(|number| self.pending.get(number)).any(|pending| {
            pending.entry.operation == AccountOperation::Purge && pending.entry.version_id == entry.version_id
        })
    }

    /// Takes out entries to be looked at now, at most `limit`, each with its age.
    pub fn due(&mut self, now: Instant, limit: usize) -> Vec<(AccountEntry, Duration)> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some((at, number)) = self.due.first().copied().filter(|(at, _)| *at <= now)
        {
            self.due.remove(&(at, number));
            if let Some(pending) = self.pending.get(&number) {
                due.push((pending.entry.clone(), now.saturating_duration_since(pending.since)));
            }
        }
        due
    }

    /// When the next is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Puts back an entry that was looked at, to be looked at again.
    pub fn put_back(&mut self, number: u64, at: Instant) {
        if self.pending.contains_key(&number) {
            self.due.insert((at, number));
        }
    }

    /// An entry is verified.
    pub fn settle(&mut self, number: u64, now: Instant) {
        let Some(pending) = self.pending.remove(&number) else { return };
        let Some(of_key) = self.keys.get_mut(&pending.entry.object_key) else { return };
        let was_first = of_key.front() == Some(&number);
        of_key.retain(|other| *other != number);
        match of_key.front().copied() {
            Some(first) if was_first => {
                let since = self.pending.get(&first).map_or(now, |first| first.since);
                let at = if self.hurried { now } else { now.max(since + FIRST_LOOK) };
                self.due.insert((at, first));
            }
            Some(_) => {}
            None => drop(self.keys.remove(&pending.entry.object_key)),
        }
    }

    /// Whether somebody waits.
    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Somebody waits, or no longer does.
    pub fn hurry(&mut self, hurried: bool, now: Instant) {
        self.hurried = hurried;
        if hurried {
            self.due = self.due.iter().map(|(at, number)| (*at.min(&now), *number)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(epoch: u64, kept_from: u64, entries: &[(u64, &str, AccountOperation)]) -> AccountPush {
        let entry = |(number, key, operation): &(u64, &str, AccountOperation)| AccountEntry {
            number: *number,
            object_key: (*key).to_owned(),
            version_id: "v".to_owned(),
            operation: *operation,
        };
        let entries = entries.iter().map(entry).collect();
        AccountPush { environment: "sales".parse().unwrap(), epoch: Epoch(epoch), kept_from, entries }
    }

    const PUT: AccountOperation = AccountOperation::Put;

    fn numbers(due: Vec<(AccountEntry, Duration)>) -> Vec<u64> {
        due.into_iter().map(|(entry, _)| entry.number).collect()
    }

    #[test]
    fn entries_are_taken_in_order_and_verified_up_to_the_first_that_is_not() {
        let t = Instant::now();
        let mut ledger = Ledger::default();
        // A node that begins anew is told the rest again.
        let mark = ledger.take(push(1, 5, &[(9, "a", PUT)]), t);
        assert_eq!((mark.verified, mark.next), (4, 5));
        let mark = ledger.take(push(1, 5, &[(5, "a", PUT), (6, "b", PUT), (7, "c", PUT)]), t);
        assert_eq!((mark.verified, mark.next), (4, 8));
        // A repeat adds nothing.
        ledger.take(push(1, 5, &[(5, "a", PUT)]), t);
        assert_eq!(ledger.pending(t).0, 3);
        assert_eq!(numbers(ledger.due(t, 9)), [] as [u64; 0]);
        let later = t + FIRST_LOOK;
        assert_eq!(numbers(ledger.due(later, 2)), [5, 6]);
        ledger.settle(6, later);
        assert_eq!(ledger.verified(), 4);
        ledger.put_back(5, later + FIRST_LOOK);
        assert_eq!(numbers(ledger.due(later, 9)), [7]);
        ledger.settle(5, later);
        assert_eq!((ledger.verified(), ledger.pending(later)), (6, (1, FIRST_LOOK)));
        ledger.settle(7, later);
        assert_eq!(ledger.verified(), 7);
    }

    #[test]
    fn entries_of_one_key_wait_for_one_another() {
        let t = Instant::now();
        let mut ledger = Ledger::default();
        ledger.hurry(true, t);
        let purge = AccountOperation::Purge;
        ledger.take(push(1, 1, &[(1, "a", PUT), (2, "a", purge), (3, "b", PUT)]), t);
        let due = ledger.due(t, 9);
        assert!(ledger.is_purged(&due[0].0) && !ledger.is_purged(&due[1].0) && ledger.has("a", "v"));
        assert_eq!(numbers(due), [1, 3]);
        ledger.settle(1, t);
        assert_eq!(numbers(ledger.due(t, 9)), [2]);
        ledger.settle(2, t);
        assert!(!ledger.has("a", "v"));
    }

    #[test]
    fn what_was_written_under_an_epoch_that_is_over_is_forgotten() {
        let t = Instant::now();
        let mut ledger = Ledger::default();
        ledger.take(push(1, 1, &[(1, "a", PUT), (2, "b", PUT)]), t);
        let mark = ledger.take(push(2, 3, &[(3, "c", PUT)]), t);
        assert_eq!((mark.verified, mark.next, ledger.pending(t).0), (2, 4, 1));
        let mark = ledger.take(push(2, 4, &[]), t);
        assert_eq!((mark.verified, mark.next), (3, 4));
    }
}
