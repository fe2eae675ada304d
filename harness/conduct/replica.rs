//! Replicas, seen with the auditor's eyes: whether a deployment did what it promised (both there, streaming, holding the
//! first write), whether a region that came back follows, has caught up, and which way replication runs.

use std::time::Duration;

use sqlx::Row;

use super::seats;
use crate::{
    api::{EnvironmentId, Region, environment::Endpoints},
    clients::{poll, postgres},
    testbed::Testbed,
    workload::read,
};

/// Longest wait for the first write to be seen in the secondary.
const FIRST_WRITE: Duration = Duration::from_secs(15);
/// Bound of one look.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks.
const PERIOD: Duration = Duration::from_millis(50);

/// Whether a primary has a follower beyond its region.
const FOLLOWERS: &str = r"select exists (select from pg_replication_slots where slot_name not like '%\_zone\_%')
    or exists (select from pg_stat_replication where application_name not like '%.zone-%')";

/// Whether the replica of rows and that of files are there, stream and hold the first writes.
pub(super) async fn both(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> [bool; 2] {
    let (sql, files) = tokio::join!(
        sql(testbed, region, id, endpoints, FIRST_WRITE),
        files(testbed, region, id, endpoints, FIRST_WRITE),
    );
    for why in [&sql, &files].into_iter().filter_map(|result| result.as_ref().err()) {
        tracing::warn!(why, "a replica was not seen");
    }
    [sql.is_ok(), files.is_ok()]
}

/// Whatever there is of a replica of an environment that is promised none: stores in the second region, or something in the
/// first, which serves it, that leads there. And what could not be looked at.
pub(super) async fn traces(
    testbed: &dyn Testbed,
    regions: [&Region; 2],
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> (Vec<String>, Vec<String>) {
    let ([own, other], bucket) = (regions, &endpoints.bucket);
    let s3 = testbed.auditor().s3;
    let (mut found, mut unlooked) = (Vec::new(), Vec::new());
    if seats::any_runs(testbed, other, id) {
        found.push(format!("a Postgres of {id} runs in {other}"));
    }
    if testbed.sql_data(other, id).is_some_and(|folder| folder.exists()) {
        found.push(format!("there is a data folder of {id} in {other}"));
    }
    let of = |region| files_port(testbed, region, id, endpoints);
    let held = async { read::has_bucket(of(other).await?, bucket, &s3, LOOK).await };
    let ruled = async { read::replicates(of(own).await?, bucket, &s3, LOOK).await };
    let (held, ruled, led) = tokio::join!(held, ruled, followers(testbed, own, id, endpoints));
    let looks = [
        (held, format!("there is a bucket of {id} in {other}")),
        (ruled, format!("the bucket of {id} in {own} replicates")),
        (led, format!("the Postgres of {id} in {own} has a slot, or a receiver streams from it")),
    ];
    for (looked, what) in looks {
        match looked {
            Ok(true) => found.push(what),
            Ok(false) => {}
            Err(why) => unlooked.push(why),
        }
    }
    (found, unlooked)
}

/// Whether anybody follows a primary from another region, or could by a slot of it; standbys in zones of its own are none.
async fn followers(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<bool, String> {
    let mut connection = connect(testbed, region, id, endpoints).await?;
    let (followers,): (bool,) =
        sqlx::query_as(FOLLOWERS).fetch_one(&mut connection).await.map_err(|error| postgres::code(&error))?;
    Ok(followers)
}

/// Whether the standby streams and holds rows of the first writes, within the time given.
async fn sql(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<(), String> {
    let look = || async {
        let mut connection = connect(testbed, region, id, endpoints).await?;
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
        let port = sql_port(testbed, region, id, endpoints).await?;
        let snapshot = read::read_sql(port, &endpoints.database, &testbed.auditor().sql, LOOK).await?;
        if snapshot.history.is_empty() { Err("the first write is not there".to_owned()) } else { Ok(()) }
    };
    seen(format!("the replica of {id}'s rows"), within, look).await
}

/// Whether the other bucket holds the first object, within the time given.
async fn files(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<(), String> {
    let look = || async {
        if held(testbed, region, id, endpoints).await? == 0 {
            Err("the first object is not there".to_owned())
        } else {
            Ok(())
        }
    };
    seen(format!("the replica of {id}'s files"), within, look).await
}

/// How much the other bucket holds, delete markers included.
pub(super) async fn held(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<usize, String> {
    let port = files_port(testbed, region, id, endpoints).await?;
    Ok(read::list_files(port, &endpoints.bucket, &testbed.auditor().s3, LOOK).await?.len())
}

/// How many tables and object versions (delete markers included) a region holds of an environment.
pub(super) async fn contents(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<(usize, usize), String> {
    let mut connection = connect(testbed, region, id, endpoints).await?;
    let (tables,): (i64,) = sqlx::query_as("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| postgres::code(&error))?;
    Ok((usize::try_from(tables).unwrap_or(0), held(testbed, region, id, endpoints).await?))
}

/// Whether the other region follows the one that serves: its standby streams, on the timeline that is served.
/// `regions`: the one that serves, and the other.
pub(super) async fn follows(
    testbed: &dyn Testbed,
    regions: [&Region; 2],
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<String, String> {
    let look = || async {
        let mut live = connect(testbed, regions[0], id, endpoints).await?;
        let row = sqlx::query("select pg_is_in_recovery(), case when pg_is_in_recovery() then '' else pg_walfile_name(pg_current_wal_lsn()) end")
            .fetch_one(&mut live)
            .await
            .map_err(|error| postgres::code(&error))?;
        let (standby, segment): (bool, String) = (row.get(0), row.get(1));
        if standby {
            return Err(format!("{id} in {}, which serves, is a standby", regions[0]));
        }
        let mut other = connect(testbed, regions[1], id, endpoints).await?;
        let row = sqlx::query(
            "select pg_is_in_recovery(),
                    (select received_tli from pg_stat_wal_receiver where status = 'streaming' limit 1)",
        )
        .fetch_one(&mut other)
        .await
        .map_err(|error| postgres::code(&error))?;
        let (standby, timeline): (bool, Option<i32>) = (row.get(0), row.get(1));
        // The first eight digits of a segment's name are its timeline.
        let served = segment.get(..8).and_then(|digits| i32::from_str_radix(digits, 16).ok());
        if !standby || timeline.is_none() || timeline != served {
            return Err(format!(
                "{id} in {}: standby {standby}, streams timeline {timeline:?}, and {served:?} is served",
                regions[1]
            ));
        }
        Ok(format!("{} streams timeline {}", regions[1], timeline.unwrap_or_default()))
    };
    seen(format!("the returned replica of {id}"), within, look).await
}

/// Waits until the other region has replayed what the one that serves had written when this began.
pub(super) async fn catches_up(
    testbed: &dyn Testbed,
    regions: [&Region; 2],
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Result<(), String> {
    let mut live = connect(testbed, regions[0], id, endpoints).await?;
    let (written,): (i64,) = sqlx::query_as("select (pg_current_wal_lsn() - '0/0')::bigint")
        .fetch_one(&mut live)
        .await
        .map_err(|error| postgres::code(&error))?;
    let look = || async {
        let mut other = connect(testbed, regions[1], id, endpoints).await?;
        let (replayed,): (i64,) = sqlx::query_as("select coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::bigint")
            .fetch_one(&mut other)
            .await
            .map_err(|error| postgres::code(&error))?;
        if replayed >= written { Ok(()) } else { Err(format!("replayed to {replayed} of {written}")) }
    };
    seen(format!("the replay of {id}"), within, look).await
}

/// Everything that is wrong with the way replication runs: it should run from the first region to the second.
pub(super) async fn direction(
    testbed: &dyn Testbed,
    regions: [&Region; 2],
    id: &EnvironmentId,
    endpoints: &Endpoints,
    within: Duration,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(why) = follows(testbed, regions, id, endpoints, within).await {
        wrong.push(format!("rows: {why}"));
    }
    for (region, wanted) in [(regions[0], true), (regions[1], false)] {
        let rule = match files_port(testbed, region, id, endpoints).await {
            Ok(port) => read::replicates(port, &endpoints.bucket, &testbed.auditor().s3, within).await,
            Err(why) => Err(why),
        };
        match rule {
            Ok(enabled) if enabled == wanted => {}
            Ok(true) => wrong.push(format!("objects: {region}, which does not serve, replicates its bucket")),
            Ok(false) => wrong.push(format!("objects: {region}, which serves, does not replicate its bucket")),
            Err(why) => wrong.push(format!("objects: the rule of {region} could not be read: {why}")),
        }
    }
    wrong
}

async fn connect(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<sqlx::PgConnection, String> {
    let port = sql_port(testbed, region, id, endpoints).await?;
    let target = seats::auditor(testbed, port, endpoints);
    postgres::connect(&target, LOOK).await.map_err(|error| error.to_string())
}

async fn sql_port(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<u16, String> {
    let port = seats::sql(testbed, region, id, endpoints).await;
    port.ok_or_else(|| format!("no Postgres of {id} runs in {region}"))
}

async fn files_port(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<u16, String> {
    let port = seats::stores(testbed, region, id, endpoints).await.files;
    port.ok_or_else(|| format!("no file store runs in {region}"))
}

/// Looks until what is looked for is seen.
async fn seen<T, Look, Looking>(what: String, within: Duration, look: Look) -> Result<T, String>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<T, String>>,
{
    poll::until(what, within, PERIOD, look).await.map_err(|error| error.to_string())
}
