//! Hash tables for millions of short keys that nobody chooses to collide: they come from our own ledger.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A hash table with a fast hash.
pub(super) type Table<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

/// A table with room for this many.
pub(super) fn table<K, V>(room: usize) -> Table<K, V> {
    Table::with_capacity_and_hasher(room, BuildHasherDefault::default())
}

/// Multiply and rotate by words of 8 bytes, mixed at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fast(u64);

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut copy = [0; 8];
            copy.copy_from_slice(word);
            self.write_u64(u64::from_le_bytes(copy));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut copy = [0; 8];
            copy[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(copy));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}
