//! Whether a deployment did what it promised: both replicas there, streaming, and holding the first write, seen with the
//! auditor's eyes in the secondary.

use std::time::Duration;

use sqlx::Row;

use crate::{
    api::{EnvironmentId, Region, environment::Endpoints},
    clients::{
        poll,
        postgres::{self, Target},
    },
    testbed::Testbed,
    workload::read,
};

/// Bound of one look.
const LOOK: Duration = Duration::from_secs(5);

/// Whether the standby streams and holds rows of the first writes, within the time given.
pub(super) async fn sql(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<(), String> {
    let look = || async {
        let port = testbed.stores(region, id).sql.ok_or_else(|| format!("no Postgres of {id} runs in {region}"))?;
        let target = Target {
            port,
            database: endpoints.database.clone(),
            login: testbed.auditor().sql,
            application: "geodrill-auditor".to_owned(),
        };
        let mut connection = postgres::connect(&target, LOOK).await.map_err(|error| error.to_string())?;
        let row = sqlx::query(
            "select pg_is_in_recovery(), (select count(*) from pg_stat_wal_receiver where status = 'streaming')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(|error| postgres::code(&error))?;
        let (standby, receivers): (bool, i64) = (row.get(0), row.get(1));
        if !standby || receivers == 0 {
            return Err(format!("{id} in {region}: standby {standby}, receivers that stream {receivers}"));
        }
        let snapshot = read::read_sql(port, &endpoints.database, &testbed.auditor().sql, LOOK).await?;
        if snapshot.history.is_empty() { Err("the first write is not there".to_owned()) } else { Ok(()) }
    };
    poll::until(format!("the replica of {id}'s rows"), within, Duration::from_millis(50), look)
        .await
        .map_err(|error| error.to_string())
}

/// Whether the other bucket holds the first object, within the time given.
pub(super) async fn files(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<(), String> {
    let look = || async {
        let port = testbed.stores(region, id).files.ok_or_else(|| format!("no file store runs in {region}"))?;
        let snapshot = read::read_files(port, &endpoints.bucket, &testbed.auditor().s3, LOOK).await?;
        if snapshot.versions.is_empty() { Err("the first object is not there".to_owned()) } else { Ok(()) }
    };
    poll::until(format!("the replica of {id}'s files"), within, Duration::from_millis(50), look)
        .await
        .map_err(|error| error.to_string())
}
