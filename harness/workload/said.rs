//! What a region's servers say of replication themselves, asked once, past every link: claims.
//!
//! No question here touches a table or an object: reading an object at its source would make MinIO replicate it.

use aws_sdk_s3::Client;
use serde_json::Value;
use sqlx::{PgConnection, Row};

use crate::{
    clients::{
        error::chain,
        postgres::code,
        s3::{ask, unproxied},
    },
    model::claim::{FilesSays, ReceiverView, SqlSays},
};

/// The same question for both sides; of receivers the other region's, not those in other zones of its own. A standby refuses to tell where it writes, hence the cases.
const SQL: &str = "\
    SELECT pg_is_in_recovery() AS in_recovery, \
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint AS lsn, \
           extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS since_replay_s, \
           receiver.pid IS NOT NULL AS streams, receiver.replay_lag_s, receiver.behind_bytes \
      FROM (SELECT 1) AS one \
      LEFT JOIN LATERAL ( \
           SELECT pid, extract(epoch FROM replay_lag)::float8 AS replay_lag_s, \
                  CASE WHEN pg_is_in_recovery() THEN NULL \
                       ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float8 END AS behind_bytes \
             FROM pg_stat_replication WHERE state <> 'backup' AND application_name NOT LIKE '%.zone-%' \
              ORDER BY replay_lsn DESC NULLS LAST LIMIT 1 \
           ) AS receiver ON true";

/// What this Postgres says.
///
/// # Errors
/// Why it said nothing.
pub async fn sql(connection: &mut PgConnection) -> Result<SqlSays, String> {
    let row = sqlx::query(SQL).fetch_one(connection).await.map_err(|error| code(&error))?;
    read(&row).map_err(|error| code(&error))
}

fn read(row: &sqlx::postgres::PgRow) -> Result<SqlSays, sqlx::Error> {
    let lsn: Option<i64> = row.try_get("lsn")?;
    let receiver =
        ReceiverView { replay_lag_s: row.try_get("replay_lag_s")?, behind_bytes: row.try_get("behind_bytes")? };
    Ok(SqlSays {
        in_recovery: row.try_get("in_recovery")?,
        lsn: lsn.and_then(|lsn| u64::try_from(lsn).ok()),
        receiver: row.try_get::<bool, _>("streams")?.then_some(receiver),
        since_replay_s: row.try_get("since_replay_s")?,
    })
}

/// What this MinIO says of a bucket.
///
/// # Errors
/// Why it said nothing.
pub async fn files(client: &Client, bucket: &str) -> Result<FilesSays, String> {
    // Any call on a bucket whose answer the SDK hands on as it is.
    let call = client.get_bucket_policy().bucket(bucket).customize().mutate_request(|request| {
        ask(request, &[("replication-metrics", "2")]);
        unproxied(request);
    });
    match call.send().await {
        Ok(answer) => parse(answer.policy().unwrap_or_default()),
        // No rule, no word.
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {
            Ok(FilesSays::default())
        }
        Err(error) => Err(chain(&error)),
    }
}

/// The sums over all nodes of the store.
fn parse(text: &str) -> Result<FilesSays, String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| format!("replication metrics: {error}"))?;
    let nodes = answer.pointer("/queueStats/nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sum = |pointer: &str| {
        let figures: Option<Vec<f64>> = nodes.iter().map(|node| node.pointer(pointer)?.as_f64()).collect();
        figures.filter(|figures| !figures.is_empty()).map(|figures| figures.into_iter().sum())
    };
    Ok(FilesSays { queued: sum("/queueStats/curr/count"), laid_aside: sum("/mrfStats/failedCount_last5min") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_all_nodes_are_added_and_what_is_not_told_is_not_zero() {
        let check = |text: &str, queued: Option<f64>, laid_aside: Option<f64>| {
            assert_eq!(parse(text).unwrap(), FilesSays { queued, laid_aside }, "{text}");
        };
        let node = |count: u32| {
            format!(
                r#"{{"queueStats":{{"curr":{{"count":{count},"bytes":9}}}},"mrfStats":{{"failedCount_last5min":1}}}}"#
            )
        };
        let nodes = |nodes: &[String]| format!(r#"{{"queueStats":{{"nodes":[{}],"uptime":3}}}}"#, nodes.join(","));
        check(&nodes(&[node(2), node(5)]), Some(7.0), Some(2.0));
        check(&nodes(&[]), None, None);
        check(&nodes(&["{}".to_owned()]), None, None);
        check("{}", None, None);
        assert!(parse("<xml/>").is_err());
    }
}
