//! Readings of the stores, past the platform, its fences and every link.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{recorder::Recorder, seats};
use crate::{
    api::{Region, Zone, environment::Endpoints},
    clients::poll,
    ledger,
    model::{
        event::What,
        observation::{Boundary, FilesSnapshot, ObjectReference, Observation, Reading, SqlSnapshot},
        operation::{EnvironmentIndex, Side},
        plan::Plan,
    },
    plane::Plane,
    testbed::{StorePorts, Testbed},
    workload::read::{self, Bodies, FilesRead},
};

/// How long the platform may take to say which region serves.
const SERVING_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked.
const SERVING_PERIOD: Duration = Duration::from_millis(100);

/// How long a server of the serving side that was started anew may take to be seen by the testbed: containers are looked into
/// now and then. One that is down stays so.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// The same of a store of several nodes one of which hangs: the others answer nobody until they have given it up, which MinIO's
/// do after some twenty seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// How long the nodes of such a store may take to start anew.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// How often that is looked at.
const SEEN_PERIOD: Duration = Duration::from_millis(50);

/// Bound of a reading of rows, and of each piece of a reading of files.
const WITHIN: Duration = Duration::from_secs(30);

/// Reads, and keeps what it read in the run's folder.
pub(super) struct Observer {
    pub(super) plan: Arc<Plan>,
    pub(super) testbed: Arc<dyn Testbed>,
    pub(super) plane: Arc<dyn Plane>,
    pub(super) recorder: Recorder,
    pub(super) endpoints: Arc<Vec<Endpoints>>,
    pub(super) reads: PathBuf,
    /// What boundary readings have read of each bucket.
    pub(super) bodies: Mutex<BTreeMap<(EnvironmentIndex, Side), Bodies>>,
}

impl Observer {
    /// Observes the side that serves an environment after a switch, the load running.
    pub(super) async fn boundary(&self, environment: EnvironmentIndex, event: &str) {
        let boundary = Boundary::Event(event.to_owned());
        match self.serving(environment).await {
            Ok(side) => {
                self.await_stores(environment, side).await;
                let observation = self.read(environment, side, boundary, true).await;
                self.keep(&observation);
            }
            Err(why) => {
                self.recorder.say(What::Problem(format!("{event}: the serving region could not be told: {why}")));
            }
        }
    }

    /// Where the stores of a side are, in whichever zone.
    async fn stores(&self, environment: EnvironmentIndex, side: Side) -> StorePorts {
        let place = usize::from(environment.0);
        let id = &self.plan.environments[place].id;
        seats::stores(self.testbed.as_ref(), self.region(side), id, &self.endpoints[place]).await
    }

    /// Where the file store of a side is to be read. One of several nodes is waited for: while they start anew none of them runs, and
    /// then they are not together yet. `None`: it is down.
    async fn files(&self, environment: EnvironmentIndex, side: Side) -> Option<u16> {
        let looked = self.stores(environment, side).await.files;
        let (testbed, region) = (self.testbed.as_ref(), self.region(side));
        if looked.is_some() || testbed.zones() == 1 {
            return looked;
        }
        let id = &self.plan.environments[usize::from(environment.0)].id;
        let runs = || Zone::all(testbed.zones()).any(|zone| testbed.stores_in(region, zone, id).files.is_some());
        let is_seen = || async { runs().then_some(()).ok_or("none of its nodes runs") };
        poll::until("a node of the file store", STARTED_WITHIN, SEEN_PERIOD, is_seen).await.ok()?;
        let look =
            || async { self.stores(environment, side).await.files.ok_or("none of its nodes can read all of it") };
        poll::until("the file store", ANSWERED_WITHIN, SEEN_PERIOD, look).await.ok()
    }

    /// Waits until both stores of a side are there to be read, or it is clear that they are not.
    async fn await_stores(&self, environment: EnvironmentIndex, side: Side) {
        let look = || async {
            let stores = self.stores(environment, side).await;
            if stores.sql.is_some() && stores.files.is_some() { Ok(()) } else { Err("a store is down") }
        };
        let within = if self.testbed.zones() == 1 { SEEN_WITHIN } else { ANSWERED_WITHIN };
        if let Err(error) = poll::until("the stores of the serving side", within, SEEN_PERIOD, look).await {
            // What is read says so too.
            tracing::debug!(%error, "a reading of what is down");
        }
    }

