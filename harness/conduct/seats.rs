//! Which zone of a region holds an environment's Postgres, and through which its file store can be read: asked of the servers of
//! every zone, never of the platform. A region that is not divided has nothing to ask.
//!
//! Of several that say they are the primary the one on the latest timeline is: the others were given up. Of standbys alone the
//! one that is furthest is what the region holds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::recorder::Recorder;
use crate::{
    api::{EnvironmentId, Region, Zone, environment::Endpoints},
    clients::postgres::{self, Target},
    model::{
        RunTime,
        event::What,
        operation::{EnvironmentIndex, Side},
        plan::Plan,
    },
    testbed::{StorePorts, Testbed},
    workload::read,
};

/// Bound of one question to one server: one that is stopped never answers.
const ANSWER: Duration = Duration::from_millis(800);

/// Between two looks while a load runs.
const PERIOD: Duration = Duration::from_millis(250);

/// A question that any Postgres can answer, whatever it is.
const LOOK: &str = "select pg_is_in_recovery(),
    case when pg_is_in_recovery()
        then coalesce((select received_tli from pg_stat_wal_receiver limit 1), (select timeline_id from pg_control_checkpoint()))
        else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
    coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0', 0)::bigint,
    exists (select from pg_stat_wal_receiver where status = 'streaming')";

/// What the Postgres of one zone says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Says {
    zone: Zone,
    port: u16,
    standby: bool,
    timeline: i32,
    /// How far its log goes, as it has it.
    lsn: i64,
    /// It receives from another one.
    streams: bool,
}

/// The one that is the region's.
fn seat(said: &[Says]) -> Option<Says> {
    said.iter().copied().max_by_key(|says| (!says.standby, says.timeline, says.lsn))
}

