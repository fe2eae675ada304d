//! Asks servers and platform, twice a second, what they say of replication, and keeps it as claims beside the lag that is
//! measured.
//!
//! It must not disturb what it watches: one connection to each Postgres, by the auditor's role; one question at a time with a
//! short deadline, never asked again; no object is touched; one call of the platform's for all environments.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_s3::Client;
use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{due, recorder::Recorder, seats::Seats};
use crate::{
    api::environment::Endpoints,
    clients::{
        postgres::{self, Target},
        s3,
    },
    model::{
        claim::{ClaimSample, FilesSays, SqlSays},
        event::What,
        operation::{EnvironmentIndex, Side},
        plan::Plan,
    },
    plane::Plane,
    testbed::Testbed,
    workload::{drive::sides::Sides, said},
};

/// Between two samples.
const PERIOD: Duration = Duration::from_millis(500);
/// Bound on every question.
const WITHIN: Duration = Duration::from_millis(400);
/// A server that did not answer is left alone for so long: one that is stopped would gather connections.
const REST: Duration = Duration::from_secs(2);

/// Whom to ask.
pub(super) struct Sources {
    pub plan: Arc<Plan>,
    pub testbed: Arc<dyn Testbed>,
    pub plane: Arc<dyn Plane>,
    pub endpoints: Arc<Vec<Endpoints>>,
    pub seats: Arc<Seats>,
    /// Which side answers each environment's clients.
    pub sides: Vec<(EnvironmentIndex, Arc<Sides>)>,
}

/// Samples until it is dropped. Of an environment that is promised no replica nothing is asked.
pub(super) async fn follow(sources: Sources, recorder: Recorder) {
    let mut asked: Vec<Asked> =
        sources.sides.iter().map(|(environment, sides)| Asked::new(*environment, sides)).collect();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let at = recorder.clock().now();
        let is_promised = |asked: &&mut Asked| {
            let plan = &sources.plan.environments[usize::from(asked.environment.0)];
            recorder.look(|events| due::is_promised(events, plan))
        };
        let servers: Vec<_> = asked.iter_mut().filter(is_promised).map(|asked| asked.sample(&sources)).collect();
        if servers.is_empty() {
            continue;
        }
        let servers = join_all(servers);
        let (platform, samples) = tokio::join!(sources.plane.behind(WITHIN), servers);
        let platform = platform.unwrap_or_default();
        for mut sample in samples {
            let id = &sources.plan.environments[usize::from(sample.environment.0)].id;
            sample.platform = platform.iter().find(|(of, _)| of == id).map(|(_, says)| *says);
            recorder.say_at(at, What::Claimed(sample));
        }
    }
}

/// One environment, and what is kept between samples.
struct Asked {
    environment: EnvironmentIndex,
    sides: Arc<Sides>,
    sql: [Session; 2],
    files: [Option<(u16, Client)>; 2],
}

/// A connection to one side's Postgres, and the port it leads to.
#[derive(Default)]
struct Session {
    open: Option<(u16, PgConnection)>,
    failed: Option<Instant>,
}

impl Asked {
    fn new(environment: EnvironmentIndex, sides: &Arc<Sides>) -> Self {
        Self { environment, sides: Arc::clone(sides), sql: Default::default(), files: Default::default() }
    }

    async fn sample(&mut self, sources: &Sources) -> ClaimSample {
        let place = usize::from(self.environment.0);
        let endpoints = &sources.endpoints[place];
        let stores = [Side(0), Side(1)].map(|side| sources.seats.last(self.environment, side));
        let auditor = sources.testbed.auditor();
        let target = |port| Target {
            port,
            database: endpoints.database.clone(),
            login: auditor.sql.clone(),
            application: "geodrill claims".to_owned(),
        };
        let serving = self.sides.side().unwrap_or(Side(0));
        let source = usize::from(serving.0).min(1);
        let [first, second] = &mut self.sql;
        let files = async {
            let port = stores[source].files?;
            let kept = &mut self.files[source];
            if kept.as_ref().is_none_or(|(there, _)| *there != port) {
                *kept = Some((port, s3::client(port, &auditor.s3, WITHIN)));
            }
            let (_, client) = kept.as_ref()?;
            ask_files(client, &endpoints.bucket).await
        };
        let (first, second, files) =
            tokio::join!(first.ask(stores[0].sql.map(target)), second.ask(stores[1].sql.map(target)), files);
        ClaimSample { environment: self.environment, serving, sql: [first, second], files, platform: None }
    }
}

async fn ask_files(client: &Client, bucket: &str) -> Option<FilesSays> {
    said::files(client, bucket).await.inspect_err(|why| tracing::debug!(why, "a file store's claims not sampled")).ok()
}

impl Session {
    /// Asks the Postgres there; `None`: none runs.
    async fn ask(&mut self, target: Option<Target>) -> Option<SqlSays> {
        let target = target?;
        if self.open.as_ref().is_some_and(|(port, _)| *port != target.port) {
            *self = Self::default();
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < REST) {
            return None;
        }
        let asked = async {
            let connection = match &mut self.open {
                Some((_, connection)) => connection,
                None => {
                    let fresh = postgres::connect(&target, WITHIN).await.map_err(|failure| failure.to_string())?;
                    &mut self.open.insert((target.port, fresh)).1
                }
            };
            said::sql(connection).await
        };
        let said = timeout(WITHIN, asked).await.unwrap_or_else(|_| Err("deadline".to_owned()));
        if let Err(why) = &said {
            tracing::debug!(why, port = target.port, "a Postgres' claims not sampled");
            (self.open, self.failed) = (None, Some(Instant::now()));
        }
        said.ok()
    }
}
