//! Frames: how one record lies in a file, and how damage is told from the torn end that a crash leaves.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::model::operation::{Intent, Outcome};

/// The ledger's first bytes.
pub(super) const MAGIC: &str = "geodrill ledger 1\n";

/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 12;

/// What is wrong with a payload that fits its checksum and is no record.
pub(super) const UNDECODABLE: &str = "a record cannot be decoded";

/// Read at once.
const CHUNK_BYTES: usize = 1 << 18;

/// One record, as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// About to be sent.
    Intent(Intent),
    /// What came back.
    Outcome(Outcome),
}

/// One record, as it is written: the same bytes as [`Record`], nothing cloned.
#[derive(Serialize)]
pub(super) enum RecordRef<'a> {
    /// About to be sent.
    Intent(&'a Intent),
    /// What came back.
    Outcome(&'a Outcome),
}

/// Adds a frame with this value to the buffer; on an error the buffer is as it was.
pub(super) fn append<T: Serialize>(buffer: &mut Vec<u8>, value: &T) -> io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD_BYTES]);
    if let Err(error) = postcard::to_io(value, &mut *buffer) {
        buffer.truncate(start);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    let length = buffer.len() - start - HEAD_BYTES;
    let Ok(length) = u32::try_from(length) else {
        buffer.truncate(start);
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a record of 4 GiB or more"));
    };
    let payload_crc = crc32fast::hash(&buffer[start + HEAD_BYTES..]);
    let length = length.to_le_bytes();
    buffer[start..start + 4].copy_from_slice(&length);
    buffer[start + 4..start + 8].copy_from_slice(&crc32fast::hash(&length).to_le_bytes());
    buffer[start + 8..start + 12].copy_from_slice(&payload_crc.to_le_bytes());
    Ok(())
}

/// What stands at the reader's place.
pub(super) enum Next<T> {
    /// A whole record.
    Record(T),
    /// Nothing: the end.
    End,
    /// Less than a frame: the writer was stopped in the middle of it.
    Torn,
    /// Something that no crash leaves.
    Damaged(&'static str),
}

/// Reads frames one after another.
pub(super) struct Frames<R> {
    input: R,
    /// Where the next frame begins.
    pub(super) offset: u64,
    length: u64,
    /// What has been read ahead; of it, from `start` on, what has not been used.
    ahead: Vec<u8>,
    start: usize,
}

impl<R: Read> Frames<R> {
    /// Frames of `input`, which stands at `offset` of a file of `length` bytes.
    pub(super) fn new(input: R, offset: u64, length: u64) -> Self {
        Self { input, offset, length, ahead: Vec::new(), start: 0 }
    }

    /// The next one; its texts may stay where they were read. After anything but a record, there is no use in asking again.
    pub(super) fn next<'s, T: Deserialize<'s>>(&'s mut self) -> io::Result<Next<T>> {
        let Head { length, payload_crc } = match self.head()? {
            Ok(head) => head,
            Err(next) => return Ok(next),
        };
        // The file is known to be as long as that.
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if self.look_ahead(size)? < size {
            return Ok(Next::Torn);
        }
        let payload = &self.ahead[self.start..self.start + size];
        if crc32fast::hash(payload) != payload_crc {
            return Ok(self.unfit(length));
        }
        match postcard::from_bytes(payload) {
            Ok(record) => {
                self.start += size;
                self.offset += HEAD_BYTES as u64 + length;
                Ok(Next::Record(record))
            }
            Err(_) => Ok(Next::Damaged(UNDECODABLE)),
        }
    }

    /// Whether the next record is whole, without keeping or decoding it.
    pub(super) fn check(&mut self) -> io::Result<Next<()>> {
        let Head { length, payload_crc } = match self.head()? {
            Ok(head) => head,
            Err(next) => return Ok(next),
        };
        let (mut hasher, mut left) = (crc32fast::Hasher::new(), length);
        while left > 0 {
            let there = self.look_ahead(1)?.min(usize::try_from(left).unwrap_or(usize::MAX));
            if there == 0 {
                return Ok(Next::Torn);
            }
            hasher.update(&self.ahead[self.start..self.start + there]);
            self.start += there;
            left -= there as u64;
        }
        if hasher.finalize() != payload_crc {
            return Ok(self.unfit(length));
        }
        self.offset += HEAD_BYTES as u64 + length;
        Ok(Next::Record(()))
    }

    /// What stands before the next payload, or why there is none.
    fn head<T>(&mut self) -> io::Result<Result<Head, Next<T>>> {
        let left = self.length.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Err(Next::End));
        }
        if left < HEAD_BYTES as u64 || self.look_ahead(HEAD_BYTES)? < HEAD_BYTES {
            return Ok(Err(Next::Torn));
        }
        let mut head = [[0; 4]; HEAD_BYTES / 4];
        head.as_flattened_mut().copy_from_slice(&self.ahead[self.start..self.start + HEAD_BYTES]);
        self.start += HEAD_BYTES;
        let [length, length_crc, payload_crc] = head;
        if crc32fast::hash(&length) != u32::from_le_bytes(length_crc) {
            return self.zeros_to_the_end(head).map(Err);
        }
        let length = u64::from(u32::from_le_bytes(length));
        if HEAD_BYTES as u64 + length > left {
            return Ok(Err(Next::Torn));
        }
        Ok(Ok(Head { length, payload_crc: u32::from_le_bytes(payload_crc) }))
    }

    /// Reads ahead until `wanted` bytes are there, or the input ends; how many are there.
    fn look_ahead(&mut self, wanted: usize) -> io::Result<usize> {
        let there = self.ahead.len() - self.start;
        if there < wanted {
            self.ahead.drain(..self.start);
            self.start = 0;
            let more = (wanted - there).max(CHUNK_BYTES) as u64;
            self.input.by_ref().take(more).read_to_end(&mut self.ahead)?;
        }
        Ok(self.ahead.len() - self.start)
    }

    /// A payload that does not fit its checksum: the last frame may have been torn.
    fn unfit<T>(&self, length: u64) -> Next<T> {
        let left = self.length.saturating_sub(self.offset);
        if HEAD_BYTES as u64 + length == left { Next::Torn } else { Next::Damaged("a checksum does not fit") }
    }

    /// A power cut may leave a file that has its new length but zeros for its last bytes.
    fn zeros_to_the_end<T>(&mut self, head: [[u8; 4]; 3]) -> io::Result<Next<T>> {
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let mut zeros = is_zero(head.as_flattened());
        while zeros && self.look_ahead(1)? > 0 {
            zeros = is_zero(&self.ahead[self.start..]);
            self.start = self.ahead.len();
        }
        Ok(if zeros { Next::Torn } else { Next::Damaged("a length does not fit its checksum") })
    }
}

/// What stands before a payload.
struct Head {
    length: u64,
    payload_crc: u32,
}
