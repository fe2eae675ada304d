//! Starting a host, and listening to it until the lab stands or does not.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{order::HostConfig, talk::Said};
use crate::os::files;

/// A host that was started and is listened to. Dropped before the lab stands, the host undoes what it has done.
pub struct Front {
    child: Child,
    held: Option<ChildStdin>,
    said: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Front {
    /// Starts a host, with its log in the run's folder.
    ///
    /// # Errors
    /// The system's.
    pub fn start(config: &HostConfig) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let logs = config.folder.join("logs");
        files::private_folder(&logs)?;
        let path = config.folder.join("host.json");
        files::write_json(&path, config)?;
        let log_path = logs.join("lab.log");
        let log = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&log_path)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["role", "lab", "--config"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let held = child.stdin.take();
        let said = child.stdout.take().ok_or_else(|| io::Error::other("the host has no standard output"))?;
        Ok(Self { child, held, said: BufReader::new(said).lines(), log: log_path })
    }

    /// What the host says next. `None`: it has ended without a last word; see its log.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let line = self.said.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(said) => return Some(said),
                Err(error) => tracing::warn!(%error, "the host said something that makes no sense"),
            }
        }
    }

    /// Tells the host to undo what it has done; its last word is still to come.
    pub fn interrupt(&mut self) {
        self.held = None;
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the host has ended, which only one that failed does by itself.
    pub async fn ended(&mut self) {
        // That it cannot be waited for means that it is gone.
        self.child.wait().await.map(drop).unwrap_or_default();
    }
}
