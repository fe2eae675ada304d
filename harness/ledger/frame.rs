//! Frames: how one record lies in a file, and how damage is told from the torn end that a crash leaves.

use std::io::{self, Read};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::operation::{Intent, Outcome};

/// The ledger's first bytes.
pub(super) const MAGIC: &str = "geodrill ledger 1\n";

/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 12;

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
    payload: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Frames of `input`, which stands at `offset` of a file of `length` bytes.
    pub(super) fn new(input: R, offset: u64, length: u64) -> Self {
        Self { input, offset, length, payload: Vec::new() }
    }

    /// The next one. After anything but a record, there is no use in asking again.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Next<T>> {
        let left = self.length.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEAD_BYTES as u64 {
            return Ok(Next::Torn);
        }
        let mut head = [[0; 4]; 3];
        for word in &mut head {
            self.input.read_exact(word)?;
        }
        let [length, length_crc, payload_crc] = head;
        if crc32fast::hash(&length) != u32::from_le_bytes(length_crc) {
            return self.zeros_to_the_end(head);
        }
        let length = u64::from(u32::from_le_bytes(length));
        let frame = HEAD_BYTES as u64 + length;
        if frame > left {
            return Ok(Next::Torn);
        }
        self.payload.clear();
        self.input.by_ref().take(length).read_to_end(&mut self.payload)?;
        if self.payload.len() as u64 != length {
            return Ok(Next::Torn);
        }
        if crc32fast::hash(&self.payload) != u32::from_le_bytes(payload_crc) {
            return Ok(if frame == left { Next::Torn } else { Next::Damaged("a checksum does not fit") });
        }
        match postcard::from_bytes(&self.payload) {
            Ok(record) => {
                self.offset += frame;
                Ok(Next::Record(record))
            }
            Err(_) => Ok(Next::Damaged("a record cannot be decoded")),
        }
    }

    /// A power cut may leave a file that has its new length but zeros for its last bytes.
    fn zeros_to_the_end<T>(&mut self, head: [[u8; 4]; 3]) -> io::Result<Next<T>> {
        let mut chunk = [0; 4096];
        let mut zeros = head.as_flattened().iter().all(|byte| *byte == 0);
        while zeros {
            match self.input.read(&mut chunk)? {
                0 => return Ok(Next::Torn),
                read => zeros = chunk[..read].iter().all(|byte| *byte == 0),
            }
        }
        Ok(Next::Damaged("a length does not fit its checksum"))
    }
}
