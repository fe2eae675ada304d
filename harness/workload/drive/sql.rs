//! One attempt at Postgres: one prepared statement, one round trip, one transaction.

use sqlx::{PgConnection, Row, postgres::PgRow};
use tokio::time::{Instant, timeout_at};

use crate::{
    clients::{
        door::Entrance,
        postgres::{self, Failure, classify},
    },
    model::{
        operation::{Connection, Intent, OpKind},
        token::Seen,
    },
    workload::notices::watched,
};

/// Every write returns the server's name and the token that stood in the row before; the history row says the same. All
/// parts of a statement see one snapshot, but `ON CONFLICT DO UPDATE` and `DELETE` act on the row's latest version under
/// its lock, and what they return comes from there: so chains do not fork.
const CREATE: &str = "WITH written AS (\
     INSERT INTO public.geodrill_data AS present (key, token, prev, value, object_key, version_id, sha256) \
     VALUES ($1, $2, NULL, $3, $4, $5, $6) RETURNING prev), \
     history AS (INSERT INTO public.geodrill_history (token, key, prev) SELECT $2, $1, prev FROM written) \
     SELECT current_setting('cluster_name') AS server, (SELECT prev FROM written) AS found";

const OVERWRITE: &str = "WITH written AS (\
     INSERT INTO public.geodrill_data AS present (key, token, prev, value, object_key, version_id, sha256) \
     VALUES ($1, $2, NULL, $3, $4, $5, $6) \
     ON CONFLICT (key) DO UPDATE SET prev = present.token, token = excluded.token, value = excluded.value, \
     object_key = excluded.object_key, version_id = excluded.version_id, sha256 = excluded.sha256 RETURNING prev), \
     history AS (INSERT INTO public.geodrill_history (token, key, prev) SELECT $2, $1, prev FROM written) \
     SELECT current_setting('cluster_name') AS server, (SELECT prev FROM written) AS found";

const DELETE: &str = "WITH deleted AS (DELETE FROM public.geodrill_data WHERE key = $1 RETURNING token), \
     history AS (INSERT INTO public.geodrill_history (token, key, prev) SELECT $2, $1, (SELECT token FROM deleted)) \
     SELECT current_setting('cluster_name') AS server, (SELECT token FROM deleted) AS found";

/// The accounts are locked in the order of their numbers, or two transfers could wait for each other.
const TRANSFER: &str = "WITH locked AS (\
     SELECT id FROM public.geodrill_accounts WHERE id IN ($2, $3) ORDER BY id FOR UPDATE), \
     moved AS (UPDATE public.geodrill_accounts AS account \
     SET balance = account.balance + CASE WHEN account.id = $2 THEN -$4 ELSE $4 END \
     FROM locked WHERE account.id = locked.id), \
     legs AS (INSERT INTO public.geodrill_legs (token, account, amount) VALUES ($1, $2, -$4), ($1, $3, $4)), \
     history AS (INSERT INTO public.geodrill_history (token, key, prev) VALUES ($1, '', NULL)) \
     SELECT current_setting('cluster_name') AS server, NULL::text AS found";

const READ: &str = "SELECT current_setting('cluster_name') AS server, \
     (SELECT token FROM public.geodrill_data WHERE key = $1) AS found";

/// The statement that an operation sends.
pub fn statement_of(kind: OpKind) -> &'static str {
    match kind {
        OpKind::Create => CREATE,
        OpKind::Overwrite => OVERWRITE,
        OpKind::Delete => DELETE,
        OpKind::Transfer => TRANSFER,
        OpKind::ReadSql | OpKind::ReadFile => READ,
    }
}

/// What Postgres answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its `cluster_name`.
    pub server: String,
    /// Writes: the token before. Reads: the token there.
    pub found: Option<Seen>,
    /// The commit may not have been replicated though it should have been.
    pub local_only: bool,
}

/// One client of one door.
pub(super) struct Sql {
    target: postgres::Target,
    connection: Connection,
    open: Option<PgConnection>,
    /// The door it goes in by, past the edge; `None`: it connects to its target.
    entrance: Option<Entrance>,
}

impl Sql {
    /// A client; it connects when it first sends.
    pub fn new(target: postgres::Target, connection: Connection) -> Self {
        Self { target, connection, open: None, entrance: None }
    }

    /// From now on it goes in by this door.
    pub fn enter_by(&mut self, entrance: Entrance) {
        self.entrance = Some(entrance);
        self.open = None;
    }

    async fn connect(&self, until: Instant) -> Result<PgConnection, Failure> {
        let mut target = self.target.clone();
        if let Some(entrance) = &self.entrance {
            target.port = entrance.lend(until).await?;
        }
        postgres::connect(&target, until.saturating_duration_since(Instant::now())).await
    }

    /// Sends the operation once, on the connection there is, or on a new one.
    ///
    /// # Errors
    /// What the failure proves. After one in doubt the connection is gone.
    pub async fn send(&mut self, intent: &Intent, version_id: Option<&str>, until: Instant) -> Result<Answer, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect(until).await?,
        };
        match watched(timeout_at(until, statement(&mut open, intent, version_id))).await {
            (Ok(Ok(row)), local_only) => {
                let answer = answer(&row, local_only).map_err(|error| classify(&error))?;
                if self.connection == Connection::LongLived {
                    self.open = Some(open);
                }
                Ok(answer)
            }
            (Ok(Err(error)), _) => {
                let failure = classify(&error);
                if self.connection == Connection::LongLived && may_go_on(&error, &failure) {
                    self.open = Some(open);
                }
                Err(failure)
            }
            (Err(_), _) => Err(Failure::InDoubt("deadline".to_owned())),
        }
    }
}

/// Class 25 is "read only": after a switch the connection leads to a server that does not write, for how long nobody
/// knows, so the client connects anew, as any careful client does.
fn may_go_on(error: &sqlx::Error, failure: &Failure) -> bool {
    let read_only = || {
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code.starts_with("25"))
    };
    matches!(failure, Failure::NoEffect(_)) && !read_only()
}

async fn statement(open: &mut PgConnection, intent: &Intent, version_id: Option<&str>) -> sqlx::Result<PgRow> {
    let token = intent.token.to_string();
    let query = sqlx::query(statement_of(intent.kind));
    let query = match (intent.kind, &intent.transfer) {
        (OpKind::Create | OpKind::Overwrite, _) => {
            let file = intent.file.as_ref();
            query
                .bind(&*intent.key)
                .bind(token)
                .bind(intent.token.value())
                .bind(file.map(|file| &*file.object_key))
                .bind(version_id)
                .bind(file.map(|file| &*file.sha256))
        }
        (OpKind::Delete, _) => query.bind(&*intent.key).bind(token),
        (OpKind::Transfer, Some(transfer)) => {
            let account = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
            query.bind(token).bind(account(transfer.from)).bind(account(transfer.to)).bind(transfer.amount)
        }
        (OpKind::Transfer | OpKind::ReadSql | OpKind::ReadFile, _) => query.bind(&*intent.key),
    };
    query.fetch_one(open).await
}

/// By place, which is the same in every statement above: a name would be looked up for each answer.
fn answer(row: &PgRow, local_only: bool) -> sqlx::Result<Answer> {
    let (server, found): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Answer { server: server.to_owned(), found: found.map(Seen::from), local_only })
}
