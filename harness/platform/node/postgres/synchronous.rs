//! Whom a primary waits for before it acknowledges.
//!
//! That new settings have been read by one process says nothing of the others: commits are held back by a flag that the
//! checkpointer sets, and let go by the sender of each standby. So it is tried: first nobody who exists is waited for, until a
//! commit of our own is seen to wait; then the standby is named, and that it lets our commit go shows that it has everything up
//! to there, and that whatever comes after waits for it.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Cluster, PostgresError, Session,
    place::{first_of, zone_follower},
};
use crate::{api::Zone, os::files};

/// How long a standby may take to have everything.
const WITHIN: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(2);
/// A name that no standby has.
const NOBODY: &str = "nobody";

/// A commit of our own, and the server's process that makes it.
struct Commit {
    pid: i32,
    task: JoinHandle<Result<(), PostgresError>>,
}

impl Cluster {
    /// Waits for whoever has this name from now on, `None`: for nobody; as far as settings go.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn wait_for(&self, name: Option<&str>) -> Result<(), PostgresError> {
        let names = name.map(first_of).unwrap_or_default();
        let text = format!("{}synchronous_standby_names = '{names}'\n", self.settings_text(false)?);
        files::write_private(&self.place.data.join("postgresql.conf"), text.as_bytes())?;
        let mut session = self.session().await?;
        self.reload(&mut session).await
    }

    /// Waits for a zone's standby from now on; done when it is sure that it does, and that the standby has everything that was
    /// acknowledged before.
    ///
    /// # Errors
    /// [`PostgresError`]; it may then wait for a standby that does not answer.
    pub async fn wait_surely_for(&self, zone: Zone) -> Result<(), PostgresError> {
        self.wait_for(Some(NOBODY)).await?;
        let probe = self.waiting_commit().await;
        // Customers wait too, so this comes whatever became of the probe.
        self.wait_for(Some(&zone_follower(&self.place.region, zone))).await?;
        let Commit { pid, task } = probe?;
        if let Ok(done) = timeout(WITHIN, task).await {
            return done.map_err(|error| PostgresError::State(error.to_string()))?;
        }
        let mut session = self.session().await?;
        let end = format!("SELECT pg_terminate_backend({pid})");
        session.run("end a commit that waits in vain", end).await?;
        Err(PostgresError::State(format!("the standby of zone {zone} has not got everything within {WITHIN:?}")))
    }

    /// A commit that is seen to wait.
    async fn waiting_commit(&self) -> Result<Commit, PostgresError> {
        let mut looks = self.session().await?;
        let deadline = Instant::now() + WITHIN;
        let mut commit = self.begin_commit().await?;
        loop {
            let waits = format!(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {} AND wait_event = 'SyncRep')",
                commit.pid
            );
            if looks.all::<(bool,)>("look at the commit", waits, WITHIN).await? == [(true,)] {
                return Ok(commit);
            }
            if Instant::now() >= deadline {
                return Err(PostgresError::State("a commit does not wait although it should".to_owned()));
            }
            if commit.task.is_finished() {
                // The flag was not set yet.
                commit = self.begin_commit().await?;
            }
            sleep(PERIOD).await;
        }
    }

    async fn begin_commit(&self) -> Result<Commit, PostgresError> {
        let mut session: Session = self.session().await?;
        session.run("let commits wait", "SET synchronous_commit = on".to_owned()).await?;
        let (pid,): (i32,) = session.one("read the process", "SELECT pg_backend_pid()").await?;
        let text = "SELECT pg_logical_emit_message(true, 'geodrill', '')".to_owned();
        let task = tokio::spawn(async move { session.run_within("commit", text, 3 * WITHIN).await });
        Ok(Commit { pid, task })
    }
}
