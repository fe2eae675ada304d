//! `postgres.replay_pause`: a standby receives its log and does not replay it.
//!
//! Proof: its own word (`paused`), and that what it has received grows while what it has replayed stands. A standby that is
//! promoted replays what it has received, paused or not (Postgres 15): healing then finds a primary, which is told.

use futures_util::future::BoxFuture;
use sqlx::Row;

use super::{
    breakage::{Breakage, Proof},
    trials::{SETTLE, settle},
};
use crate::{
    api::{EnvironmentId, Region},
    clients::postgres::{self, Target, code},
    testbed::{Testbed, TestbedError},
};

pub(super) struct PostgresReplayPause {
    region: Region,
    environment: EnvironmentId,
    /// Where it stood once it was paused.
    paused_at: Option<u64>,
}

/// What a standby says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    is_standby: bool,
    /// `not paused`, `pause requested`, `paused`.
    replay: String,
    received: u64,
    replayed: u64,
}

const LOOK: &str = "select pg_is_in_recovery(),
    case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() else 'none' end,
    coalesce(pg_last_wal_receive_lsn() - '0/0', 0)::bigint,
    coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::bigint";

impl PostgresReplayPause {
    pub fn new(region: Region, environment: EnvironmentId) -> Self {
        Self { region, environment, paused_at: None }
    }

    async fn connect(&self, testbed: &dyn Testbed) -> Result<sqlx::PgConnection, String> {
        let port = testbed.stores(&self.region, &self.environment).sql;
        let port = port.ok_or_else(|| format!("no Postgres of {} runs in {}", self.environment, self.region))?;
        let target = Target {
            port,
            database: "postgres".to_owned(),
            login: testbed.auditor().sql,
            application: "geodrill fault".to_owned(),
        };
        postgres::connect(&target, SETTLE).await.map_err(|failure| failure.to_string())
    }

    async fn look(&self, testbed: &dyn Testbed) -> Result<Standing, String> {
        let mut connection = self.connect(testbed).await?;
        let row = sqlx::query(LOOK).fetch_one(&mut connection).await.map_err(|error| code(&error))?;
        let position = |column: usize| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
        Ok(Standing { is_standby: row.get(0), replay: row.get(1), received: position(2), replayed: position(3) })
    }

    async fn tell(&self, testbed: &dyn Testbed, statement: &'static str) -> Result<(), TestbedError> {
        let failed = |why: String| TestbedError::Failed(format!("{}: {why}", self.environment));
        let mut connection = self.connect(testbed).await.map_err(failed)?;
        sqlx::query(statement).execute(&mut connection).await.map_err(|error| failed(code(&error)))?;
        Ok(())
    }
}

impl Breakage for PostgresReplayPause {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            match self.look(testbed).await? {
                Standing { is_standby: false, .. } => {
                    Err(format!("the Postgres of {} in {} is no standby", self.environment, self.region))
                }
                Standing { replay, .. } if replay != "not paused" => Err(format!("its replay was {replay} already")),
                _ => Ok(()),
            }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            self.tell(testbed, "select pg_wal_replay_pause()").await?;
            let paused = settle(|| async {
                let now = self.look(testbed).await?;
                if now.replay == "paused" { Ok(now.replayed.to_string()) } else { Err(format!("{now:?}")) }
            })
            .await;
            self.paused_at = paused.ok().and_then(|position| position.parse().ok());
            Ok(())
        })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let stood = self.paused_at.ok_or_else(|| format!("its replay was not paused within {SETTLE:?}"))?;
            settle(|| async { judge(stood, &self.look(testbed).await?) }).await
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // A Postgres that is gone, or was promoted, has nothing to resume.
            if !self.look(testbed).await.is_ok_and(|now| now.is_standby) {
                return Ok(());
            }
            self.tell(testbed, "select pg_wal_replay_resume()").await
        })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            if testbed.stores(&self.region, &self.environment).sql.is_none() {
                return Ok("its Postgres does not run any more; one that starts replays".to_owned());
            }
            let now = self.look(testbed).await?;
            match &*now.replay {
                "none" => Ok("it is a standby no more, so it has replayed what it had".to_owned()),
                "not paused" if self.paused_at.is_none_or(|stood| now.replayed > stood) => {
                    Ok(format!("not paused, replayed on to {}", now.replayed))
                }
                _ => Err(format!("{now:?}")),
            }
        }))
    }
}

/// Paused where it stood, and more has arrived.
fn judge(stood: u64, now: &Standing) -> Proof {
    match now {
        Standing { is_standby: false, .. } => Err("it is a standby no more".to_owned()),
        Standing { replay, .. } if replay != "paused" => Err(format!("its replay is {replay}")),
        Standing { replayed, .. } if *replayed != stood => Err(format!("it replayed from {stood} to {replayed}")),
        Standing { received, replayed, .. } if received <= replayed => {
            Err("nothing arrives that it could have replayed, so no effect can be seen".to_owned())
        }
        Standing { received, replayed, .. } => {
            Ok(format!("paused at {replayed}, {} bytes received and not replayed", received - replayed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_proven_by_what_arrives_and_is_not_replayed() {
        let standing = |replay: &str, received, replayed| Standing {
            is_standby: true,
            replay: replay.to_owned(),
            received,
            replayed,
        };
        assert!(judge(100, &standing("paused", 150, 100)).is_ok());
        for wrong in [
            standing("not paused", 150, 100),
            standing("pause requested", 150, 100),
            standing("paused", 100, 100),
            standing("paused", 150, 120),
            Standing { is_standby: false, ..standing("paused", 150, 100) },
        ] {
            assert!(judge(100, &wrong).is_err(), "{wrong:?}");
        }
    }
}
