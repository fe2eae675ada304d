//! A postmaster: started as a child, adopted from a node that was killed, watched and stopped.

use std::{
    fs::OpenOptions,
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::Place;
use crate::{
    api::site::ProcessEntry,
    clients::poll,
    os::{files, inventory, process::Identity, spawn},
};

/// How long a fast stop may take before an immediate one.
const FAST_WITHIN: Duration = Duration::from_secs(8);
/// How long an immediate stop may take.
const IMMEDIATE_WITHIN: Duration = Duration::from_secs(3);

/// At every how-many-th look at a server that is to end, those who have not introduced themselves are sent away.
const STRANGERS_EVERY: u32 = 20;

/// What went wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The node has no such slot of ports.
    #[error("there is no slot {0} on this node")]
    NoSlot(u16),
    /// The system's.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A program failed.
    #[error("{program} failed: {why}")]
    Program {
        /// Name.
        program: &'static str,
        /// What it said.
        why: String,
    },
    /// A statement failed.
    #[error("{what}: {why}")]
    Statement {
        /// What it was for.
        what: &'static str,
        /// SQLSTATE and message.
        why: String,
    },
    /// Not in time.
    #[error("{0}")]
    TimedOut(#[from] poll::TimedOut),
    /// It was not shut down in good order, so that its log has no end to be relied upon.
    #[error("it was not shut down in good order: {0}")]
    NotClean(String),
    /// It runs no longer.
    #[error("the server is not running")]
    NotRunning,
    /// The cluster is not in the state that the action needs.
    #[error("{0}")]
    State(String),
}

/// How a postmaster stands in the site's inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// As the environment's store, with the port it listens on.
    Store(u16),
    /// As a passing helper that nobody else reaches.
    Scratch,
}

/// A running postmaster.
pub enum Postmaster {
    /// Our own child, which must be reaped.
    Child(Child, Identity),
    /// Started by a node that is gone.
    Adopted(Identity),
}

impl Postmaster {
    /// Starts one, and enters it in the site's inventory.
    ///
    /// # Errors
    /// The system's.
    pub fn start(place: &Place, listed: Listed) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&place.log)?;
        files::give(&place.log)?;
        let mut command = spawn::command(place.programs.join("postgres"), &place.home);
        command.arg("-D").arg(&place.data).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A terminal's Ctrl-C is the node's to answer, not the servers'.
        command.process_group(0);
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let Some(identity) = Identity::of(pid) else {
            let status = child.wait()?;
            return Err(io::Error::other(format!("postgres ended at once: {status}")));
        };
        register(place, listed, identity)?;
        Ok(Self::Child(child, identity))
    }

    /// The postmaster that a killed node has left on this data folder, if it still runs.
    pub fn adopt(place: &Place, listed: Listed) -> Option<Self> {
        let text = std::fs::read_to_string(place.data.join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        let identity = Identity::of(pid)?;
        runs_on(pid, &place.data).then_some(())?;
        if let Err(error) = register(place, listed, identity) {
            tracing::warn!(environment = %place.environment, %error, "cannot enter a process in the inventory");
        }
        Some(Self::Adopted(identity))
    }

    /// Its identity.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Child(_, identity) | Self::Adopted(identity) => *identity,
        }
    }

    /// Whether it still runs; a child that has ended is reaped.
    pub fn is_running(&mut self) -> bool {
        match self {
            Self::Child(child, _) => matches!(child.try_wait(), Ok(None)),
            Self::Adopted(identity) => identity.is_alive(),
        }
    }

    /// Stops it: fast, and if that takes too long at once. The inventory loses it.
    ///
    /// # Errors
    /// The system's, or that it would not end.
    pub async fn stop(&mut self, place: &Place) -> Result<(), PostgresError> {
        self.identity().signal(Signal::SIGINT)?;
        if self.ended(FAST_WITHIN).await.is_err() {
            tracing::warn!(environment = %place.environment, "fast stop takes too long");
            return self.stop_at_once(place).await;
        }
        inventory::unregister(&place.site, self.identity().pid)?;
        Ok(())
    }

    /// Stops it without a shutdown record; whatever does not heed is killed. The inventory loses it.
    ///
    /// # Errors
    /// The system's, or that it would not end.
    pub async fn stop_at_once(&mut self, place: &Place) -> Result<(), PostgresError> {
        self.identity().signal(Signal::SIGQUIT)?;
        if self.ended(IMMEDIATE_WITHIN).await.is_err() {
            tracing::warn!(environment = %place.environment, "immediate stop takes too long");
            self.identity().signal_tree(Signal::SIGKILL)?;
            self.ended(IMMEDIATE_WITHIN).await?;
        }
        inventory::unregister(&place.site, self.identity().pid)?;
        Ok(())
    }

    async fn ended(&mut self, within: Duration) -> Result<(), poll::TimedOut> {
        let mut looks = 0_u32;
        poll::until("the server's end", within, Duration::from_millis(5), || {
            let running = self.is_running();
            looks += 1;
            if running && looks.is_multiple_of(STRANGERS_EVERY) {
                self.dismiss_strangers();
            }
            async move { if running { Err("still running") } else { Ok(()) } }
        })
        .await
    }

    /// Ends backends that still wait for their client's first word. The postmaster signals none of those that came after
    /// the order to stop, and waits for each until its client speaks or `authentication_timeout` is over; a client on a
    /// link that carries nothing never does. They have not set their title yet, so they bear the postmaster's own.
    fn dismiss_strangers(&self) {
        let postmaster = self.identity();
        let own = command_line(postmaster.pid);
        for child in postmaster.tree().into_iter().skip(1).filter(|child| command_line(child.pid) == own) {
            if let Err(error) = child.signal(Signal::SIGTERM) {
                tracing::debug!(pid = child.pid, %error, "a waiting backend was not ended");
            }
        }
    }
}

/// A process's command line as the kernel has it; empty once it is gone.
fn command_line(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn register(place: &Place, listed: Listed, identity: Identity) -> io::Result<()> {
    let (service, environment, port, data) = match listed {
        Listed::Store(port) => ("postgres", Some(place.environment.clone()), Some(port), Some(place.data.clone())),
        Listed::Scratch => ("scratch", None, None, None),
    };
    let Identity { pid, start_ticks } = identity;
    inventory::register(
        &place.site,
        ProcessEntry { service: service.to_owned(), environment, pid, start_ticks, port, data },
    )
}

/// Whether the process is a postmaster on this folder, not a later process of the same pid.
fn runs_on(pid: i32, data: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut arguments = line.split(|byte| *byte == 0);
    let is_postgres = arguments.next().is_some_and(|program| program.ends_with(b"postgres"));
    is_postgres && arguments.any(|argument| argument == data.as_os_str().as_encoded_bytes())
}
