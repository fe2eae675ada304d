//! The account of one environment on disk: one JSON line an entry, synced before anyone is told. A line that a crash tore
//! is cut off when the file is opened; entries that are no longer needed go when the file is written anew.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    api::{Epoch, compute::AccountEntry},
    os::files,
};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    /// The number of the next entry: everything before it has been forgotten.
    From(u64),
    /// An entry.
    Entry(Kept),
}

/// An entry with the epoch under which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Epoch.
    pub epoch: Epoch,
    /// Entry.
    pub entry: AccountEntry,
}

/// The open file.
pub struct AccountFile {
    path: PathBuf,
    file: File,
    /// Length of what is whole.
    bytes: u64,
    broken: bool,
}

/// What a file held.
pub struct Opened {
    /// The file.
    pub file: AccountFile,
    /// Its entries, in order.
    pub kept: Vec<Kept>,
    /// The number of the next entry.
    pub next: u64,
}

impl AccountFile {
    /// Opens or makes it.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a line that cannot be read and is not the last, or a number out of order: to go on
    /// without would be to forget what the other region may lack.
    pub fn open(path: &Path) -> io::Result<Opened> {
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (mut kept, mut next) = (Vec::new(), 1);
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line)? {
                Line::From(number) => next = number,
                Line::Entry(entry) if entry.entry.number == next => {
                    next += 1;
                    kept.push(entry);
                }
                Line::Entry(entry) => {
                    let why = format!("{}: entry {} where {next} should be", path.display(), entry.entry.number);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        files::give(path)?;
        let bytes = whole as u64;
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        if text.is_empty() {
            sync_folder(path)?;
        }
        Ok(Opened { file: Self { path: path.to_owned(), file, bytes, broken: false }, kept, next })
    }

    /// Appends entries; they are on the disk when this returns, or none of them counts.
    ///
    /// # Errors
    /// The system's. After a failed sync nothing more is taken: what the disk holds is then unknown until the file is read
    /// again.
    pub fn append(&mut self, entries: &[Kept]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the account could not be synced before; restart the compute"));
        }
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, &Line::Entry(entry.clone()))?;
            lines.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&lines) {
            // A full disk passes: what was half written is taken back.
            let back = self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            self.broken = back.is_err();
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            self.broken = true;
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Writes the file anew with these entries alone, the last of which (if any) has the number before `next`.
    ///
    /// # Errors
    /// The system's; the file is then as it was.
    pub fn rewrite<'a>(&mut self, kept: impl ExactSizeIterator<Item = &'a Kept>, next: u64) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Line::From(next - kept.len() as u64))?;
        text.push(b'\n');
        for entry in kept {
            serde_json::to_writer(&mut text, &Line::Entry(entry.clone()))?;
            text.push(b'\n');
        }
        files::write_private(&self.path, &text)?;
        sync_folder(&self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = text.len() as u64;
        Ok(())
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::compute::AccountOperation;

    fn entry(number: u64) -> Kept {
        let (object_key, version_id) = (format!("k\n{number}"), format!("v{number}"));
        Kept {
            epoch: Epoch(1),
            entry: AccountEntry { number, object_key, version_id, operation: AccountOperation::Put },
        }
    }

    #[test]
    fn what_was_appended_is_read_again_and_a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sales.ndjson");
        let mut opened = AccountFile::open(&path).unwrap();
        assert_eq!((opened.kept, opened.next), (vec![], 1));
        opened.file.append(&[entry(1), entry(2)]).unwrap();
        opened.file.append(&[entry(3)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for torn in 1..20 {
            std::fs::write(&path, &whole[..whole.len() - torn]).unwrap();
            let opened = AccountFile::open(&path).unwrap();
            assert_eq!((opened.kept, opened.next), (vec![entry(1), entry(2)], 3), "{torn} bytes short");
        }
        let mut opened = AccountFile::open(&path).unwrap();
        opened.file.append(&[entry(3), entry(4)]).unwrap();
        assert_eq!(AccountFile::open(&path).unwrap().next, 5);
    }

    #[test]
    fn a_rewritten_file_goes_on_with_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sales.ndjson");
        let mut file = AccountFile::open(&path).unwrap().file;
        file.append(&[entry(1), entry(2), entry(3)]).unwrap();
        file.rewrite([entry(3)].iter(), 4).unwrap();
        file.append(&[entry(4)]).unwrap();
        let opened = AccountFile::open(&path).unwrap();
        assert_eq!((opened.kept, opened.next), (vec![entry(3), entry(4)], 5));
        file.rewrite([].iter(), 5).unwrap();
        assert_eq!(AccountFile::open(&path).unwrap().next, 5);
    }

    #[test]
    fn an_account_with_a_hole_or_rubbish_within_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sales.ndjson");
        let mut file = AccountFile::open(&path).unwrap().file;
        file.append(&[entry(1), entry(3)]).unwrap();
        assert_eq!(AccountFile::open(&path).err().unwrap().kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, b"rubbish\n").unwrap();
        assert_eq!(AccountFile::open(&path).err().unwrap().kind(), io::ErrorKind::InvalidData);
    }
}
