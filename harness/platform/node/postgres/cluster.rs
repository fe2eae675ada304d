//! A cluster's life: started as what it shall be, opened, fenced, stopped.

use std::{io, time::Duration};

use super::{
    Access, Place, PostgresError, Session,
    place::ident,
    process::{Listed, Postmaster},
    session::literal,
    text::{hba, passfile, settings},
};
use crate::{clients::poll, os::files};

/// How long a server may take to accept connections: crash recovery, or a standby's way to consistency.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long changed access rules may take to be in force.
const ACCESS_WITHIN: Duration = Duration::from_secs(3);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// When the postmaster of this session last read its configuration.
const RELOADED: (&str, &str) = ("read the time of the last reload", "SELECT pg_conf_load_time()::text");

/// What a cluster is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The primary, clients locked out.
    Primary,
    /// A standby of the other region.
    Standby,
}

/// One cluster.
pub struct Cluster {
    /// Its fixed facts.
    pub place: Place,
    postmaster: Option<Postmaster>,
    /// `None`: not known.
    access: Option<Access>,
}

impl Cluster {
    /// A cluster that is not known to run.
    pub fn new(place: Place) -> Self {
        Self { place, postmaster: None, access: None }
    }

    /// Takes over a postmaster that a killed node has left; false if there is none. Whom it lets in is not known.
    pub fn adopt(&mut self) -> bool {
        let Some(ports) = self.place.ports.as_ref().filter(|_| self.postmaster.is_none()) else { return false };
        self.postmaster = Postmaster::adopt(&self.place, Listed::Store(ports.postgres));
        self.postmaster.is_some()
    }

    /// Whether it runs; if it has ended since last asked, that is noted and logged.
    pub fn is_running(&mut self) -> bool {
        let Some(postmaster) = &mut self.postmaster else { return false };
        if postmaster.is_running() {
            return true;
        }
        let pid = postmaster.identity().pid;
        tracing::warn!(environment = %self.place.environment, pid, "postgres has ended");
        if let Err(error) = crate::os::inventory::unregister(&self.place.site, pid) {
            tracing::warn!(%error, "cannot take a process out of the inventory");
        }
        self.postmaster = None;
        self.access = None;
        false
    }

    /// Who is let in, as far as is known.
    pub fn access(&self) -> Option<Access> {
        self.access
    }

