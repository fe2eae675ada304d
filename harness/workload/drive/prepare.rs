//! What must be there before the load starts: tables, accounts, contended keys, an object to read.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Target,
    desk::{Desk, House, Stream},
    hand::Hand,
    sql::Sql,
    stop::stop,
};
use crate::{
    clients::postgres::{self, code},
    model::{
        Token,
        operation::{Connection, EnvironmentIndex, FileIntent, Lane, OpKind, Told},
    },
    workload::{
        Clock, Journal,
        schedule::{ACCOUNT_BALANCE, ACCOUNTS, CONTENDED_KEYS, Wanted, contended_key, object::object},
    },
};

/// Bytes of the object that reads ask for.
const OBJECT_BYTES: u32 = 256;

/// The tables. The history has no unique key: a row that is there twice must be able to be there twice.
const TABLES: &str = "
    CREATE TABLE public.geodrill_history (token text NOT NULL, key text NOT NULL, prev text);
    CREATE TABLE public.geodrill_data (key text PRIMARY KEY, token text NOT NULL, prev text, value text NOT NULL,
        object_key text, version_id text, sha256 text);
    CREATE TABLE public.geodrill_accounts (id int PRIMARY KEY, balance bigint NOT NULL);
    CREATE TABLE public.geodrill_legs (token text NOT NULL, account int NOT NULL, amount bigint NOT NULL);
";

/// Makes the tables and fills them, as the app and through its doors; each row by an ordinary operation that is recorded,
/// but for the accounts. Its stream has the environment's index as its number.
///
/// # Errors
/// What went wrong, in words. Nothing is tried twice.
pub async fn prepare(
    target: &Target,
    run: u32,
    clock: Clock,
    journal: &Arc<dyn Journal>,
    deadline: Duration,
) -> Result<(), String> {
    let (switch, _) = stop();
    let house = Arc::new(House::new(journal.clone(), clock, run, deadline, switch));
    let desk = Arc::new(Desk::new(house.clone(), target.clone()));
    let app = desk.app("prepare");
    let mut open = postgres::connect(&app, deadline).await.map_err(|failure| failure.to_string())?;
    tokio::time::timeout(deadline, tables(&mut open, &target.endpoints.reader.user))
        .await
        .map_err(|_| format!("make the tables: not within {deadline:?}"))?
        .map_err(|error| format!("make the tables: {}", code(&error)))?;
    drop(open);

    let sql = Sql::new(app, Connection::LongLived);
    let mut hand = Hand::new(&desk, Lane::Writer(0), sql, desk.files(true, Connection::LongLived));
    hand.stream = Stream::new(stream(target.environment));
    let contended = (0..CONTENDED_KEYS).map(|number| Wanted::write(OpKind::Create, contended_key(number), true, false));
    // The object comes first, so that its token is known: see `seeded_object`.
    let object = Wanted::write(OpKind::Create, "seeded-object".into(), false, true);
    for wanted in std::iter::once(object).chain(contended) {
        written(&mut hand, &wanted, OBJECT_BYTES).await?;
    }
    Ok(())
}

/// Sends a write that has to be acknowledged.
///
/// # Errors
/// What it was told instead, or why the load ends.
pub(super) async fn written(hand: &mut Hand, wanted: &Wanted, file_bytes: u32) -> Result<(), String> {
    match hand.write(wanted, file_bytes).await.map(|done| done.told) {
        Some(Told::Ok { .. }) => Ok(()),
        Some(Told::Fail { code } | Told::InDoubt { code }) => Err(format!("write the key {}: {code}", wanted.key)),
        None => Err(hand.desk.house.problem().unwrap_or_default()),
    }
}

/// The object that [`prepare`] writes for reads to ask for, and the token in it.
pub fn seeded_object(run: u32, environment: EnvironmentIndex) -> (FileIntent, Token) {
    let token = Stream::new(stream(environment)).token(run, 0);
    (object(&token, OBJECT_BYTES).0, token)
}

fn stream(environment: EnvironmentIndex) -> u32 {
    u32::from(environment.0)
}

/// Makes the tables and fills the accounts; the role `reader` may read them.
///
/// # Errors
/// Postgres's.
pub async fn tables(open: &mut PgConnection, reader: &str) -> sqlx::Result<()> {
    // Sent as one simple query, so it is one transaction. The reader's name is the platform's, quoted.
    let accounts = ACCOUNTS - 1;
    let reader = reader.replace('"', "\"\"");
    let text = format!(
        "{TABLES}
        INSERT INTO public.geodrill_accounts SELECT id, {ACCOUNT_BALANCE} FROM generate_series(0, {accounts}) AS id;
        GRANT SELECT ON public.geodrill_history, public.geodrill_data, public.geodrill_accounts, public.geodrill_legs
            TO \"{reader}\";"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(open).await.map(drop)
}
