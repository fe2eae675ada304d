//! Replication lag, by heartbeats of the load that are looked for in the isolated secondary.
//!
//! Lag = now − send time of the oldest acknowledged heartbeat that is not yet readable there; 0 if there is none. Its error
//! is the heartbeat's period and the sampler's. Only the secondary is asked: asking the primary for an object would make it
//! replicate the object.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_sdk_s3::Client;
use sqlx::{PgConnection, Row};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Clock, Load,
    drive::{Pulse, pulse::Heartbeat, sides::Sides},
};
use crate::{
    api::environment::Login,
    clients::{
        postgres::{self, code},
        s3::{self, unproxied},
    },
    model::{
        RunTime,
        operation::{EnvironmentIndex, Side},
        token::Seen,
    },
};

/// How often each environment is sampled.
pub const PERIOD: Duration = Duration::from_millis(250);

/// Bound on one sample of one store.
const WITHIN: Duration = Duration::from_secs(1);

/// Objects asked for in one sample at most, so that it ends; the rest is asked for in the next.
const OBJECTS_MAX: usize = 64;

/// Objects that are looked for in vain in one sample before the rest is taken to be as late: enough to tell a few from many.
const MISSING_MAX: u64 = 16;

/// Samples that wait for the receiver at most; those after are dropped.
const WAITING_MAX: usize = 256;

/// Where one environment's secondary is, past every link.
#[derive(Clone, PartialEq, Eq)]
pub struct LagProbe {
    /// The environment.
    pub environment: EnvironmentIndex,
    /// Its Postgres on 127.0.0.1. `None`: not running.
    pub sql_port: Option<u16>,
    /// Its object store on 127.0.0.1. `None`: not running.
    pub files_port: Option<u16>,
    /// The database.
    pub database: String,
    /// The bucket.
    pub bucket: String,
    /// The auditor in Postgres.
    pub sql: Login,
    /// The auditor in the object store.
    pub files: Login,
}

/// One sample of one environment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LagSample {
    /// When it was begun.
    pub at: RunTime,
    /// The environment.
    pub environment: EnvironmentIndex,
    /// Lag of rows, seconds. `None`: the secondary could not be asked.
    pub sql_s: Option<f64>,
    /// Lag of objects, likewise.
    pub files_s: Option<f64>,
    /// At least so many objects had not arrived; no more than 16 are looked for.
    pub files_missing: Option<u64>,
}

/// Says where an environment's secondary is, given the side that clients were last acknowledged by.
pub type Secondary = Arc<dyn Fn(EnvironmentIndex, Option<Side>) -> Option<LagProbe> + Send + Sync>;

/// Samples every environment of a load until it is dropped.
#[must_use = "a sampler that is dropped ends"]
pub struct LagSampler {
    tasks: JoinSet<()>,
}

impl LagSampler {
    /// Starts a task for each environment of `load`. Before each sample, `secondary` says where that environment's secondary
    /// is now (the other side of whatever serves); `None`: it has none, so nothing is sampled.
    pub fn start(load: &Load, clock: Clock, secondary: Secondary) -> (LagSampler, mpsc::Receiver<LagSample>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        for (environment, pulse, sides) in load.pulses() {
            let watcher = Watcher { clock, pulse, sides, sql: None, files: None };
            tasks.spawn(watch(environment, watcher, secondary.clone(), sender.clone()));
        }
        (LagSampler { tasks }, receiver)
    }

    /// Ends sampling.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn watch(
    environment: EnvironmentIndex,
    mut watcher: Watcher,
    secondary: Secondary,
    sender: mpsc::Sender<LagSample>,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !sender.is_closed() {
        ticks.tick().await;
        let Some(probe) = secondary(environment, watcher.sides.side()) else {
            // Lag is of what is written while there is a replica.
            watcher.pulse.forget();
            continue;
        };
        let at = watcher.clock.now();
        let (sql_s, files) = watcher.sample(&probe, at).await;
        let (files_s, files_missing) = files.unzip();
        // A receiver that does not keep up misses samples, never delays them.
        let _ = sender.try_send(LagSample { at, environment, sql_s, files_s, files_missing });
    }
}

/// What is kept between samples.
struct Watcher {
    clock: Clock,
    pulse: Arc<Pulse>,
    sides: Arc<Sides>,
    /// The connection, and the port it leads to.
    sql: Option<(u16, PgConnection)>,
    files: Option<(u16, Client)>,
}

