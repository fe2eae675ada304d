//! Where rows and files of one moment are kept: rows in a file of the node's, files in a bucket that no customer's key reaches.

use std::{io, path::PathBuf};

use super::{shared::Node, store::StoreError};
use crate::{
    api::{EnvironmentId, node::Spec},
    os::files,
};

/// One of them.
pub struct Kept {
    /// The operation that it is of.
    pub number: u64,
    /// Its own folder.
    folder: PathBuf,
    /// Its bucket.
    pub bucket: String,
}

impl Kept {
    /// What the environment's operation of this number keeps, in a folder of the node's.
    pub fn of(node: &Node, folder: &str, environment: &EnvironmentId, spec: &Spec, number: u64) -> Self {
        let folder = node.config.data.join(folder).join(environment.as_str()).join(number.to_string());
        Self { number, folder, bucket: format!("{}-{number}", spec.bucket) }
    }

    /// All of the environment's in a folder of the node's, whole or not.
    ///
    /// # Errors
    /// The system's.
    pub fn all(node: &Node, folder: &str, environment: &EnvironmentId, spec: &Spec) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(node.config.data.join(folder).join(environment.as_str())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            all.extend(number.map(|number| Self::of(node, folder, environment, spec, number)));
        }
        Ok(all)
    }

    /// Rows.
    pub fn rows(&self) -> PathBuf {
        self.folder.join("rows.dump")
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.whole().exists()
    }

    /// That it is.
    ///
    /// # Errors
    /// `NotFound`, with `what` it is.
    pub fn expect(&self, what: &str) -> io::Result<()> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, format!("{what} is not here"))),
        }
    }

    /// Makes its folder and its bucket. What an attempt before has left there stays.
    ///
    /// # Errors
    /// [`StoreError`], the system's.
    pub async fn begin(&self, node: &Node) -> Result<(), StoreError> {
        files::private_folder(&self.folder)?;
        files::give(&self.folder)?;
        node.store.make_plain_bucket(&self.bucket).await
    }

    /// Says, durably and last, that all of it is there.
    ///
    /// # Errors
    /// The system's.
    pub fn end(&self) -> io::Result<()> {
        std::fs::File::open(self.rows())?.sync_all()?;
        files::write_private(&self.whole(), b"")
    }

    /// Removes it; that there is none is no error.
    ///
    /// # Errors
    /// [`StoreError`], the system's.
    pub async fn remove(&self, node: &Node) -> Result<(), StoreError> {
        node.store.drop_bucket(&self.bucket).await?;
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn whole(&self) -> PathBuf {
        self.folder.join("whole")
    }
}