    /// A connection to the maintenance database.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn session(&self) -> Result<Session, PostgresError> {
        Session::open(&self.place, "postgres").await
    }

    /// Starts it, and waits until it answers. A primary lets in no client yet.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn start(&mut self, start: Start) -> Result<(), PostgresError> {
        if self.is_running() {
            return Ok(());
        }
        let port = self.port()?;
        let access = if start == Start::Primary { Access::Fenced } else { Access::Nobody };
        self.configure(start == Start::Standby)?;
        self.write_access(access)?;
        let signal = self.place.data.join("standby.signal");
        match start {
            Start::Standby => files::write_private(&signal, b"")?,
            Start::Primary => match std::fs::remove_file(&signal) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            },
        }
        tracing::info!(environment = %self.place.environment, ?start, port, "starting postgres");
        self.postmaster = Some(Postmaster::start(&self.place, Listed::Store(port))?);
        self.access = Some(access);
        let ready = self.ready().await;
        // From here on whoever else starts it gets a standby; the server reads this file at its start alone.
        files::write_private(&signal, b"")?;
        ready
    }

    /// Stops a standby and lets it become the primary from this position of the log, whatever it has received past it.
    pub(super) async fn recover_to(&mut self, lsn: &str) -> Result<(), PostgresError> {
        self.stop().await?;
        let text = settings(&self.place, self.port()?, false);
        let text = format!("{text}recovery_target_lsn = '{lsn}'\nrecovery_target_action = 'promote'\n");
        files::write_private(&self.place.data.join("postgresql.conf"), text.as_bytes())?;
        self.postmaster = Some(Postmaster::start(&self.place, Listed::Store(self.port()?))?);
        self.access = Some(Access::Nobody);
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), PostgresError> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            if !self.is_running() {
                return Err(PostgresError::NotRunning);
            }
            match self.session().await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(PERIOD).await,
            }
        }
    }

    /// Stops it, if it runs.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn stop(&mut self) -> Result<(), PostgresError> {
        if let Some(postmaster) = &mut self.postmaster {
            self.access = None;
            // Kept until it has ended: only whoever has started it can take its exit status.
            postmaster.stop(&self.place).await?;
            self.postmaster = None;
            tracing::info!(environment = %self.place.environment, "postgres stopped");
        }
        Ok(())
    }

    /// Stops it, if it runs; whoever starts it again lets in no client. No reload comes first: a fast stop takes no new
    /// session, and has ended those there are before the shutdown record is written.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn stop_locked(&mut self) -> Result<(), PostgresError> {
        if self.is_running() {
            self.access = None;
            self.write_access(Access::Fenced)?;
        }
        self.stop().await
    }

    /// Lets in those given, and nobody else: new rules are in force, and sessions that they do not allow have ended, when
    /// this returns.
    ///
    /// # Errors
    /// [`PostgresError`]; who is let in is then not known, and the rules on disk are the new ones.
    pub async fn let_in(&mut self, access: Access) -> Result<(), PostgresError> {
        self.access = None;
        self.write_access(access)?;
        let mut session = self.session().await?;
        self.reload(&mut session).await?;
        if access != Access::Open {
            self.end_sessions(&mut session).await?;
        }
        self.access = Some(access);
        tracing::info!(environment = %self.place.environment, ?access, "access");
        Ok(())
    }

    /// Reloads, and waits until a connection made after it has the new configuration: then the postmaster has it too.
    pub(super) async fn reload(&self, session: &mut Session) -> Result<(), PostgresError> {
        let (before,): (String,) = session.one(RELOADED.0, RELOADED.1).await?;
        session.run("reload", "SELECT pg_reload_conf()".to_owned()).await?;
        poll::until("the new configuration to be in force", ACCESS_WITHIN, PERIOD, || async {
            let mut fresh = self.session().await.map_err(|error| error.to_string())?;
            let (after,): (String,) = fresh.one(RELOADED.0, RELOADED.1).await.map_err(|error| error.to_string())?;
            if after == before { Err("not reloaded yet".to_owned()) } else { Ok(()) }
        })
        .await?;
        Ok(())
    }

    /// Ends the clients' sessions, until none is seen.
    async fn end_sessions(&self, session: &mut Session) -> Result<(), PostgresError> {
        let credentials = &self.place.spec.credentials;
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename IN ({}, {})",
            literal(&credentials.app.user),
            literal(&credentials.reader.user)
        );
        let deadline = tokio::time::Instant::now() + ACCESS_WITHIN;
        loop {
            let left: Vec<(i64,)> = session.all("end clients' sessions", sql.clone(), ACCESS_WITHIN).await?;
            let left = left.first().map_or(0, |(count,)| *count);
            if left == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(PostgresError::State(format!("{left} sessions of clients do not end")));
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Writes settings, identities and the receiver's password.
    pub(super) fn configure(&self, follow: bool) -> Result<(), PostgresError> {
        let data = &self.place.data;
        self.write_passfile()?;
        self.write_settings(follow)?;
        files::write_private(&data.join("postgresql.auto.conf"), b"")?;
        files::write_private(&data.join("pg_ident.conf"), ident().as_bytes())?;
        Ok(())
    }

    /// Writes the settings alone.
    pub(super) fn write_settings(&self, follow: bool) -> Result<(), PostgresError> {
        let text = self.settings_text(follow)?;
        Ok(files::write_private(&self.place.data.join("postgresql.conf"), text.as_bytes())?)
    }

    /// The settings.
    pub(super) fn settings_text(&self, follow: bool) -> Result<String, PostgresError> {
        Ok(settings(&self.place, self.port()?, follow))
    }

    pub(super) fn write_passfile(&self) -> io::Result<()> {
        let Some(source) = self.place.followed() else { return Ok(()) };
        let replication = &self.place.spec.credentials.sql_replication;
        let line = passfile(source, &replication.user, &replication.secret);
        files::write_private(&self.place.passfile, line.as_bytes())
    }

    fn write_access(&self, access: Access) -> io::Result<()> {
        files::write_private(&self.place.data.join("pg_hba.conf"), hba(&self.place, access).as_bytes())
    }

    fn port(&self) -> Result<u16, PostgresError> {
        Ok(self.place.ports.as_ref().ok_or(PostgresError::NoSlot(self.place.spec.slot))?.postgres)
    }
}