    /// Reads a bucket for what later boundary readings need not read again. A region without a store has nothing to read.
    ///
    /// # Errors
    /// Why it could not be read.
    pub(super) async fn acquaint(&self, environment: EnvironmentIndex, side: Side) -> Result<(), String> {
        match self.read_unknown(environment, side).await {
            Reading::Failed(why) => Err(why),
            Reading::Whole(_) | Reading::Down | Reading::Destroyed(_) => Ok(()),
        }
    }

    /// The final readings: each region cut off and read twice. References that look dangling are asked for at the
    /// customer's door before the cut.
    pub(super) async fn finals(&self) {
        let count = u16::try_from(self.plan.environments.len()).unwrap_or(u16::MAX);
        let mut serving = Vec::new();
        let mut marked = Vec::new();
        for environment in (0..count).map(EnvironmentIndex) {
            let side = self.serving(environment).await.unwrap_or_else(|why| {
                let why = format!("{}: the serving region could not be told: {why}", self.name(environment));
                self.recorder.say(What::Problem(why));
                Side(0)
            });
            serving.push(side);
            marked.push(self.marked_before_the_cut(environment, side).await);
        }
        for region in [&self.plan.regions.primary, &self.plan.regions.secondary] {
            if let Err(error) = self.testbed.isolate(region).await {
                self.recorder
                    .say(What::Problem(format!("{region} could not be cut off for the final readings: {error}")));
            }
        }
        for pass in [1, 2] {
            for environment in (0..count).map(EnvironmentIndex) {
                let place = usize::from(environment.0);
                for side in [Side(0), Side(1)] {
                    let serves = serving[place] == side;
                    let boundary = Boundary::Final { pass, serving: serves };
                    let mut observation = self.read(environment, side, boundary, false).await;
                    if let (true, Reading::Whole(files)) = (serves, &mut observation.files) {
                        files.marked.clone_from(&marked[place]);
                    }
                    self.keep(&observation);
                }
            }
        }
    }

    async fn marked_before_the_cut(&self, environment: EnvironmentIndex, side: Side) -> Vec<ObjectReference> {
        let boundary = Boundary::Final { pass: 0, serving: true };
        match self.read(environment, side, boundary, true).await.files {
            Reading::Whole(files) => {
                self.count_marks_left(environment, &files).await;
                files.marked
            }
            _ => Vec::new(),
        }
    }

    /// References that the platform still lists though their object is there.
    async fn count_marks_left(&self, environment: EnvironmentIndex, files: &FilesSnapshot) {
        let Ok(listed) = self.plane.marked(&self.plan.environments[usize::from(environment.0)].id).await else {
            return;
        };
        let there: std::collections::HashSet<(&str, &str)> =
            files.versions.iter().map(|version| (&*version.object_key, &*version.version_id)).collect();
        let left = listed.iter().filter(|listed| there.contains(&(&*listed.object_key, &*listed.version_id)));
        let references = left.count() as u64;
        self.recorder.say(What::MarksLeft { environment, references });
    }

    /// The region that serves the environment, as the platform says.
    pub(super) async fn serving(&self, environment: EnvironmentIndex) -> Result<Side, String> {
        let id = &self.plan.environments[usize::from(environment.0)].id;
        // The control plane may just have been killed and be on its way back.
        let asked = poll::until("the platform's answer", SERVING_WITHIN, SERVING_PERIOD, || self.plane.active(id));
        let active = asked.await.map_err(|error| error.to_string())?;
        Ok(self.plan.regions.side(&active))
    }

    /// Whether the platform says that the environment is protected.
    pub(super) async fn claims_protection(&self, environment: EnvironmentIndex) -> Result<bool, String> {
        let id = &self.plan.environments[usize::from(environment.0)].id;
        self.plane.protected(id).await.map_err(|error| error.to_string())
    }

