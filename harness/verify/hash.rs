//! Hashing of millions of short things that nobody chooses to collide: they come from our own ledger. The seeds are fixed,
//! so that a run that is judged again is judged the same.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

use foldhash::{fast, quality};

/// A hash table with a fast hash.
pub(super) type Table<K, V> = HashMap<K, V, fast::FixedState>;

/// A table with room for this many.
pub(super) fn table<K, V>(room: usize) -> Table<K, V> {
    Table::with_capacity_and_hasher(room, fast::FixedState::default())
}

/// How many things there are, and the sum of their hashes: equal for two multisets that are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    count: usize,
    hashes: u64,
}

impl Sum {
    pub fn add<T: Hash>(&mut self, things: impl IntoIterator<Item = T>) {
        for thing in things {
            self.count += 1;
            self.hashes = self.hashes.wrapping_add(hash(thing));
        }
    }
}

/// The hash of one thing, every bit of it as good as any other.
pub(super) fn hash(thing: impl Hash) -> u64 {
    quality::FixedState::default().hash_one(thing)
}
