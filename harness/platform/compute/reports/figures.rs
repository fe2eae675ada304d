//! Balances, computed from postings in one snapshot of this region's database.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;

use super::words::Word;
use crate::{
    api::{EnvironmentId, Epoch, reports::AccountFigures, route::Door},
    clients::postgres,
    platform::{compute::holder::Holder, tables},
};

/// How long the database may take to let the service in.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long all the sums may take.
const SUMS_WITHIN: Duration = Duration::from_secs(10);

/// One snapshot for all the tables, and nothing can be written in it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Computes every account's figures now; the moment before the snapshot comes back with them.
///
/// # Errors
/// What stands in the way, as a person reads it.
pub(super) async fn compute(
    holder: &Holder,
    environment: &EnvironmentId,
    epoch: Epoch,
    word: &Word,
) -> Result<(Instant, Vec<AccountFigures>), String> {
    let terms = holder.watch(environment).ok_or("no permit: unknown environment")?.borrow().clone();
    terms.allow(epoch, Door::Ro, Instant::now()).map_err(|denied| denied.to_string())?;
    let address = holder.config.sql.get(usize::from(terms.slot)).ok_or("the environment's slot is unknown here")?;
    let provision = &word.provision;
    let connected =
        postgres::connect_at(address, &provision.database, &provision.reader, "geodrill-reports", CONNECT_WITHIN);
    let mut connection = connected.await.map_err(|failure| format!("the database cannot be reached: {failure}"))?;
    let begun = Instant::now();
    let figures = timeout(SUMS_WITHIN, sums(&mut connection)).await;
    let figures = figures.map_err(|_| format!("the database has not answered within {SUMS_WITHIN:?}"))?;
    Ok((begun, figures.map_err(|error| format!("the database: {}", postgres::code(&error)))?))
}

async fn sums(connection: &mut PgConnection) -> sqlx::Result<Vec<AccountFigures>> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
    let tables: Vec<(String,)> =
        sqlx::query_as(AssertSqlSafe(tables::with_columns("account", "amount"))).fetch_all(&mut *connection).await?;
    let mut accounts: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
    for (table,) in tables {
        // The name is quoted by the database itself.
        let text = format!("SELECT account::bigint, count(*), sum(amount)::bigint FROM {table} GROUP BY 1");
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(text)).fetch_all(&mut *connection).await?;
        for (account, postings, balance) in rows {
            let figures = accounts.entry(account).or_default();
            figures.0 = figures.0.saturating_add(postings.unsigned_abs());
            figures.1 = figures.1.saturating_add(balance);
        }
    }
    let figures = |(account, (postings, balance))| AccountFigures { account, postings, balance };
    Ok(accounts.into_iter().map(figures).collect())
}