/// Where the auditor reaches the stores of an environment in a region, zones asked where there are several. Of stores that cannot
/// be asked nothing is known: they are not running, as far as anybody can tell.
pub(super) async fn stores(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> StorePorts {
    if testbed.zones() == 1 {
        return testbed.stores(region, id);
    }
    let (said, answering) = tokio::join!(ask_all(testbed, region, id, endpoints), answering(testbed, region, id));
    ports(&said, &answering)
}

/// The Postgres that is the region's, and the node of its file store that customers write through: the one in the same zone.
/// If that does not answer, any other that does: what is in the store each of them has.
fn ports(said: &[Says], answering: &[(Zone, u16)]) -> StorePorts {
    let seat = seat(said);
    let files = (answering.iter().find(|(zone, _)| seat.is_some_and(|says| says.zone == *zone)))
        .or(answering.first())
        .map(|(_, port)| *port);
    StorePorts { sql: seat.map(|says| says.port), files }
}

/// As [`stores`], of the Postgres alone.
pub(super) async fn sql(
    testbed: &dyn Testbed,
    region: &Region,
    id: &EnvironmentId,
    endpoints: &Endpoints,
) -> Option<u16> {
    if testbed.zones() == 1 {
        return testbed.stores(region, id).sql;
    }
    seat(&ask_all(testbed, region, id, endpoints).await).map(|says| says.port)
}

/// Whether a Postgres of an environment runs in any zone of a region.
pub(super) fn any_runs(testbed: &dyn Testbed, region: &Region, id: &EnvironmentId) -> bool {
    Zone::all(testbed.zones()).any(|zone| testbed.stores_in(region, zone, id).sql.is_some())
}

async fn ask_all(testbed: &dyn Testbed, region: &Region, id: &EnvironmentId, endpoints: &Endpoints) -> Vec<Says> {
    let running =
        Zone::all(testbed.zones()).filter_map(|zone| testbed.stores_in(region, zone, id).sql.map(|port| (zone, port)));
    let asked = running.map(|(zone, port)| async move {
        let target = auditor(testbed, port, endpoints);
        let answer = timeout(ANSWER, ask(zone, &target)).await.unwrap_or_else(|_| Err("deadline".to_owned()));
        answer.inspect_err(|why| tracing::debug!(%zone, port, why, "a zone's Postgres said nothing")).ok()
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// An environment's database as the auditor reaches it.
pub(super) fn auditor(testbed: &dyn Testbed, port: u16, endpoints: &Endpoints) -> Target {
    Target {
        port,
        database: endpoints.database.clone(),
        login: testbed.auditor().sql,
        application: "geodrill-auditor".to_owned(),
    }
}

async fn ask(zone: Zone, target: &Target) -> Result<Says, String> {
    let mut connection = postgres::connect(target, ANSWER).await.map_err(|failure| failure.to_string())?;
    let said: (bool, i32, i64, bool) =
        sqlx::query_as(LOOK).fetch_one(&mut connection).await.map_err(|error| postgres::code(&error))?;
    let (standby, timeline, lsn, streams) = said;
    Ok(Says { zone, port: target.port, standby, timeline, lsn, streams })
}

/// The nodes of a region's file store that answer for the whole, in the order of their zones.
async fn answering(testbed: &dyn Testbed, region: &Region, id: &EnvironmentId) -> Vec<(Zone, u16)> {
    let running = Zone::all(testbed.zones())
        .filter_map(|zone| testbed.stores_in(region, zone, id).files.map(|port| (zone, port)));
    let asked = running.map(|(zone, port)| async move { read::has_quorum(port, ANSWER).await.then_some((zone, port)) });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Where the stores of every environment were seen last.
pub(super) struct Seats {
    plan: Arc<Plan>,
    testbed: Arc<dyn Testbed>,
    endpoints: Arc<Vec<Endpoints>>,
    seen: Mutex<BTreeMap<(EnvironmentIndex, Side), StorePorts>>,
}

impl Seats {
    pub(super) fn new(plan: Arc<Plan>, testbed: Arc<dyn Testbed>, endpoints: Arc<Vec<Endpoints>>) -> Self {
        Self { plan, testbed, endpoints, seen: Mutex::default() }
    }

    /// Where the stores of an environment on a side were seen last; nothing is asked.
    pub(super) fn last(&self, environment: EnvironmentIndex, side: Side) -> StorePorts {
        if self.testbed.zones() == 1 {
            let id = &self.plan.environments[usize::from(environment.0)].id;
            return self.testbed.stores(self.plan.regions.of(side), id);
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(environment, side)).copied().unwrap_or(StorePorts { sql: None, files: None })
    }

    /// Looks again and again until it is dropped, and says where seats are when it has changed; where regions are not divided it
    /// does nothing.
    pub(super) async fn follow(self: Arc<Self>, recorder: Recorder) {
        if self.testbed.zones() == 1 {
            return;
        }
        let count = u16::try_from(self.plan.environments.len()).unwrap_or(u16::MAX);
        let mut watched: Vec<Watched> = (0..count)
            .flat_map(|index| [Side(0), Side(1)].map(|side| Watched::new(EnvironmentIndex(index), side)))
            .collect();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            join_all(watched.iter_mut().map(|watched| self.look(watched, &recorder))).await;
        }
    }

    async fn look(&self, watched: &mut Watched, recorder: &Recorder) {
        let Watched { environment, side, .. } = *watched;
        let place = usize::from(environment.0);
        let (id, endpoints, region) =
            (&self.plan.environments[place].id, &self.endpoints[place], self.plan.regions.of(side));
        let began = recorder.clock().now();
        let testbed = self.testbed.as_ref();
        let (said, answering) = tokio::join!(ask_all(testbed, region, id, endpoints), answering(testbed, region, id));
        let ports = ports(&said, &answering);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert((environment, side), ports);
        for what in watched.saw(&said, began) {
            recorder.say(what);
        }
    }
}

/// What was seen of one environment in one region.
struct Watched {
    environment: EnvironmentIndex,
    side: Side,
    /// The last primary that was seen, and its timeline.
    seat: Option<(Zone, i32)>,
    /// The one before, until it is seen to follow.
    old: Option<Zone>,
    /// When the last look began.
    looked: RunTime,
}

impl Watched {
    fn new(environment: EnvironmentIndex, side: Side) -> Self {
        Self { environment, side, seat: None, old: None, looked: RunTime::ZERO }
    }

    /// What is new in what the zones said when a look began then.
    fn saw(&mut self, said: &[Says], began: RunTime) -> Vec<What> {
        let (environment, side) = (self.environment, self.side);
        let before = std::mem::replace(&mut self.looked, began);
        let mut news = Vec::new();
        // One that was given up may be the only one that answers; an older timeline is no news.
        let is_later = |says: &Says| self.seat.is_none_or(|(_, timeline)| says.timeline >= timeline);
        if let Some(now) = seat(said).filter(|says| !says.standby && is_later(says))
            && self.seat != Some((now.zone, now.timeline))
        {
            let moved = self.seat.filter(|(zone, _)| *zone != now.zone);
            self.old = moved.map(|(zone, _)| zone).or(self.old.filter(|old| *old != now.zone));
            self.seat = Some((now.zone, now.timeline));
            let timeline = u32::try_from(now.timeline).unwrap_or_default();
            news.push(What::SeatSeen { environment, side, zone: now.zone, timeline, before });
        }
        let follows = |says: &&Says| says.standby && says.streams && self.seat.is_some_and(|(_, t)| t == says.timeline);
        if let Some(old) = self.old
            && said.iter().filter(follows).any(|says| says.zone == old)
        {
            self.old = None;
            news.push(What::SeatFollows { environment, side, zone: old });
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALES: EnvironmentIndex = EnvironmentIndex(0);
    const EAST: Side = Side(0);

    fn says(zone: u8, standby: bool, timeline: i32, lsn: i64) -> Says {
        Says { zone: Zone(zone), port: u16::from(zone), standby, timeline, lsn, streams: standby }
    }

    #[test]
    fn the_seat_is_the_primary_of_the_latest_timeline_and_else_what_is_furthest() {
        let check = |said: &[Says], expected: Option<u8>| {
            assert_eq!(seat(said).map(|says| says.zone), expected.map(Zone), "{said:?}");
        };
        check(&[], None);
        check(&[says(1, false, 1, 90), says(2, true, 1, 90)], Some(1));
        // The old one was cut off and believes that it is the primary, with more in its log.
        check(&[says(1, false, 1, 99), says(2, false, 2, 70), says(3, true, 1, 60)], Some(2));
        check(&[says(2, true, 1, 70), says(3, true, 1, 80)], Some(3));
        check(&[says(2, true, 2, 70), says(3, true, 1, 80)], Some(2));
    }

    #[test]
    fn files_are_read_where_customers_write_them_and_else_wherever_the_store_answers() {
        let answering = [(Zone(1), 11), (Zone(2), 12)];
        let check = |said: &[Says], answering: &[(Zone, u16)], expected: Option<u16>| {
            assert_eq!(ports(said, answering).files, expected, "{said:?} {answering:?}");
        };
        check(&[says(2, false, 1, 5), says(1, true, 1, 5)], &answering, Some(12));
        check(&[says(3, false, 1, 5)], &answering, Some(11));
        check(&[], &answering, Some(11));
        check(&[says(2, false, 1, 5)], &[], None);
    }

    fn seen(zone: u8, timeline: u32, before: u64) -> What {
        What::SeatSeen { environment: SALES, side: EAST, zone: Zone(zone), timeline, before: RunTime(before) }
    }

    #[test]
    fn a_seat_is_told_when_it_moves_and_the_old_one_when_it_follows() {
        let mut watched = Watched::new(SALES, EAST);
        let mut check = |said: &[Says], began: u64, expected: Vec<What>| {
            assert_eq!(watched.saw(said, RunTime(began)), expected, "{said:?}");
        };
        let standbys = [says(2, true, 1, 5), says(3, true, 1, 5)];
        check(&standbys, 10, vec![]);
        check(&[says(1, false, 1, 5), standbys[0]], 20, vec![seen(1, 1, 10)]);
        check(&[says(1, false, 1, 9)], 30, vec![]);
        check(&standbys, 40, vec![]);
        check(&[says(2, false, 2, 9), says(3, true, 1, 5)], 50, vec![seen(2, 2, 40)]);
        // It woke up alone, and then both answer.
        check(&[says(1, false, 1, 11)], 60, vec![]);
        check(&[says(1, false, 1, 11), says(2, false, 2, 9)], 70, vec![]);
        let silent = Says { streams: false, ..says(1, true, 2, 9) };
        check(&[silent, says(2, false, 2, 9)], 80, vec![]);
        let follows = What::SeatFollows { environment: SALES, side: EAST, zone: Zone(1) };
        check(&[says(1, true, 2, 9), says(2, false, 2, 9)], 90, vec![follows]);
        check(&[says(1, true, 2, 9), says(2, false, 2, 9)], 100, vec![]);
    }
}