    async fn read(&self, environment: EnvironmentIndex, side: Side, boundary: Boundary, doors: bool) -> Observation {
        let endpoints = &self.endpoints[usize::from(environment.0)];
        let stores = self.stores(environment, side).await;
        let auditor = self.testbed.auditor();
        let clock = self.recorder.clock();
        let began = clock.now();
        let sql = match stores.sql {
            Some(port) => whole(read::read_sql(port, &endpoints.database, &auditor.sql, WITHIN).await),
            None => Reading::Down,
        };
        let mut files = match boundary {
            Boundary::Event(_) | Boundary::Final { pass: 0, .. } => self.read_unknown(environment, side).await,
            Boundary::Final { .. } => self.read_files(environment, side, &mut Bodies::default()).await,
        };
        if let (true, Reading::Whole(sql), Reading::Whole(files)) = (doors, &sql, &mut files) {
            files.marked = self.marked(environment, sql, files).await;
        }
        Observation { environment, side, boundary, began, ended: clock.now(), sql, files }
    }

    /// Reads a bucket, but for bodies that such a reading has read before.
    async fn read_unknown(&self, environment: EnvironmentIndex, side: Side) -> Reading<FilesSnapshot> {
        let known = || self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: another reading of it at the same time begins with nothing.
        let mut bodies = known().remove(&(environment, side)).unwrap_or_default();
        let files = self.read_files(environment, side, &mut bodies).await;
        known().insert((environment, side), bodies);
        files
    }

    async fn read_files(
        &self,
        environment: EnvironmentIndex,
        side: Side,
        bodies: &mut Bodies,
    ) -> Reading<FilesSnapshot> {
        let Some(port) = self.files(environment, side).await else { return Reading::Down };
        let bucket = &self.endpoints[usize::from(environment.0)].bucket;
        let readers = if self.testbed.zones() == 1 { read::READERS } else { read::READERS_OF_NODES };
        let read = read::read_files(port, bucket, &self.testbed.auditor().s3, WITHIN, readers, bodies).await;
        if let Ok(FilesRead { withheld: Some(withheld), .. }) = &read {
            let (versions, waited_s) = (withheld.versions, withheld.waited.as_secs_f64());
            self.recorder.say(What::Withheld { environment, side, versions, waited_s });
        }
        whole(read.map(|read| read.snapshot))
    }

    /// References whose version is not in the bucket, answered with 409 at the customer's door and listed by the platform.
    async fn marked(
        &self,
        environment: EnvironmentIndex,
        sql: &SqlSnapshot,
        files: &FilesSnapshot,
    ) -> Vec<ObjectReference> {
        let place = usize::from(environment.0);
        let missing = missing(sql, files);
        if missing.is_empty() {
            return Vec::new();
        }
        match self.plane.marked(&self.plan.environments[place].id).await {
            Ok(listed) => read::marked(&missing, &self.endpoints[place], &listed, WITHIN).await.unwrap_or_else(|why| {
                self.recorder.say(What::Problem(format!("dangling references could not be asked for: {why}")));
                Vec::new()
            }),
            Err(error) => {
                self.recorder.say(What::Problem(format!("the list of dangling references could not be had: {error}")));
                Vec::new()
            }
        }
    }

    fn keep(&self, observation: &Observation) {
        if let Err(error) = ledger::reads::write(&self.reads, observation) {
            self.recorder.say(What::Problem(format!("an observation could not be kept: {error}")));
        }
    }

    /// The region of a side.
    pub(super) fn region(&self, side: Side) -> &Region {
        self.plan.regions.of(side)
    }

    fn name(&self, environment: EnvironmentIndex) -> &str {
        self.plan.environments[usize::from(environment.0)].id.as_str()
    }
}

fn whole<T>(read: Result<T, String>) -> Reading<T> {
    match read {
        Ok(read) => Reading::Whole(read),
        Err(why) => Reading::Failed(why),
    }
}

fn missing(sql: &SqlSnapshot, files: &FilesSnapshot) -> Vec<ObjectReference> {
    let there: std::collections::HashSet<(&str, &str)> =
        files.versions.iter().map(|version| (&*version.object_key, &*version.version_id)).collect();
    sql.data
        .iter()
        .filter_map(|row| row.object.as_ref())
        .filter(|object| !there.contains(&(&*object.object_key, &*object.version_id)))
        .cloned()
        .collect()
}
