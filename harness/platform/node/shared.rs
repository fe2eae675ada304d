//! What the node's parts share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{
    files::Files,
    grants::{Grants, grant},
    postgres::{Cluster, Place},
    processors::Meter,
    state::{Durable, Record},
    store::Store,
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        guard::Stamp,
        node::Spec,
        permit::{self, NodeState, PermitReply, PermitRequest, SqlRole},
        role::NodeConfig,
    },
    os::files,
    platform::actor::{
        lease::{Grantor, Permits, Stamps, Terms},
        locked,
        renewal::Holds,
    },
};

/// One environment's cluster, and what is claimed of it.
pub struct Supervised {
    /// The environment.
    pub id: EnvironmentId,
    /// Held by whoever changes the cluster.
    pub cluster: AsyncMutex<Cluster>,
    /// Held by whoever changes its bucket.
    pub bucket: AsyncMutex<()>,
    /// Wakes the supervisor.
    pub wake: Notify,
    /// The last claim.
    pub claim: Mutex<NodeState>,
    /// The stamps that the node had when it began to read the positions that the last claim has.
    pub read_after: Mutex<Stamps>,
}

/// A node.
pub struct Node {
    /// Configuration.
    pub config: NodeConfig,
    /// What must not be forgotten.
    pub durable: Durable,
    /// Its own permits.
    pub permits: Mutex<Permits>,
    /// Those it gives.
    pub grants: Mutex<Grants>,
    /// The zone's file store.
    pub store: Store,
    /// Running accounts, and whether the store answers.
    pub files: Files,
    /// The environments that have a cluster here.
    pub supervised: Mutex<BTreeMap<EnvironmentId, Arc<Supervised>>>,
    /// Tells that an environment was added.
    pub added: Notify,
    /// What it may use of the processors, and uses.
    pub processors: Mutex<Meter>,
}

impl Node {
    /// As it was left.
    ///
    /// # Errors
    /// The system's.
    pub fn open(config: NodeConfig) -> std::io::Result<Self> {
        for folder in ["pg", "s", "x", "log", "pass", "mc", "evidence", "scratch"] {
            files::private_folder(&config.data.join(folder))?;
        }
        let durable = Durable::open(config.data.join("node.json"))?;
        let now = Instant::now();
        let state = durable.read().clone();
        let epochs = state.environments.iter().map(|(environment, record)| (environment.clone(), record.epoch));
        let permits = Permits::new(epochs, config.sabotage);
        // No two lives begin in the same microsecond.
        let life = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let grants = Grants::new(&config.timers, &state, now, u64::try_from(life).unwrap_or(u64::MAX));
        let store = Store::new(&config);
        let node = Self {
            durable,
            permits: Mutex::new(permits),
            grants: Mutex::new(grants),
            store,
            files: Files::default(),
            supervised: Mutex::default(),
            added: Notify::new(),
            processors: Mutex::default(),
            config,
        };
        for (environment, record) in state.environments {
            if let Some(spec) = &record.spec {
                node.supervise(&environment, spec);
            }
        }
        Ok(node)
    }

    /// The supervised cluster of an environment, made known if it is new.
    pub fn supervise(&self, environment: &EnvironmentId, spec: &Spec) -> Arc<Supervised> {
        // Before the lock is had: who holds the state takes this lock after it.
        let place = self.place(environment, spec);
        let mut supervised = locked(&self.supervised);
        let known = supervised.entry(environment.clone()).or_insert_with(|| {
            self.added.notify_one();
            let claim = NodeState {
                environment: environment.clone(),
                epoch: Epoch(0),
                sql: SqlRole::Down,
                timeline: 0,
                lsn: 0,
                other_lsn: 0,
                streaming: false,
                files_pending: 0,
                files_oldest_ms: 0,
                after: None,
            };
            Arc::new(Supervised {
                id: environment.clone(),
                cluster: AsyncMutex::new(Cluster::new(place)),
                bucket: AsyncMutex::new(()),
                wake: Notify::new(),
                claim: Mutex::new(claim),
                read_after: Mutex::default(),
            })
        });
        Arc::clone(known)
    }

