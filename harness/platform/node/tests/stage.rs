//! Two nodes on real servers, and a control plane that grants what it is told to.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use nix::sys::signal::Signal;
use tokio::{sync::oneshot, task::JoinHandle};

use super::login;
use crate::{
    api::{
        Address, EnvironmentId, Epoch, Region, Zone,
        guard::Stamp,
        node::{Action, Answer, Command as NodeCommand, Fork},
        permit::{Grant, Holder, NodeState, PermitReply, PermitRequest},
        role::{NodeConfig, NodeSlot, Timers},
    },
    clients::{
        http::{Http, HttpError},
        poll,
    },
    os::{inventory, process::Identity},
    platform::{
        actor::{
            locked,
            trial::{TrialStore, folder, free_port, postgres_bin, program, show_logs},
        },
        node::serve::run_until,
    },
};

/// How long a permit of a test lives: long beside what a busy machine may hold a renewal up.
pub const PERMIT_MS: u64 = 1_500;

/// What the control plane of a test says.
#[derive(Default)]
pub struct Word {
    /// Who owns the environment.
    pub owner: Option<(Region, Epoch)>,
    /// In which zone.
    pub zone: Zone,
    /// Grants are given.
    pub grants: bool,
    /// The last claim of each region's node.
    pub claims: Vec<(Region, NodeState)>,
}

/// One region.
pub struct Side {
    pub config: NodeConfig,
    pub http: Http,
    node: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
    _store: Option<TrialStore>,
}

/// Both.
pub struct Stage {
    pub east: Side,
    pub west: Side,
    /// The east's second zone, if there is one.
    pub second: Option<Side>,
    pub word: Arc<Mutex<Word>>,
    _folder: tempfile::TempDir,
}

pub const TOKEN: &str = "internal-token";

pub fn sales() -> EnvironmentId {
    "sales".parse().unwrap()
}

impl Stage {
    pub async fn open(template: Option<PathBuf>) -> Self {
        Self::of_zones(template, 1).await
    }

    /// The east has two zones, the nodes of which share its store.
    pub async fn open_zones() -> Self {
        Self::of_zones(None, 2).await
    }

    async fn of_zones(template: Option<PathBuf>, zones: usize) -> Self {
        show_logs();
        let folder = folder();
        let word = Arc::new(Mutex::new(Word::default()));
        let control = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control_port = control.local_addr().unwrap().port();
        let router = Router::new().route("/internal/permits", post(grant)).with_state(Arc::clone(&word));
        tokio::spawn(async move { axum::serve(control, router).await });

        let [east, west, mut second] = [0, 1, 2].map(|_| [0; 4].map(|_| free_port()));
        second[2] = east[2];
        // Of each slot, by region and zone.
        let sources = |slot: usize| {
            let easts: Vec<u16> = [east[slot], second[slot]].into_iter().take(zones).collect();
            [("east", easts), ("west", vec![west[slot]])].map(|(region, ports)| {
                (region.parse().unwrap(), ports.into_iter().map(Address::from).collect::<Vec<_>>())
            })
        };
        let config = |region: &str, zone: u8, peer: &str, own: [u16; 4], other: [u16; 4]| NodeConfig {
            region: region.parse().unwrap(),
            zone: Zone(zone),
            peer: peer.parse().unwrap(),
            listen: (std::net::Ipv4Addr::LOCALHOST, own[0]).into(),
            data: folder.path().join(format!("{region}{zone}")),
            site: folder.path().join(format!("{region}{zone}-site")),
            internal_token: TOKEN.to_owned(),
            postgres_bin: postgres_bin(),
            template: template.clone(),
            mc: program("mc"),
            files: own[2].into(),
            files_root: login("root-user"),
            files_targets: vec![other[2].into()],
            slots: [1, 3].map(|slot| NodeSlot { postgres: own[slot], sources: sources(slot).into() }).to_vec(),
            control: control_port.into(),
            peer_nodes: vec![other[0].into()],
            auditor: login("auditor"),
            timers: Timers { permit_ms: PERMIT_MS, poll_ms: 100, ..Timers::default() },
            sabotage: None,
        };
        let side = |config: NodeConfig| Side {
            http: Http::local(config.listen.port(), TOKEN),
            node: None,
            _store: (config.zone == Zone::FIRST).then(|| {
                TrialStore::start(
                    &folder.path().join(format!("{}-files", config.region)),
                    config.files.port(),
                    &config.files_root,
                )
            }),
            config,
        };
        let mut stage = Self {
            east: side(config("east", 1, "west", east, west)),
            west: side(config("west", 1, "east", west, east)),
            second: (zones > 1).then(|| side(config("east", 2, "west", second, west))),
            word,
            _folder: folder,
        };
        stage.east.start().await;
        stage.west.start().await;
        if let Some(second) = &mut stage.second {
            second.start().await;
        }
        stage
    }

