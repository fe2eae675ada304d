//! Frames: how one record lies in a file, and how damage is told from the torn end that a crash leaves.

use std::io::{self, Read};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::operation::{Intent, Outcome};

/// The ledger's first bytes.
pub(super) const MAGIC: &str = "geodrill ledger 1\n";

/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 12;

/// The most that the beginning of a record is looked for in.
const BEGINNING_BYTES_MAX: u64 = 1 << 16;

/// Read at once where a record is checked and not kept.
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
    payload: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Frames of `input`, which stands at `offset` of a file of `length` bytes.
    pub(super) fn new(input: R, offset: u64, length: u64) -> Self {
        Self { input, offset, length, payload: Vec::new() }
    }

    /// The next one. After anything but a record, there is no use in asking again.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Next<T>> {
        let (length, payload_crc) = match self.head()? {
            Ok(head) => head,
            Err(next) => return Ok(next),
        };
        self.payload.clear();
        // The file is known to be as long as that.
        self.payload.reserve(usize::try_from(length).unwrap_or_default());
        self.input.by_ref().take(length).read_to_end(&mut self.payload)?;
        if self.payload.len() as u64 != length {
            return Ok(Next::Torn);
        }
        if crc32fast::hash(&self.payload) != payload_crc {
            return Ok(self.unfit(length));
        }
        match postcard::from_bytes(&self.payload) {
            Ok(record) => {
                self.offset += HEAD_BYTES as u64 + length;
                Ok(Next::Record(record))
            }
            Err(_) => Ok(Next::Damaged("a record cannot be decoded")),
        }
    }

    /// The value that the next record begins with, without a look at the rest of it.
    pub(super) fn beginning<T: DeserializeOwned>(&mut self) -> io::Result<Next<T>> {
        let (length, _) = match self.head()? {
            Ok(head) => head,
            Err(next) => return Ok(next),
        };
        self.payload.clear();
        self.input.by_ref().take(length.min(BEGINNING_BYTES_MAX)).read_to_end(&mut self.payload)?;
        match postcard::take_from_bytes(&self.payload) {
            Ok((value, _)) => Ok(Next::Record(value)),
            Err(_) => Ok(Next::Damaged("a record cannot be decoded")),
        }
    }

    /// Whether the next record is whole, without keeping or decoding it.
    pub(super) fn check(&mut self) -> io::Result<Next<()>> {
        let (length, payload_crc) = match self.head()? {
            Ok(head) => head,
            Err(next) => return Ok(next),
        };
        let (mut hasher, mut chunk, mut left) = (crc32fast::Hasher::new(), vec![0; CHUNK_BYTES], length);
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.input.read(&mut chunk[..wanted])?;
            if read == 0 {
                return Ok(Next::Torn);
            }
            hasher.update(&chunk[..read]);
            left -= read as u64;
        }
        if hasher.finalize() != payload_crc {
            return Ok(self.unfit(length));
        }
        self.offset += HEAD_BYTES as u64 + length;
        Ok(Next::Record(()))
    }

    /// Length and checksum of the next payload, or why there is none.
    fn head<T>(&mut self) -> io::Result<Result<(u64, u32), Next<T>>> {
        let left = self.length.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Err(Next::End));
        }
        if left < HEAD_BYTES as u64 {
            return Ok(Err(Next::Torn));
        }
        let mut head = [[0; 4]; 3];
        self.input.read_exact(head.as_flattened_mut())?;
        let [length, length_crc, payload_crc] = head;
        if crc32fast::hash(&length) != u32::from_le_bytes(length_crc) {
            return self.zeros_to_the_end(head).map(Err);
        }
        let length = u64::from(u32::from_le_bytes(length));
        if HEAD_BYTES as u64 + length > left {
            return Ok(Err(Next::Torn));
        }
        Ok(Ok((length, u32::from_le_bytes(payload_crc))))
    }

    /// A payload that does not fit its checksum: the last frame may have been torn.
    fn unfit<T>(&self, length: u64) -> Next<T> {
        let left = self.length.saturating_sub(self.offset);
        if HEAD_BYTES as u64 + length == left { Next::Torn } else { Next::Damaged("a checksum does not fit") }
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
