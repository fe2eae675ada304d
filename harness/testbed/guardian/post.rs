//! Posting a guardian.

use std::{
    fs, io,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::io::{AsyncBufReadExt, BufReader};

use super::vigil::{Charge, WATCHING};
use crate::os::files;

/// How long a guardian may take until it watches.
const READY: Duration = Duration::from_secs(10);

/// How long it may take to end once everything else has.
const LEAVE: Duration = Duration::from_secs(3);

/// A guardian at its post. Dropped, it is let go: it ends what is then left, or leaves quietly if nothing is.
pub(in crate::testbed) struct Guardian {
    held: Mutex<Option<(Child, ChildStdin)>>,
}

impl Guardian {
    /// Starts a guardian and waits until it watches.
    ///
    /// # Errors
    /// The system's, or what the guardian did instead.
    pub async fn post(binary: &Path, charge: &Charge, log: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let config = charge.folder.join("guardian.json");
        files::write_json(&config, charge)?;
        let log = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
        // As ourselves and not as the service user: it has to end what we have started, and to say so in our cache.
        let mut child = Command::new(binary)
            .args(["role", "guardian", "--config"])
            .arg(&config)
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let (Some(pipe), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the guardian has no pipes"));
        };
        let mut line = String::new();
        let mut said = BufReader::new(tokio::process::ChildStdout::from_std(said)?);
        match tokio::time::timeout(READY, said.read_line(&mut line)).await {
            Ok(Ok(_)) if line.trim() == WATCHING => Ok(Self { held: Mutex::new(Some((child, pipe))) }),
            other => {
                child.kill()?;
                let status = child.wait()?;
                Err(io::Error::other(format!("the guardian did not begin to watch: {other:?}, {line:?}, {status}")))
            }
        }
    }

    /// Lets it go, once its run has ended, and sees it off.
    pub fn dismiss(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut child, pipe)) = held else { return };
        drop(pipe);
        let deadline = Instant::now() + LEAVE;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.dismiss();
    }
}
