//! The keys that one stream owns, and what a drawn operation comes to given those.
//!
//! A key has one writer: the stream that created it. When the stream is retired its keys are never written again, so an
//! operation in doubt stays the last of its key.

use std::collections::VecDeque;

use super::{
    contended_key,
    writer::{Draw, What},
};
use crate::model::operation::{OpKind, Transfer};

/// Keys that a stream remembers at most; it forgets the oldest, which then stay as they are.
const KEYS_MAX: usize = 4096;

/// One own key that is known to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    key: Box<str>,
    object_key: Option<Box<str>>,
}

/// The keys of one stream that are known to be there: each acknowledged as written, and not as deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnKeys {
    /// In the order of creation, which is also that of the numbers in their names: so a key is found by halving.
    there: VecDeque<Own>,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub kind: OpKind,
    /// The row's key; empty for a transfer.
    pub key: Box<str>,
    /// Whether other streams write it too.
    pub contended: bool,
    /// It carries a file.
    pub file: bool,
    /// The two legs.
    pub transfer: Option<Transfer>,
    /// A delete: the object of the row as last written, which is deleted after the row.
    pub object_key: Option<Box<str>>,
}

impl Wanted {
    /// A write of one key.
    pub fn write(kind: OpKind, key: Box<str>, contended: bool, file: bool) -> Self {
        Self { kind, key, contended, file, transfer: None, object_key: None }
    }
}

impl OwnKeys {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.there.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.there.is_empty()
    }

    /// What a drawn operation comes to, as number `sequence` of stream `stream`. An overwrite or delete of an own key is a
    /// create as long as there is none.
    pub fn wanted(&self, draw: &Draw, stream: u32, sequence: u32) -> Wanted {
        let picked = || {
            let place = draw.pick.checked_rem(self.there.len() as u64)?;
            self.there.get(usize::try_from(place).ok()?)
        };
        let create =
            || Wanted::write(OpKind::Create, format!("own-{stream:06x}-{sequence:x}").into(), false, draw.file);
        match draw.what {
            What::Create => create(),
            What::OverwriteOwn => {
                picked().map_or_else(create, |own| Wanted::write(OpKind::Overwrite, own.key.clone(), false, draw.file))
            }
            What::OverwriteContended(number) => {
                Wanted::write(OpKind::Overwrite, contended_key(number), true, draw.file)
            }
            What::Delete => picked().map_or_else(create, |own| Wanted {
                object_key: own.object_key.clone(),
                ..Wanted::write(OpKind::Delete, own.key.clone(), false, false)
            }),
            What::Transfer(transfer) => {
                Wanted { transfer: Some(transfer), ..Wanted::write(OpKind::Transfer, Box::default(), false, false) }
            }
        }
    }

    /// An operation was acknowledged, having written this object if any.
    pub fn acknowledged(&mut self, wanted: &Wanted, object_key: Option<Box<str>>) {
        if wanted.contended {
            return;
        }
        match wanted.kind {
            OpKind::Create => {
                if self.there.len() >= KEYS_MAX {
                    self.there.pop_front();
                }
                self.there.push_back(Own { key: wanted.key.clone(), object_key });
            }
            OpKind::Overwrite => {
                if let Some(own) = self.place(&wanted.key).and_then(|place| self.there.get_mut(place)) {
                    own.object_key = object_key;
                }
            }
            OpKind::Delete => _ = self.place(&wanted.key).and_then(|place| self.there.remove(place)),
            OpKind::Transfer | OpKind::ReadSql | OpKind::ReadFile => {}
        }
    }

    /// Numbers are written without leading zeros, so a longer name is a later one.
    fn place(&self, key: &str) -> Option<usize> {
        self.there.binary_search_by(|own| (own.key.len(), &*own.key).cmp(&(key.len(), key))).ok()
    }
}
