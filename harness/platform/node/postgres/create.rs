//! Making a cluster: a primary from a template or by `initdb`, a standby by `pg_basebackup`. A folder is made beside its
//! place and renamed, so that what stands there is whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::{
    Cluster, Place, PostgresError, SUPERUSER, Scratch, Session,
    cluster::Start,
    helper,
    rejoin::remove,
    session::{literal, name},
    source::ensure_slot,
    verifier::verifier,
};
use crate::{
    clients::poll,
    os::{files, spawn},
};

/// How long `initdb` or a base backup may take.
pub(super) const MAKE_WITHIN: Duration = Duration::from_secs(120);
/// How long a new standby may take to stream.
const STREAM_WITHIN: Duration = Duration::from_secs(30);

impl Cluster {
    /// Makes the primary, with its roles, its database and the slot of its standby, and starts it, clients locked out.
    /// What is there already is kept.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn create_primary(&mut self) -> Result<(), PostgresError> {
        if !self.place.exists() {
            let fresh = self.fresh_folder()?;
            match self.place.template.clone() {
                Some(template) => copy_template(template, fresh.clone()).await?,
                None => self.initdb(&fresh).await?,
            }
            fs::rename(&fresh, &self.place.data)?;
        }
        self.start(Start::Primary).await?;
        let mut session = self.session().await?;
        make_roles(&mut session, &self.place).await
    }

    /// Makes the standby from the other region's primary, and starts it; done when it streams. A base backup begins with a
    /// checkpoint and a standby answers only from the backup's end on, so what the primary had when this began is there.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn create_replica(&mut self) -> Result<(), PostgresError> {
        if !self.place.exists() {
            helper::end_left(&self.place).await?;
            let fresh = self.fresh_folder()?;
            self.base_backup(&fresh).await?;
            fs::rename(&fresh, &self.place.data)?;
        }
        self.start(Start::Standby).await?;
        let place = &self.place;
        poll::until("the receiver to stream", STREAM_WITHIN, Duration::from_millis(10), || async {
            let mut session = Session::open(place, "postgres").await.map_err(|error| error.to_string())?;
            let (streams,): (bool,) = session
                .one(
                    "look at the receiver",
                    "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')",
                )
                .await
                .map_err(|error| error.to_string())?;
            if streams { Ok(()) } else { Err("it does not stream".to_owned()) }
        })
        .await?;
        Ok(())
    }

    /// Gives the other region what it needs to follow this primary: its slot, and the rights of a rewind.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn let_follow(&self) -> Result<(), PostgresError> {
        let mut session = self.session().await?;
        let_follow(&mut session, &self.place).await
    }

    /// Ends whoever follows by the other region's slot, and drops it: it would keep log for ever.
    ///
    /// # Errors
    /// [`PostgresError`]; the slot may have been taken again meanwhile.
    pub async fn end_following(&self) -> Result<(), PostgresError> {
        let mut session = self.session().await?;
        let slot = literal(&Place::slot_of(&self.place.peer));
        let end = format!(
            "SELECT pg_terminate_backend(active_pid, 2000) FROM pg_replication_slots WHERE active AND slot_name = {slot}"
        );
        session.run("end the sender", end).await?;
        let drop =
            format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {slot}");
        session.run("drop the standby's slot", drop).await
    }

    /// Stops it, if it runs, and removes its folder; nothing of it is left.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn remove(&mut self) -> Result<(), PostgresError> {
        // What a killed node has left running.
        self.adopt();
        self.stop().await?;
        helper::end_left(&self.place).await?;
        for folder in [self.place.data.with_extension("new"), self.place.data.clone()] {
            remove(&folder)?;
        }
        Ok(())
    }

    /// Removes what stands beside the folder of a cluster that was removed: logs, the receiver's password, what was left of a copy of it.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn remove_notes(&self) -> Result<(), PostgresError> {
        Scratch::clear(&self.place).await?;
        let place = &self.place;
        for path in [&place.data.with_extension("old"), &place.log, &place.scratch().log, &place.passfile] {
            remove(path)?;
        }
        Ok(())
    }

    /// An empty folder beside the cluster's place; what an attempt before has left there is removed.
    pub(super) fn fresh_folder(&self) -> io::Result<PathBuf> {
        let fresh = self.place.data.with_extension("new");
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        files::private_folder(&fresh)?;
        Ok(fresh)
    }

    async fn initdb(&self, fresh: &Path) -> Result<(), PostgresError> {
        let arguments = [
            "--wal-segsize=4",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=peer",
            "--auth-host=scram-sha-256",
            "--no-instructions",
            "-U",
            SUPERUSER,
            "-D",
        ];
        let mut command = spawn::command(self.place.programs.join("initdb"), &self.place.home);
        command.args(arguments).arg(fresh);
        finish("initdb", command).await
    }

    pub(super) async fn base_backup(&self, fresh: &Path) -> Result<(), PostgresError> {
        let place = &self.place;
        self.write_passfile()?;
        let source = place.source().ok_or(PostgresError::NoSlot(place.spec.slot))?;
        let mut command = spawn::command(place.programs.join("pg_basebackup"), &place.home);
        // Flushing a thousand small files takes longer than copying them. What would be lost with the machine's power is
        // made anew from the primary; what the standby writes afterwards it flushes.
        command.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-password", "--slot"]);
        command.arg(place.own_slot()).arg("-d").arg(source).arg("-D").arg(fresh);
        helper::run(place, "pg_basebackup", command, MAKE_WITHIN).await
    }
}

