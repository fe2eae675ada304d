//! The control plane's journal out of its container: copied into the run's folder again and again while somebody reads it,
//! since a file of a container can be read through the engine alone. Whoever waits for a step of it learns of the step up to
//! [`AGAIN`] and a copy's time later than on a testbed whose files are at hand.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

use super::docker::Engine;
use crate::os::files;

/// Between two copies.
const AGAIN: Duration = Duration::from_millis(30);

/// The journal's files; the log is copied last, so that none is newer than the pages that it belongs to.
const FILES: [&str; 2] = ["control.db", "control.db-wal"];

/// Copies the journal.
pub(super) struct Mirror {
    /// The engine.
    pub engine: Engine,
    /// The container.
    pub container: String,
    /// The journal's folder there.
    pub path: String,
    /// The folder that it is copied to.
    pub folder: PathBuf,
}

impl Mirror {
    /// Copies again and again until it is dropped; tells of each copy.
    pub async fn keep(self, copied: Arc<Notify>) {
        loop {
            // A container that is down has the journal that it left; one that is gone is the end of the run.
            let copy = match self.engine.archive(&self.container, &self.path).await {
                Ok(archive) => unpack(&archive, &self.folder).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match copy {
                Ok(()) => copied.notify_one(),
                Err(why) => tracing::debug!(container = self.container, %why, "the journal was not copied"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn unpack(archive: &[u8], folder: &Path) -> io::Result<()> {
    let mut found: [Option<Vec<u8>>; 2] = Default::default();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let place = FILES.iter().position(|wanted| Some(*wanted) == name.as_deref());
        if let Some(place) = place {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            found[place] = Some(content);
        }
    }
    for (name, content) in FILES.iter().zip(found) {
        if let Some(content) = content {
            files::write_private(&folder.join(name), &content)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_journals_files_are_taken_out_of_an_archive_and_nothing_else_is() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in [("data/control.db", "pages"), ("data/control.db-wal", "log"), ("data/other", "no")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        unpack(&archive.into_inner().unwrap(), folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("control.db"), read("control.db-wal")), ("pages".to_owned(), "log".to_owned()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
