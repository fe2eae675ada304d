//! `postgres.primary_revive`: a primary that was given up comes back on the data it had, and believes itself the primary.
//!
//! Nobody of its platform has started it, and whatever in its folder would make a standby of it is gone, as after a careless
//! `systemctl start`. Proof: there are two primaries of one system, this one on an older timeline than the one that was
//! promoted. They are only asked, never written to. Healing ends it, if the platform has not done so.

use futures_util::future::BoxFuture;
use sqlx::Row;

use super::{
    breakage::{Breakage, Proof},
    trials::{SETTLE, gone, running, settle, states},
};
use crate::{
    api::{EnvironmentId, Region},
    clients::postgres::{self, Target, code},
    model::process::ProcessName,
    testbed::{Deed, Process, ProcessState, Testbed, TestbedError},
};

pub(super) struct PostgresPrimaryRevive {
    region: Region,
    environment: EnvironmentId,
    /// The one that was promoted in its place, as it was seen before.
    promoted: Option<Standing>,
    revived: Option<Process>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// Its name for itself.
    name: String,
    is_primary: bool,
    /// The system that it is one of.
    system: i64,
    /// Timeline: of a primary the one that it writes.
    timeline: i32,
}

const LOOK: &str = "select current_setting('cluster_name'), not pg_is_in_recovery(),
    (select system_identifier from pg_control_system()),
    case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
         else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end";

impl PostgresPrimaryRevive {
    pub fn new(region: Region, environment: EnvironmentId) -> Self {
        Self { region, environment, promoted: None, revived: None }
    }

    fn name(&self) -> ProcessName {
        let (site, environment) = (self.region.to_string(), Some(self.environment.clone()));
        ProcessName { site, service: "postgres".to_owned(), environment }
    }

    async fn look(&self, testbed: &dyn Testbed, region: &Region) -> Result<Standing, String> {
        let port = testbed.stores(region, &self.environment).sql;
        let port = port.ok_or_else(|| format!("no Postgres of {} runs in {region}", self.environment))?;
        let login = testbed.auditor().sql;
        let target = Target { port, database: "postgres".to_owned(), login, application: "geodrill fault".to_owned() };
        let mut connection = postgres::connect(&target, SETTLE).await.map_err(|failure| failure.to_string())?;
        let row = sqlx::query(LOOK).fetch_one(&mut connection).await.map_err(|error| code(&error))?;
        Ok(Standing { name: row.get(0), is_primary: row.get(1), system: row.get(2), timeline: row.get(3) })
    }

    /// The region that was promoted in this one's place.
    fn other(&self, testbed: &dyn Testbed) -> Result<Region, String> {
        let sites =
            testbed.links().into_iter().filter(|link| link.from == self.region.as_str() && link.service == "files");
        let other = sites.map(|link| link.to).find(|site| site != self.region.as_str());
        other.and_then(|site| site.parse().ok()).ok_or_else(|| format!("{} has no other region", self.region))
    }

    /// Whether the one that was started still runs.
    async fn lives(&self, testbed: &dyn Testbed) -> Result<bool, String> {
        let Some(revived) = &self.revived else { return Ok(false) };
        let now = states(testbed, vec![revived.clone()]).await?;
        Ok(now.iter().any(|(_, state)| *state != ProcessState::Gone))
    }
}

impl Breakage for PostgresPrimaryRevive {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some(process) = running(testbed, &self.name()).await?.first() {
                return Err(format!("{} runs already, as {process}", self.name()));
            }
            let other = self.other(testbed)?;
            match self.look(testbed, &other).await? {
                Standing { is_primary: false, .. } => Err(format!(
                    "nobody was promoted in its place: the Postgres of {} in {other} is a standby",
                    self.environment
                )),
                promoted => {
                    self.promoted = Some(promoted);
                    Ok(())
                }
            }
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // A second one on the same folder would spoil it, and where nobody was promoted it is no old primary.
            if self.promoted.is_none() {
                return Ok(());
            }
            self.revived = Some(testbed.revive(&self.region, &self.environment).await?);
            Ok(())
        })
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(settle(|| async {
            let (Some(promoted), Some(process)) = (&self.promoted, &self.revived) else {
                return Err("nothing was started".to_owned());
            };
            if !self.lives(testbed).await? {
                return Err(format!("process {process} has ended"));
            }
            let revived = self.look(testbed, &self.region).await?;
            judge(&revived, promoted).map(|proof| format!("{proof}; process {process}"))
        }))
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            let Some(revived) = self.revived.clone() else { return Ok(()) };
            testbed.act(&[revived], Deed::Kill).await.map(drop)
        })
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let Some(revived) = &self.revived else { return Ok("nothing was started".to_owned()) };
            let dead = gone(testbed, std::slice::from_ref(revived)).await?;
            Ok(match running(testbed, &self.name()).await?.first() {
                Some(process) => format!("{dead}; its node runs another one, {process}"),
                None => format!("{dead}; no other runs in its place"),
            })
        })
    }
}

/// Two primaries of one system, the revived one on the older timeline.
fn judge(revived: &Standing, promoted: &Standing) -> Proof {
    match revived {
        Standing { is_primary: false, .. } => Err("it came back as a standby".to_owned()),
        Standing { system, .. } if *system != promoted.system => {
            Err(format!("it is of system {system}, the promoted one of {}", promoted.system))
        }
        Standing { timeline, .. } if *timeline >= promoted.timeline => {
            Err(format!("it writes timeline {timeline}, and the promoted one {}", promoted.timeline))
        }
        Standing { name, timeline, .. } => Ok(format!(
            "two primaries: {name} writes timeline {timeline} again, {} timeline {}",
            promoted.name, promoted.timeline
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_proven_by_two_primaries_of_one_system() {
        let standing =
            |name: &str, is_primary, system, timeline| Standing { name: name.to_owned(), is_primary, system, timeline };
        let promoted = standing("west", true, 7, 2);
        assert!(judge(&standing("east", true, 7, 1), &promoted).unwrap().contains("two primaries"));
        for wrong in [standing("east", false, 7, 1), standing("east", true, 8, 1), standing("east", true, 7, 2)] {
            assert!(judge(&wrong, &promoted).is_err(), "{wrong:?}");
        }
    }
}