impl Watcher {
    async fn sample(&mut self, probe: &LagProbe, at: RunTime) -> (Option<f64>, Option<(f64, u64)>) {
        self.pulse.only_epoch(self.sides.epoch());
        // What waits now was acknowledged before anybody looks.
        let rows = self.pulse.rows();
        let objects = self.pulse.objects(OBJECTS_MAX);
        let rows = timeout(WITHIN, rows_lag(&mut self.sql, probe, &self.pulse, rows, at));
        let objects = objects_lag(&mut self.files, probe, &self.pulse, objects, at);
        let (rows, objects) = tokio::join!(rows, objects);
        let sql_s = match rows {
            Ok(Ok(lag)) => Some(lag),
            Ok(Err(why)) => {
                tracing::debug!(why, "lag of rows not sampled");
                self.sql = None;
                None
            }
            Err(_) => {
                self.sql = None;
                None
            }
        };
        (sql_s, objects)
    }
}

async fn rows_lag(
    open: &mut Option<(u16, PgConnection)>,
    probe: &LagProbe,
    pulse: &Pulse,
    waiting: Vec<Heartbeat>,
    at: RunTime,
) -> Result<f64, String> {
    let port = probe.sql_port.ok_or("not running")?;
    if open.as_ref().is_some_and(|(there, _)| *there != port) {
        *open = None;
    }
    let (_, connection) = match open {
        Some(open) => open,
        None => {
            let target = postgres::Target {
                port,
                database: probe.database.clone(),
                login: probe.sql.clone(),
                application: "geodrill lag".to_owned(),
            };
            let fresh = postgres::connect(&target, WITHIN).await.map_err(|failure| failure.to_string())?;
            open.insert((port, fresh))
        }
    };
    // Asked even if nothing waits: a secondary that does not answer has no lag of zero.
    let keys: BTreeSet<String> = waiting.iter().map(|heartbeat| heartbeat.key.to_string()).collect();
    let found = sqlx::query("SELECT key, token FROM public.geodrill_data WHERE key = ANY($1)")
        .bind(keys.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(|error| code(&error))?;
    let mut seen = Vec::new();
    for row in found {
        let (key, token): (String, String) =
            (row.try_get("key").map_err(|error| code(&error))?, row.try_get("token").map_err(|error| code(&error))?);
        if let Seen::Token(token) = Seen::from(token.as_str()) {
            pulse.row_seen(&key, token);
            seen.push(token);
        }
    }
    let unseen = waiting.iter().find(|heartbeat| {
        !seen.iter().any(|token| token.stream == heartbeat.token.stream && token.sequence >= heartbeat.token.sequence)
    });
    Ok(unseen.map_or(0.0, |oldest| at.since(oldest.sent).as_secs_f64()))
}

/// The lag, and how many of the oldest were looked for in vain.
async fn objects_lag(
    client: &mut Option<(u16, Client)>,
    probe: &LagProbe,
    pulse: &Pulse,
    waiting: Vec<Heartbeat>,
    at: RunTime,
) -> Option<(f64, u64)> {
    let port = probe.files_port?;
    if client.as_ref().is_some_and(|(there, _)| *there != port) {
        *client = None;
    }
    let (_, client) = client.get_or_insert_with(|| (port, s3::client(port, &probe.files, WITHIN)));
    let until = Instant::now() + WITHIN;
    if waiting.is_empty() {
        // Asked even so, as above.
        let asked = client.head_bucket().bucket(&probe.bucket).customize().mutate_request(unproxied).send().await;
        return asked.is_ok().then_some((0.0, 0));
    }
    let mut missing = 0;
    let mut lag = None;
    for heartbeat in &waiting {
        let age = at.since(heartbeat.sent).as_secs_f64();
        if Instant::now() >= until {
            return Some((lag.unwrap_or(age), missing));
        }
        let head = client.head_object().bucket(&probe.bucket).key(&*heartbeat.key);
        match head.customize().mutate_request(unproxied).send().await {
            Ok(_) => pulse.object_seen(heartbeat.token),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {
                lag.get_or_insert(age);
                missing += 1;
                if missing == MISSING_MAX {
                    break;
                }
            }
            Err(_) => return lag.map(|lag| (lag, missing)),
        }
    }
    // All that was asked for is there; if there was more, its oldest is next.
    let next = || if waiting.len() == OBJECTS_MAX { pulse.objects(1) } else { Vec::new() };
    Some((lag.unwrap_or_else(|| next().first().map_or(0.0, |next| at.since(next.sent).as_secs_f64())), missing))
}
