//! The workload's tables in one REPEATABLE READ snapshot.

use std::{borrow::Cow, time::Duration};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{
    api::environment::Login,
    clients::postgres::{self, code},
    model::{
        observation::{DataRow, HistoryRow, Leg, ObjectReference, SqlSnapshot},
        token::Seen,
    },
};

/// Reads the tables of the Postgres at `127.0.0.1:port`. A table that is not there holds no row.
///
/// # Errors
/// Why it could not be read whole within `within`.
pub async fn read_sql(port: u16, database: &str, auditor: &Login, within: Duration) -> Result<SqlSnapshot, String> {
    let target = postgres::Target {
        port,
        database: database.to_owned(),
        login: auditor.clone(),
        application: "geodrill observation".to_owned(),
    };
    let reading = async {
        let mut open = postgres::connect(&target, within).await.map_err(|failure| failure.to_string())?;
        snapshot(&mut open).await
    };
    tokio::time::timeout(within, reading).await.unwrap_or_else(|_| Err(format!("not read whole within {within:?}")))
}

async fn snapshot(open: &mut PgConnection) -> Result<SqlSnapshot, String> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    sqlx::raw_sql(begin).execute(&mut *open).await.map_err(|error| code(&error))?;
    let mut snapshot = SqlSnapshot::default();
    let history = &mut snapshot.history;
    table(open, "geodrill_history", "token, key, prev", |fields| {
        let [token, key, prev] = fields;
        history.push(HistoryRow { token: seen(token), key: text(key), prev: prev.map(|prev| Seen::from(&*prev)) });
        Ok(())
    })
    .await?;
    let data = &mut snapshot.data;
    table(open, "geodrill_data", "key, token, value, object_key, version_id, sha256", |fields| {
        let [key, token, value, object_key, version_id, sha256] = fields;
        let object = object_key.map(|object_key| ObjectReference {
            object_key: object_key.into(),
            version_id: text(version_id),
            sha256: text(sha256),
        });
        data.push(DataRow { key: text(key), token: seen(token), value: text(value), object });
        Ok(())
    })
    .await?;
    let accounts = &mut snapshot.accounts;
    table(open, "geodrill_accounts", "id, balance", |[account, balance]| {
        accounts.push((number(account)?, number(balance)?));
        Ok(())
    })
    .await?;
    let legs = &mut snapshot.legs;
    table(open, "geodrill_legs", "token, account, amount", |[token, account, amount]| {
        legs.push(Leg { token: seen(token), account: number(account)?, amount: number(amount)? });
        Ok(())
    })
    .await?;
    Ok(snapshot)
}

/// Copies out one table and hands each row's fields to `row`.
async fn table<const FIELDS: usize>(
    open: &mut PgConnection,
    table: &str,
    columns: &str,
    mut row: impl FnMut([Option<Cow<'_, str>>; FIELDS]) -> Result<(), String>,
) -> Result<(), String> {
    let failed = |error: sqlx::Error| format!("{table}: {}", code(&error));
    let there = sqlx::query(AssertSqlSafe(format!("SELECT to_regclass('public.{table}') IS NOT NULL AS there")))
        .fetch_one(&mut *open)
        .await
        .and_then(|row| row.try_get::<bool, _>("there"))
        .map_err(failed)?;
    if !there {
        return Ok(());
    }
    let copy = format!("COPY (SELECT {columns} FROM public.{table}) TO STDOUT");
    let mut chunks = open.copy_out_raw(&copy).await.map_err(failed)?;
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
        rest.extend_from_slice(&chunk);
        let mut begin = 0;
        while let Some(end) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&rest[begin..begin + end]);
            row(fields(&line).ok_or_else(|| format!("{table}: unexpected row `{line}`"))?)?;
            begin += end + 1;
        }
        rest.drain(..begin);
    }
    Ok(())
}

/// Splits a line of COPY's text format.
fn fields<const FIELDS: usize>(line: &str) -> Option<[Option<Cow<'_, str>>; FIELDS]> {
    let mut fields = [const { None }; FIELDS];
    let mut parts = line.split('\t');
    for field in &mut fields {
        let part = parts.next()?;
        *field = (part != "\\N").then(|| unescape(part));
    }
    parts.next().is_none().then_some(fields)
}

fn unescape(part: &str) -> Cow<'_, str> {
    if !part.contains('\\') {
        return Cow::Borrowed(part);
    }
    let mut text = String::with_capacity(part.len());
    let mut letters = part.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(text)
}

/// The tables allow no NULL here; one that stands there all the same was put there by somebody else.
fn text(field: Option<Cow<'_, str>>) -> Box<str> {
    field.unwrap_or_default().into()
}

fn seen(field: Option<Cow<'_, str>>) -> Seen {
    Seen::from(&*field.unwrap_or_default())
}

fn number<N: std::str::FromStr>(field: Option<Cow<'_, str>>) -> Result<N, String> {
    let field = field.unwrap_or_default();
    field.parse().map_err(|_| format!("`{field}` is not a number of its kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const FIELDS: usize>(line: &str, expected: Option<[Option<&str>; FIELDS]>) {
        assert_eq!(fields(line), expected.map(|fields| fields.map(|field| field.map(Cow::Borrowed))), "{line}");
    }

    #[test]
    fn lines_of_copy_are_split_and_unescaped() {
        check("a\tb", Some([Some("a"), Some("b")]));
        check("\\N\t", Some([None, Some("")]));
        check("a\\tb\t\\\\N", Some([Some("a\tb"), Some("\\N")]));
        check("one\\ntwo", Some([Some("one\ntwo")]));
        check("too few", None::<[_; 2]>);
        check("too\tmany", None::<[_; 1]>);
    }
}
