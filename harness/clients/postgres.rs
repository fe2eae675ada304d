//! One connection to one Postgres, with every option set: sqlx would otherwise read `PGHOST`, `PGOPTIONS` and others.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::api::{Address, environment::Login};

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Target {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role and password.
    pub login: Login,
    /// Shown in `pg_stat_activity`.
    pub application: String,
}

/// Why an operation was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Proven without effect: the connection was refused before anything was sent, or SQLSTATE class 22, 23, 25, 40, 42.
    NoEffect(String),
    /// Anything else: it may have had its effect.
    InDoubt(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoEffect(code) => write!(f, "{code}"),
            Self::InDoubt(code) => write!(f, "{code} (in doubt)"),
        }
    }
}

/// Opens one connection.
///
/// # Errors
/// Always [`Failure::NoEffect`]: nothing but the handshake was sent.
pub async fn connect(target: &Target, within: Duration) -> Result<PgConnection, Failure> {
    connect_at(&target.port.into(), &target.database, &target.login, &target.application, within).await
}

/// Opens one connection to a server that may be on another host.
///
/// # Errors
/// As [`connect`].
pub async fn connect_at(
    address: &Address,
    database: &str,
    login: &Login,
    application: &str,
    within: Duration,
) -> Result<PgConnection, Failure> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(address.host())
        .port(address.port())
        .database(database)
        .username(&login.user)
        .password(&login.secret)
        .application_name(application)
        .ssl_mode(PgSslMode::Disable)
        .statement_cache_capacity(64)
        // A slow statement is what a fault makes; sqlx would warn of each.
        .disable_statement_logging();
    match tokio::time::timeout(within, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Failure::NoEffect(format!("connect: {}", code(&error)))),
        Err(_) => Err(Failure::NoEffect("connect: deadline".to_owned())),
    }
}

/// What an error of a statement that was sent proves.
pub fn classify(error: &sqlx::Error) -> Failure {
    let code = code(error);
    let no_effect = error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|state| ["22", "23", "25", "40", "42"].iter().any(|class| state.starts_with(class)));
    if no_effect { Failure::NoEffect(code) } else { Failure::InDoubt(code) }
}

/// SQLSTATE and message, or what else went wrong.
pub fn code(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => {
            format!("{} {}", database.code().unwrap_or_else(|| "?????".into()), database.message())
        }
        None => error.to_string(),
    }
}
