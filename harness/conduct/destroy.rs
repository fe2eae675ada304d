//! Everything of an environment destroyed by its own customer: every table dropped, every version and delete marker removed, by the
//! customer's own credentials at the environment's own doors. Proven by the auditor, who finds nothing left.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::Executor;

use super::replica;
use crate::{
    api::{EnvironmentId, Region, environment::Endpoints},
    clients::{
        postgres::{self, Target},
        s3,
    },
    testbed::Testbed,
    workload::read,
};

/// Bound of one attempt.
const WITHIN: Duration = Duration::from_secs(10);
/// Removals side by side.
const SIDE_BY_SIDE_MAX: usize = 8;

const DROP_ALL: &str = "do $$ declare one text; begin
    for one in select format('%I.%I', schemaname, tablename) from pg_tables where tableowner = current_user loop
        execute 'drop table if exists ' || one || ' cascade';
    end loop;
end $$";

/// Destroys all of it; says what was there. An error, if anything is left.
pub(super) async fn all(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Result<String, String> {
    let before = replica::contents(testbed, region, id, endpoints).await?;
    let target = Target {
        port: endpoints.sql_rw_port,
        database: endpoints.database.clone(),
        login: endpoints.app.clone(),
        application: "geodrill-destroyer".to_owned(),
    };
    let mut connection = postgres::connect(&target, WITHIN).await.map_err(|failure| failure.to_string())?;
    connection.execute(DROP_ALL).await.map_err(|error| postgres::code(&error))?;
    let store = s3::client(endpoints.files_rw_port, &endpoints.s3, WITHIN);
    let versions = read::list_files(endpoints.files_rw_port, &endpoints.bucket, &endpoints.s3, WITHIN).await?;
    let remove = |(key, version): (Box<str>, Box<str>)| {
        let delete = store.delete_object().bucket(&endpoints.bucket).key(key).version_id(version);
        async move { delete.send().await.map(drop).map_err(|error| format!("{:?}", s3::classify(&error))) }
    };
    stream::iter(versions).map(remove).buffer_unordered(SIDE_BY_SIDE_MAX).try_collect::<()>().await?;
    match replica::contents(testbed, region, id, endpoints).await? {
        (0, 0) => Ok(format!("{} tables dropped, {} versions and delete markers removed", before.0, before.1)),
        (tables, versions) => Err(format!("{tables} tables and {versions} versions are left of {id}")),
    }
}
