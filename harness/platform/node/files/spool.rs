//! A listing kept as a file, one version a line: evidence, and what is compared where the order of two listings counts.

use std::path::Path;

use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, Lines},
};

use crate::platform::node::store::{Key, Listing, StoreError, Version};

/// Writes a whole listing.
///
/// # Errors
/// [`StoreError`].
pub async fn spool(mut listing: Listing, path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path).await?;
    let mut file = BufWriter::new(file);
    while let Some(key) = listing.next().await? {
        for version in &key.versions {
            let mut line = serde_json::to_vec(version).map_err(std::io::Error::from)?;
            line.push(b'\n');
            file.write_all(&line).await?;
        }
    }
    file.flush().await?;
    file.into_inner().sync_data().await?;
    Ok(())
}

/// A listing read from a file.
pub struct Spooled {
    lines: Lines<BufReader<File>>,
    ahead: Option<Version>,
}

impl Spooled {
    /// From this file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let mut spooled = Self { lines: BufReader::new(File::open(path).await?).lines(), ahead: None };
        spooled.ahead = spooled.line().await?;
        Ok(spooled)
    }

    /// The next key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next(&mut self) -> Result<Option<Key>, StoreError> {
        let Some(first) = self.ahead.take() else { return Ok(None) };
        let mut key = Key { name: first.object_key.clone(), versions: vec![first] };
        loop {
            match self.line().await? {
                Some(more) if more.object_key == key.name => key.versions.push(more),
                other => {
                    self.ahead = other;
                    return Ok(Some(key));
                }
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Version>, StoreError> {
        match self.lines.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line).map_err(std::io::Error::from)?)),
            None => Ok(None),
        }
    }
}