/// Runs a program to its end.
async fn finish(program: &'static str, command: std::process::Command) -> Result<(), PostgresError> {
    output(program, command, MAKE_WITHIN).await.map(drop)
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`PostgresError::Program`] with what it said.
pub(super) async fn output(
    program: &'static str,
    command: std::process::Command,
    within: Duration,
) -> Result<String, PostgresError> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let failed = |why: String| PostgresError::Program { program, why };
    let output = match tokio::time::timeout(within, command.output()).await {
        Ok(output) => output.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("not done within {within:?}"))),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn copy_template(template: PathBuf, fresh: PathBuf) -> Result<(), PostgresError> {
    let copied = tokio::task::spawn_blocking(move || copy_folder(&template, &fresh)).await;
    copied.map_err(|error| io::Error::other(error.to_string()))??;
    Ok(())
}

/// Copies a data folder: every folder and file is the service user's alone. Symbolic links (tablespaces) have no place in
/// a template.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    files::private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            if entry.file_name() == "postmaster.pid" {
                return Err(io::Error::other("the template was not stopped cleanly: it has a postmaster.pid"));
            }
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            files::give(&target)?;
        } else {
            return Err(io::Error::other(format!("a template may not hold {}", entry.path().display())));
        }
    }
    Ok(())
}

async fn make_roles(session: &mut Session, place: &Place) -> Result<(), PostgresError> {
    let credentials = &place.spec.credentials;
    for (login, rights) in [
        (&place.auditor, "SUPERUSER"),
        (&credentials.app, "NOSUPERUSER"),
        (&credentials.reader, "NOSUPERUSER"),
        (&credentials.sql_replication, "REPLICATION"),
    ] {
        let exists = format!("SELECT FROM pg_roles WHERE rolname = {}", literal(&login.user));
        let exists = format!("SELECT EXISTS ({exists})");
        let verb = if truth(session, "look for a role", exists).await? { "ALTER" } else { "CREATE" };
        let verifier = verifier(&login.secret).map_err(|error| PostgresError::State(error.to_string()))?;
        let (user, secret) = (name(&login.user), literal(&verifier));
        session.run("make a role", format!("{verb} ROLE {user} LOGIN {rights} PASSWORD {secret}")).await?;
    }
    let reader = name(&credentials.reader.user);
    session
        .run(
            "let the reader read",
            format!("GRANT pg_read_all_data TO {reader}; ALTER ROLE {reader} SET default_transaction_read_only = on"),
        )
        .await?;
    make_database(session, place).await?;
    if place.spec.kind.has_replica() { let_follow(session, place).await } else { Ok(()) }
}

/// The database, its owner and who may connect to it.
pub(super) async fn make_database(session: &mut Session, place: &Place) -> Result<(), PostgresError> {
    let credentials = &place.spec.credentials;
    let (app, reader) = (name(&credentials.app.user), name(&credentials.reader.user));
    let database = name(&place.spec.database);
    let exists = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {})", literal(&place.spec.database));
    if !truth(session, "look for the database", exists).await? {
        session.run("make the database", format!("CREATE DATABASE {database} OWNER {app}")).await?;
    }
    session
        .run(
            "grant the database",
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {reader}"),
        )
        .await
}

async fn let_follow(session: &mut Session, place: &Place) -> Result<(), PostgresError> {
    session.run("let a returning cluster be rewound", may_rewind(place)).await?;
    ensure_slot(session, &Place::slot_of(&place.peer)).await
}

/// What `pg_rewind` and the look at the live side before it need; the session's database is the one they connect to.
fn may_rewind(place: &Place) -> String {
    let user = name(&place.spec.credentials.sql_replication.user);
    let functions = [
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
    ];
    let grants = functions.map(|function| format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {user}; "));
    format!("GRANT pg_checkpoint TO {user}; GRANT CONNECT ON DATABASE postgres TO {user}; {}", grants.concat())
}

async fn truth(session: &mut Session, what: &'static str, sql: String) -> Result<bool, PostgresError> {
    let rows: Vec<(bool,)> = session.all(what, sql, Duration::from_secs(5)).await?;
    Ok(rows.first().is_some_and(|(truth,)| *truth))
}
