//! Making sure that everything is there.

use std::{fs, path::PathBuf, time::Duration};

use super::{find, go, pins::Tool, places::cache, postgres, progress::Progress, user, version::Versions};
use crate::testbed::contract::TestbedError;

/// Whether setup may change the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupMode {
    /// What is missing is made or installed.
    Auto,
    /// What is missing is told.
    Never,
}

/// The real servers, ready to be started by the service user.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Folder of the Postgres programs.
    pub postgres_bin: PathBuf,
    /// MinIO.
    pub minio: PathBuf,
    /// MinIO's client.
    pub mc: PathBuf,
    /// Toxiproxy's server.
    pub toxiproxy: PathBuf,
    /// `postgres` → `15.18`, ...
    pub versions: Vec<(String, String)>,
    /// A fresh, cleanly stopped cluster to copy: superuser `geodrill` without a password, checksums on.
    pub template: PathBuf,
}

/// Finds the servers, or makes what is missing. Several at once on one machine wait for one another.
///
/// # Errors
/// [`TestbedError::Unusable`] names what is missing, where it was looked for, and the command that gets it.
pub async fn ensure(progress: &dyn Progress, mode: SetupMode) -> Result<Programs, TestbedError> {
    let missing = match ready() {
        Ok(programs) => return Ok(programs),
        Err(missing) => missing,
    };
    if mode == SetupMode::Never {
        let list = missing.join("\n  ");
        return Err(TestbedError::Unusable(format!(
            "servers are missing, and setup was not allowed to make them:\n  {list}"
        )));
    }
    make(progress).await.map_err(TestbedError::Unusable)?;
    ready().map_err(|missing| TestbedError::Unusable(format!("setup has run, and yet:\n  {}", missing.join("\n  "))))
}

/// The servers if all is there, else what is missing: where it was looked for, and what gets it.
fn ready() -> Result<Programs, Vec<String>> {
    let mut missing = Vec::new();
    let mut versions = Vec::new();
    if !user::exists() {
        missing.push(
            "user geodrill, whom servers run as when root starts them: geodrill setup, or `useradd --system geodrill`"
                .to_owned(),
        );
    }
    let mut known = Versions::load();
    let mut tool = |tool: Tool| {
        let search = find::tool(tool, &mut known);
        match search.found {
            Some((program, version)) => {
                versions.push((tool.name().to_owned(), version));
                program
            }
            None => {
                let remedy = format!("geodrill setup, or set {}", tool.variable());
                missing.push(format!("{} (looked in {}): {remedy}", tool.name(), search.looked_in.join("; ")));
                PathBuf::new()
            }
        }
    };
    let [minio, mc, toxiproxy] = [Tool::Minio, Tool::Mc, Tool::Toxiproxy].map(&mut tool);
    known.keep();
    let mut template = PathBuf::new();
    let mut postgres_bin = PathBuf::new();
    let search = find::postgres();
    match search.found {
        Some((folder, version)) => {
            template = postgres::template_folder(&version);
            if !template.join("PG_VERSION").is_file() {
                missing.push(format!("template cluster {}: geodrill setup", template.display()));
            }
            versions.push(("postgres".to_owned(), version));
            postgres_bin = folder;
        }
        None => {
            let (min, places) = (find::POSTGRES_MAJOR_MIN, search.looked_in.join("; "));
            missing.push(format!("PostgreSQL {min} or newer (looked in {places}): {}", postgres::remedy()));
        }
    }
    versions.sort();
    if missing.is_empty() {
        Ok(Programs { postgres_bin, minio, mc, toxiproxy, versions, template })
    } else {
        Err(missing)
    }
}

async fn make(progress: &dyn Progress) -> Result<(), String> {
    let bin = cache().join("bin");
    fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    let _lock = lock(progress).await?;
    user::make(progress).await?;
    if find::postgres().found.is_none() {
        postgres::install(progress).await?;
    }
    if let Some((folder, version)) = find::postgres().found {
        postgres::make_template(progress, &folder, &version).await?;
    }
    for tool in Tool::ALL {
        let mut known = Versions::load();
        let search = find::tool(tool, &mut known);
        known.keep();
        if search.found.is_none() {
            if std::env::var_os(tool.variable()).is_some_and(|value| !value.is_empty()) {
                return Err(search.looked_in.join("; "));
            }
            go::build(progress, tool).await?;
        }
    }
    Ok(())
}

/// The lock of setups on this cache; it ends with the file.
async fn lock(progress: &dyn Progress) -> Result<fs::File, String> {
    let path = cache().join("setup.lock");
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(said)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if !told => {
                progress.line("another setup is at work on this machine; waiting for it");
                told = true;
            }
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(said(error)),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
