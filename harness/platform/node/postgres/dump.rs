//! A database copied into a file and made anew from it, by Postgres's own programs: rows, owners and rights are those of one moment.

use std::path::Path;

use super::{Cluster, Place, PostgresError, SUPERUSER, Session, create::MAKE_WITHIN, helper, session::name};
use crate::os::spawn;

impl Cluster {
    /// Copies the environment's database into this file; what was there is overwritten.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn dump(&self, file: &Path) -> Result<(), PostgresError> {
        let mut command = program(&self.place, "pg_dump")?;
        command.args(["--format=custom", "--create", "--file"]).arg(file).arg(&self.place.spec.database);
        helper::run(&self.place, "pg_dump", command, MAKE_WITHIN).await
    }

    /// Makes the environment's database anew from this file. Killed in the middle it leaves a database that is not whole; a
    /// repeat makes it whole.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn put_back(&self, file: &Path) -> Result<(), PostgresError> {
        helper::end_left(&self.place).await?;
        let mut session = Session::open(&self.place, "postgres").await?;
        // Whoever is still in it is put out.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name(&self.place.spec.database));
        session.run_within("drop the database", drop, MAKE_WITHIN).await?;
        let mut command = program(&self.place, "pg_restore")?;
        command.args(["--create", "--exit-on-error", "--dbname=postgres"]).arg(file);
        helper::run(&self.place, "pg_restore", command, MAKE_WITHIN).await
    }
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
