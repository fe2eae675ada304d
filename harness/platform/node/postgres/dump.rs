//! A database copied into a file and made anew from it, by Postgres's own programs: rows, owners and rights are those of one moment.

use std::path::Path;

use super::{
    Cluster, Place, PostgresError, SUPERUSER, Session,
    create::{MAKE_WITHIN, make_database},
    helper,
    session::name,
};
use crate::os::spawn;

impl Cluster {
    /// Copies the environment's database into this file; what was there is overwritten.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn dump(&self, file: &Path) -> Result<(), PostgresError> {
        dump(&self.place, None, file, &self.place).await
    }

    /// Makes the environment's database anew from this file, which was made of it. Killed in the middle it leaves a database that
    /// is not whole; a repeat makes it whole.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn put_back(&self, file: &Path) -> Result<(), PostgresError> {
        drop(self.drop_database().await?);
        let mut command = program(&self.place, "pg_restore")?;
        command.args(["--create", "--exit-on-error", "--dbname=postgres"]).arg(file);
        helper::run(&self.place, "pg_restore", command, MAKE_WITHIN).await
    }

    /// The same from a file that was made of another environment: everything belongs to this one's own roles, and rights are as
    /// they are given to it when it is made.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn put_in(&self, file: &Path) -> Result<(), PostgresError> {
        let mut session = self.drop_database().await?;
        make_database(&mut session, &self.place).await?;
        let mut command = program(&self.place, "pg_restore")?;
        command.args(["--no-owner", "--no-privileges", "--exit-on-error"]);
        command.arg("--role").arg(&self.place.spec.credentials.app.user);
        command.arg("--dbname").arg(&self.place.spec.database).arg(file);
        helper::run(&self.place, "pg_restore", command, MAKE_WITHIN).await
    }

    async fn drop_database(&self) -> Result<Session, PostgresError> {
        helper::end_left(&self.place).await?;
        let mut session = Session::open(&self.place, "postgres").await?;
        // Whoever is still in it is put out.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name(&self.place.spec.database));
        session.run_within("drop the database", drop, MAKE_WITHIN).await?;
        Ok(session)
    }
}

/// A moment of a database that is written to meanwhile; it can be read for as long as this is kept.
pub struct Snapshot {
    place: Place,
    session: Session,
    id: String,
}

impl Snapshot {
    /// Of now.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn open(place: &Place) -> Result<Self, PostgresError> {
        let mut session = Session::open(place, &place.spec.database).await?;
        session.run("open a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned()).await?;
        let (id,): (String,) = session.one("open a snapshot", "SELECT pg_export_snapshot()").await?;
        Ok(Self { place: place.clone(), session, id })
    }

    /// Sees what it is of.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Copies the database as it was into this file, on behalf of the environment at `by`, whose cluster is not looked at.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn dump(&self, file: &Path, by: &Place) -> Result<(), PostgresError> {
        dump(&self.place, Some(&self.id), file, by).await
    }
}

async fn dump(place: &Place, snapshot: Option<&str>, file: &Path, by: &Place) -> Result<(), PostgresError> {
    let mut command = program(place, "pg_dump")?;
    command.args(["--format=custom", "--create"]);
    if let Some(snapshot) = snapshot {
        command.arg("--snapshot").arg(snapshot);
    }
    command.arg("--file").arg(file).arg(&place.spec.database);
    helper::run(by, "pg_dump", command, MAKE_WITHIN).await
}

fn program(place: &Place, name: &str) -> Result<std::process::Command, PostgresError> {
    let port = place.ports.as_ref().ok_or(PostgresError::NoSlot(place.spec.slot))?.postgres;
    let mut command = spawn::command(place.programs.join(name), &place.home);
    command.arg("--host").arg(&place.sockets).args([
        "--port",
        &port.to_string(),
        "--username",
        SUPERUSER,
        "--no-password",
    ]);
    Ok(command)
}