    /// Makes `sales` with its home in the east.
    pub async fn deploy(&self) {
        {
            let mut word = locked(&self.word);
            word.owner = Some(("east".parse().unwrap(), Epoch(1)));
            word.grants = true;
        }
        let spec = super::spec();
        let (east, west) = (&self.east, &self.west);
        assert_eq!(east.order(1, 1, Action::CreatePrimary(spec.clone())).await.unwrap(), Answer::Done);
        assert_eq!(west.order(1, 1, Action::CreateReplica(spec.clone())).await.unwrap(), Answer::Done);
        assert_eq!(east.order(1, 1, Action::ReplicateFiles(spec)).await.unwrap(), Answer::Done);
        let primary = "east".parse().unwrap();
        assert_eq!(west.order(1, 1, Action::AllowGranting { primary, guard: None }).await.unwrap(), Answer::Done);
    }

    /// As [`Self::deploy`], without replicating files.
    pub async fn deploy_sql(&self) {
        {
            let mut word = locked(&self.word);
            word.owner = Some(("east".parse().unwrap(), Epoch(1)));
            word.grants = true;
        }
        let spec = super::spec();
        let primary = "east".parse().unwrap();
        assert_eq!(self.east.order(1, 1, Action::CreatePrimary(spec.clone())).await.unwrap(), Answer::Done);
        assert_eq!(self.west.order(1, 1, Action::CreateReplica(spec)).await.unwrap(), Answer::Done);
        assert_eq!(self.west.order(1, 1, Action::AllowGranting { primary, guard: None }).await.unwrap(), Answer::Done);
    }

    /// The witness's compare-and-swap: `region` is the owner under `epoch`.
    pub fn swap(&self, region: &str, epoch: u64) {
        locked(&self.word).owner = Some((region.parse().unwrap(), Epoch(epoch)));
    }

    /// A region's side.
    pub fn side(&self, region: &str) -> &Side {
        if region == "east" { &self.east } else { &self.west }
    }

    /// Promotes a region's side under an epoch that it now owns.
    pub async fn promote(&self, region: &str, operation: u64, epoch: u64) -> Fork {
        self.swap(region, epoch);
        let promoted = self.side(region).order(operation, epoch, Action::Promote).await.unwrap();
        let Answer::Promoted { timeline, fork_lsn } = promoted else { panic!("{promoted:?}") };
        Fork { timeline, lsn: fork_lsn }
    }

