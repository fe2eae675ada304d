//! The node's own connection to a cluster, by the Unix socket.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe, Connection, Executor, FromRow, PgConnection,
    postgres::{PgConnectOptions, PgRow, PgSslMode},
};

use super::{Place, PostgresError, SUPERUSER};
use crate::clients::postgres::code;

/// Longest any statement may take, unless said otherwise.
const STATEMENT_WITHIN: Duration = Duration::from_secs(5);

/// A connection as superuser.
pub struct Session {
    connection: PgConnection,
}

impl Session {
    /// Connects to a database.
    ///
    /// # Errors
    /// [`PostgresError::Statement`].
    pub async fn open(place: &Place, database: &str) -> Result<Self, PostgresError> {
        let port = place.ports.as_ref().ok_or(PostgresError::NoSlot(place.spec.slot))?.postgres;
        let options = PgConnectOptions::new_without_pgpass().socket(&place.sockets).port(port).username(SUPERUSER);
        Self::connect(options.database(database)).await
    }

    /// Connects to the cluster that is followed as the receiver's role, which may look and replicate, no more.
    ///
    /// # Errors
    /// [`PostgresError::Statement`].
    pub async fn of_source(place: &Place) -> Result<Self, PostgresError> {
        let source = place.followed().ok_or(PostgresError::NoSlot(place.spec.slot))?;
        let login = &place.spec.credentials.sql_replication;
        let options =
            PgConnectOptions::new_without_pgpass().host(source.host()).port(source.port()).database("postgres");
        Self::connect(options.username(&login.user).password(&login.secret)).await
    }

    async fn connect(options: PgConnectOptions) -> Result<Self, PostgresError> {
        let options =
            options.application_name("geodrill node").ssl_mode(PgSslMode::Disable).statement_cache_capacity(16);
        // What the node itself changes needs no standby, and may not wait for one that is gone.
        let options = options.options([("synchronous_commit", "local")]);
        let failed = |why: String| PostgresError::Statement { what: "connect", why };
        match tokio::time::timeout(STATEMENT_WITHIN, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => Ok(Self { connection }),
            Ok(Err(error)) => Err(failed(code(&error))),
            Err(_) => Err(failed("deadline".to_owned())),
        }
    }

    /// Runs statements whose results do not matter. The text may hold names and literals quoted by [`name`] and
    /// [`literal`]; it is never logged.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`.
    pub async fn run(&mut self, what: &'static str, sql: String) -> Result<(), PostgresError> {
        self.run_within(what, sql, STATEMENT_WITHIN).await
    }

    /// As [`Self::run`], with another deadline.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`.
    pub async fn run_within(&mut self, what: &'static str, sql: String, within: Duration) -> Result<(), PostgresError> {
        let done = self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql)));
        bounded(what, within, async { done.await.map(drop) }).await
    }

    /// Hands each row of a query with one column of text to `take`, without holding all of them at once.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`, or what `take` said.
    pub async fn each(
        &mut self,
        what: &'static str,
        sql: String,
        within: Duration,
        mut take: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<(), PostgresError> {
        bounded(what, within, async {
            let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                take(&row)?;
            }
            Ok(())
        })
        .await
    }

    /// Runs a query that answers with one row.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`.
    pub async fn one<T>(&mut self, what: &'static str, sql: &'static str) -> Result<T, PostgresError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.one_within(what, sql, STATEMENT_WITHIN).await
    }

    /// As [`Self::one`], with another deadline.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`.
    pub async fn one_within<T>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        within: Duration,
    ) -> Result<T, PostgresError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        bounded(what, within, sqlx::query_as(sql).fetch_one(&mut self.connection)).await
    }

    /// Runs a query that answers with any number of rows.
    ///
    /// # Errors
    /// [`PostgresError::Statement`] with `what`.
    pub async fn all<T>(&mut self, what: &'static str, sql: String, within: Duration) -> Result<Vec<T>, PostgresError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        bounded(what, within, sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut self.connection)).await
    }
}

async fn bounded<T>(
    what: &'static str,
    within: Duration,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, PostgresError> {
    let failed = |why: String| PostgresError::Statement { what, why };
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer.map_err(|error| failed(code(&error))),
        Err(_) => Err(failed("deadline".to_owned())),
    }
}

/// A name in SQL.
pub fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A literal in SQL, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_quotes() {
        assert_eq!(name(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal(r"it's \ here"), r"E'it\'s \\ here'");
    }
}
