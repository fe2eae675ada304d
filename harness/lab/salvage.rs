//! What a region alone had when it came back, fetched for whom it belongs to: its customers put it in again, or leave it.

use std::{io, path::Path, time::Duration};

use super::{
    LabFile,
    order_switch::{OrderError, http},
};
use crate::{
    api::{
        EnvironmentId,
        control::{SALVAGED_BODIES, Salvage},
    },
    os::files,
};

/// A list may be long, a body large, and both come by way of two processes.
const WITHIN: Duration = Duration::from_secs(60);

/// Why it was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The platform's.
    #[error(transparent)]
    Platform(#[from] OrderError),
    /// The folder is there and holds something.
    #[error("{0} holds something already: name a folder that is not there yet")]
    NotEmpty(String),
    /// The system's.
    #[error("cannot write into {folder}: {error}")]
    Io {
        /// The folder.
        folder: String,
        /// What it says.
        error: io::Error,
    },
}

/// The list of an environment.
///
/// # Errors
/// [`OrderError`], [`OrderError::Refused`] if nothing was ever salvaged of it.
pub async fn list(lab: &LabFile, environment: &EnvironmentId) -> Result<Salvage, OrderError> {
    Ok(http(lab).get(&format!("/v1/environments/{environment}/salvage"), WITHIN).await?)
}

/// Writes the list and every body on it into a folder: `rows.ndjson`, `objects.ndjson`, and the bodies under the names that the
/// latter gives them. Readable by its owner alone.
///
/// # Errors
/// [`SalvageError`]; nothing was written if the folder holds something.
pub async fn fetch(
    lab: &LabFile,
    environment: &EnvironmentId,
    list: &Salvage,
    folder: &Path,
) -> Result<(), SalvageError> {
    let told = || folder.display().to_string();
    let io = |error| SalvageError::Io { folder: told(), error };
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SalvageError::NotEmpty(told()));
    }
    files::private_folder(folder).map_err(io)?;
    write_lines(&folder.join("rows.ndjson"), &list.rows).map_err(io)?;
    write_lines(&folder.join("objects.ndjson"), &list.objects).map_err(io)?;
    files::private_folder(&folder.join(SALVAGED_BODIES)).map_err(io)?;
    let http = http(lab);
    for file in list.objects.iter().filter_map(|object| object.file.as_deref()) {
        let path = format!("/v1/environments/{environment}/salvage/{file}");
        let body = http.bytes(&path, WITHIN).await.map_err(OrderError::from)?;
        files::write_private(&folder.join(file), &body).map_err(io)?;
    }
    Ok(())
}

fn write_lines<T: serde::Serialize>(file: &Path, items: &[T]) -> io::Result<()> {
    let mut lines = Vec::new();
    for item in items {
        serde_json::to_writer(&mut lines, item)?;
        lines.push(b'\n');
    }
    files::write_private(file, &lines)
}