    /// The last claim of a region's node.
    pub async fn claimed(&self, region: &str, what: impl Fn(&NodeState) -> bool) -> NodeState {
        poll::until("the claim", Duration::from_secs(10), Duration::from_millis(20), || async {
            let claim =
                locked(&self.word).claims.iter().find(|(name, _)| name.as_str() == region).map(|(_, c)| c.clone());
            match claim {
                Some(claim) if what(&claim) => Ok(claim),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for side in [&mut self.east, &mut self.west].into_iter().chain(&mut self.second) {
            if let Some((task, _)) = side.node.take() {
                task.abort();
            }
            for entry in inventory::read(&side.config.site).unwrap().processes {
                let _ = Identity { pid: entry.pid, start_ticks: entry.start_ticks }.signal_tree(Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            for side in [&self.east, &self.west].into_iter().chain(&self.second) {
                let log = side.config.data.join("log/sales.postgres.log");
                eprintln!("{}:\n{}", log.display(), std::fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }
}

impl Side {
    pub async fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let config = self.config.clone();
        let task = tokio::spawn(async move {
            let ended = run_until(config, async { drop(stopped.await) }).await;
            if let Err(error) = ended {
                panic!("{error}");
            }
        });
        self.node = Some((task, stop));
        poll::until("the node", Duration::from_secs(5), Duration::from_millis(5), || {
            self.http.get::<()>("/internal/ready", Duration::from_secs(1))
        })
        .await
        .unwrap();
    }

    /// As SIGKILL would: the clusters stay.
    pub async fn kill(&mut self) {
        let (task, _stop) = self.node.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    /// As SIGTERM would.
    pub async fn end(&mut self) {
        let (task, stop) = self.node.take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap();
    }

    pub async fn order(&self, operation: u64, epoch: u64, action: Action) -> Result<Answer, HttpError> {
        self.order_of(&sales(), Zone::FIRST, operation, epoch, action).await
    }

    /// As [`Self::order`], while the other region's side is in this zone of it.
    pub async fn order_beside(
        &self,
        peer_zone: Zone,
        operation: u64,
        epoch: u64,
        action: Action,
    ) -> Result<Answer, HttpError> {
        self.order_of(&sales(), peer_zone, operation, epoch, action).await
    }

    /// Of another environment.
    pub async fn order_for(
        &self,
        environment: &EnvironmentId,
        operation: u64,
        epoch: u64,
        action: Action,
    ) -> Result<Answer, HttpError> {
        self.order_of(environment, Zone::FIRST, operation, epoch, action).await
    }

    async fn order_of(
        &self,
        environment: &EnvironmentId,
        peer_zone: Zone,
        operation: u64,
        epoch: u64,
        action: Action,
    ) -> Result<Answer, HttpError> {
        let environment = environment.clone();
        let command = NodeCommand { operation, environment, epoch: Epoch(epoch), peer_zone, action };
        self.http.post("/internal/command", &command, Duration::from_secs(60)).await
    }

    /// As SIGKILL of the node and all its servers would.
    pub async fn crash(&mut self) {
        self.kill().await;
        for server in self.postgres() {
            server.signal_tree(Signal::SIGKILL).unwrap();
            // The tests' own process stays, and with it the server's pid, which a lock file names.
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(server.pid), None);
        }
        poll::until("the servers' end", Duration::from_secs(5), Duration::from_millis(5), || async {
            if self.postgres().is_empty() { Ok(()) } else { Err("still running") }
        })
        .await
        .unwrap();
    }

    /// A process of the environment's running Postgres, such as `walreceiver`.
    pub fn process(&self, what: &str) -> Identity {
        let title = |process: &Identity| std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid)).unwrap();
        let [server] = self.postgres()[..] else { panic!() };
        server.tree().into_iter().find(|process| title(process).contains(what)).unwrap()
    }

    /// The environment's running Postgres, by the inventory.
    pub fn postgres(&self) -> Vec<Identity> {
        let inventory = inventory::read(&self.config.site).unwrap();
        let entries = inventory.processes.iter().filter(|entry| inventory::is_alive(entry));
        entries.map(|entry| Identity { pid: entry.pid, start_ticks: entry.start_ticks }).collect()
    }
}

async fn grant(State(word): State<Arc<Mutex<Word>>>, Json(request): Json<PermitRequest>) -> Json<PermitReply> {
    let mut word = locked(&word);
    if request.holder == Holder::Node && request.zone == Zone::FIRST {
        word.claims.retain(|(region, _)| *region != request.region);
        for state in request.states {
            word.claims.push((request.region.clone(), state));
        }
    }
    let mut reply = PermitReply { grants: vec![], refused: vec![], stamp: Stamp::default() };
    if let Some((owner, epoch)) = &word.owner {
        for (environment, known) in request.known {
            if known < *epoch {
                reply.refused.push((environment, *epoch));
            } else if word.grants && request.region == *owner && request.zone == word.zone {
                reply.grants.push(Grant {
                    environment,
                    epoch: *epoch,
                    lifetime_ms: PERMIT_MS,
                    exposure_ok: true,
                    pace_ms: 0,
                    slot: 0,
                    bucket: "sales".to_owned(),
                    s3_access_key: "customer".to_owned(),
                    sql_reader: "reader".to_owned(),
                    marks_revision: 0,
                });
            }
        }
    }
    Json(reply)
}