    /// Where an environment's cluster is if it is made from this, and whom it follows as far as the node's record says.
    pub fn place(&self, environment: &EnvironmentId, spec: &Spec) -> Place {
        let record = self.durable.record(environment);
        Place {
            follows: record.followed(&self.config.region, &self.config.peer),
            synchronous: record.awaited(),
            ..Place::new(&self.config, environment, spec)
        }
    }

    /// The supervised cluster of an environment that has one.
    pub fn cluster(&self, environment: &EnvironmentId) -> Option<Arc<Supervised>> {
        locked(&self.supervised).get(environment).cloned()
    }

    /// The position that the environment's standby here has on its disk, if one streams.
    pub fn received(&self, environment: &EnvironmentId) -> Option<u64> {
        let supervised = self.cluster(environment)?;
        let claim = locked(&supervised.claim);
        (claim.sql == SqlRole::Standby && claim.streaming).then_some(claim.lsn)
    }

    /// What this node says of a cluster to a grantor. The stamp was had before the positions were read.
    fn claim(&self, supervised: &Supervised, grantor: Grantor) -> NodeState {
        let held = locked(&supervised.claim);
        let after = locked(&supervised.read_after).get(&grantor).copied();
        let claim = NodeState { after, ..held.clone() };
        drop(held);
        self.files.claim(claim)
    }

    /// The node's own terms in an environment.
    pub fn terms(&self, environment: &EnvironmentId) -> Terms {
        locked(&self.permits).terms(environment)
    }

    /// Lets a command that made this zone the owner stand for a permit until the first one arrives, for `lifetime` at
    /// most.
    pub fn stand_in(&self, environment: &EnvironmentId, record: &Record, lifetime: Duration) {
        let (Some(spec), Some(epoch)) = (&record.spec, record.owned()) else { return };
        let now = Instant::now();
        let grants = vec![grant(environment, epoch, spec, lifetime)];
        let reply = PermitReply { grants, refused: vec![], stamp: Stamp::default() };
        locked(&self.permits).take(Grantor::Command, now, reply, now);
    }

    /// Remembers an epoch, durably first.
    ///
    /// # Errors
    /// The system's.
    pub fn raise(&self, environment: &EnvironmentId, epoch: Epoch) -> std::io::Result<()> {
        self.durable.change(environment, |record| record.epoch = record.epoch.max(epoch))?;
        locked(&self.permits).raise(environment, epoch);
        Ok(())
    }
}

impl Holds for Node {
    fn request(&self, grantor: Grantor) -> PermitRequest {
        let after = locked(&self.permits).stamps().get(&grantor).copied();
        let state = self.durable.read();
        let known =
            state.environments.iter().map(|(environment, record)| (environment.clone(), record.epoch)).collect();
        // Of a replica that was dropped there is nothing to say.
        let has_stores = |supervised: &Arc<Supervised>| {
            state.environments.get(&supervised.id).is_some_and(|record| record.spec.is_some())
        };
        let supervised: Vec<_> = locked(&self.supervised).values().filter(|one| has_stores(one)).cloned().collect();
        drop(state);
        let silent = locked(&self.grants).peer_silent(Instant::now());
        PermitRequest {
            holder: permit::Holder::Node,
            region: self.config.region.clone(),
            zone: self.config.zone,
            known,
            peer_silent_ms: silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
            states: supervised.iter().map(|supervised| self.claim(supervised, grantor)).collect(),
            files: vec![],
            after,
            files_ok: Some(self.files.answers.load(Ordering::Relaxed)),
            processors: locked(&self.processors).look(Instant::now()),
        }
    }

    async fn take(&self, from: Grantor, sent: Instant, reply: PermitReply) {
        let news = locked(&self.permits).news(&reply);
        for (environment, epoch) in news {
            tracing::info!(%environment, epoch = epoch.0, "greater epoch");
            if let Err(error) = self.raise(&environment, epoch) {
                // An epoch that is not durable may not be acted upon: the reply counts for nothing.
                tracing::error!(%environment, %error, "cannot remember an epoch");
                return;
            }
        }
        locked(&self.permits).take(from, sent, reply, Instant::now());
    }
}
