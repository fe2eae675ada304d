//! Two file stores with their nodes' files side, every link between them through two proxies of one Toxiproxy. No Postgres.

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_s3::Client;
use tokio::task::JoinHandle;

use crate::{
    api::{
        Address, Epoch, Zone,
        compute::{AccountEntry, AccountMark, AccountOperation, AccountPush},
        environment::Login,
        role::{NodeConfig, Timers},
    },
    clients::{
        poll, s3,
        toxiproxy::{ProxyState, Toxiproxy},
    },
    os::spawn,
    platform::{
        actor::{
            locked,
            trial::{TrialStore, folder, free_port, program, show_logs},
        },
        node::{
            files::{
                self,
                compare::{Comparison, Difference, Source},
            },
            shared::Node,
            state::Role,
            store::Listing,
            tests::{login, sales, spec},
        },
    },
};

const WITHIN: Duration = Duration::from_secs(5);

/// One region's store and node.
pub struct Side {
    pub node: Arc<Node>,
    /// The customers' own client.
    pub customer: Client,
    task: JoinHandle<()>,
    _store: TrialStore,
}

/// Both.
pub struct Stage {
    pub east: Side,
    pub west: Side,
    proxies: Toxiproxy,
    server: Child,
    next: u64,
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// East is the primary under epoch 1, its bucket replicated.
    pub async fn open() -> Self {
        show_logs();
        let folder = folder();
        let (api, stores) = (free_port(), [free_port(), free_port()]);
        let mut server = spawn::command(program("toxiproxy-server"), &folder.path().to_path_buf());
        server.args(["-host", "127.0.0.1", "-port", &api.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().unwrap();
        let proxies = Toxiproxy::at(api);
        poll::until("toxiproxy", WITHIN, Duration::from_millis(20), || proxies.version(WITHIN)).await.unwrap();
        let links: Vec<ProxyState> = [("east", stores[1]), ("west", stores[0])]
            .iter()
            .flat_map(|(from, to)| {
                (0..2).map(move |n| {
                    ProxyState::new(
                        format!("{from}-{n}"),
                        std::net::SocketAddr::from(([127, 0, 0, 1], free_port())),
                        &Address::from(*to),
                        true,
                    )
                })
            })
            .collect();
        proxies.populate(&links, WITHIN).await.unwrap();
        let port = |n: usize| links[n].listen.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let side = |region: &str, peer: &str, own: u16, targets: Vec<u16>| {
            let config = config(region, peer, own, targets, folder.path().join(region));
            let root = config.files_root.clone();
            let store = TrialStore::start(&folder.path().join(format!("{region}-files")), own, &root);
            let node = Arc::new(Node::open(config).unwrap());
            let task = tokio::spawn(files::run(Arc::clone(&node)));
            Side { node, customer: s3::client(own, &login("customer"), WITHIN), task, _store: store }
        };
        let east = side("east", "west", stores[0], vec![port(0), port(1)]);
        let west = side("west", "east", stores[1], vec![port(2), port(3)]);
        let stage = Self { east, west, proxies, server, next: 1, folder };
        let spec = spec();
        tokio::try_join!(stage.east.node.store.make_bucket(&spec), stage.west.node.store.make_bucket(&spec)).unwrap();
        stage.east.is(Role::Primary(Epoch(1)), 1);
        stage.west.is(Role::Standby, 1);
        stage.east.node.store.replicate(&spec).await.unwrap();
        stage
    }

    /// Opens or closes one of the two proxies out of a region's store.
    pub async fn link(&self, from: &str, proxy: usize, open: bool) {
        self.proxies.switch(&format!("{from}-{proxy}"), open, WITHIN).await.unwrap();
    }

    /// What the compute in the east would push.
    pub fn push(&mut self, operation: AccountOperation, key: &str, version: &str) -> AccountMark {
        let entry =
            AccountEntry { number: self.next, object_key: key.to_owned(), version_id: version.to_owned(), operation };
        self.next += 1;
        let push = AccountPush { environment: sales(), epoch: Epoch(1), kept_from: 1, entries: vec![entry] };
        files::take(&self.east.node, push).unwrap()
    }

    /// The number of the last entry pushed.
    pub fn sealed(&self) -> u64 {
        self.next - 1
    }

    pub async fn put(&mut self, key: &str, body: &str) -> String {
        let version = self.east.put(key, body).await;
        self.push(AccountOperation::Put, key, &version);
        version
    }

    pub async fn mark(&mut self, key: &str) -> String {
        let version = self.east.mark(key).await;
        self.push(AccountOperation::Mark, key, &version);
        version
    }

    pub async fn purge(&mut self, key: &str, version: &str) {
        self.east.purge(key, version).await;
        self.push(AccountOperation::Purge, key, version);
    }

    /// In what the two stores differ, each by its own word.
    pub async fn differences(&self) -> Vec<Difference> {
        let source = |side: &Side| Source::Store(Listing::new(side.node.store.root(), "sales"));
        let mut comparison = Comparison::new(source(&self.east), source(&self.west));
        let mut all = Vec::new();
        while let Some(found) = comparison.next().await.unwrap() {
            all.push(found);
        }
        all
    }

    /// Waits until the account is verified; returns how long that took.
    pub async fn verified(&self, within: Duration) -> Duration {
        let started = Instant::now();
        poll::until("the account to be verified", within, Duration::from_millis(10), || async {
            let account = self.east.node.files.account(&sales());
            let (pending, _) = locked(&account.ledger).pending(Instant::now());
            if pending == 0 { Ok(()) } else { Err(format!("{pending} pending: {}", account.last_word())) }
        })
        .await
        .unwrap();
        started.elapsed()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.east.task.abort();
        self.west.task.abort();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Side {
    /// Sets what the node's cluster is, as control's commands would.
    pub fn is(&self, role: Role, epoch: u64) {
        let change = |record: &mut crate::platform::node::state::Record| {
            record.spec = Some(spec());
            record.role = role;
            record.epoch = Epoch(epoch);
        };
        self.node.durable.change(&sales(), change).unwrap();
    }

    pub async fn put(&self, key: &str, body: &str) -> String {
        let put = self.customer.put_object().bucket("sales").key(key).body(body.as_bytes().to_vec().into());
        put.content_type("text/x-trial").metadata("note", body).send().await.unwrap().version_id.unwrap()
    }

    pub async fn mark(&self, key: &str) -> String {
        self.customer.delete_object().bucket("sales").key(key).send().await.unwrap().version_id.unwrap()
    }

    pub async fn purge(&self, key: &str, version: &str) {
        self.customer.delete_object().bucket("sales").key(key).version_id(version).send().await.unwrap();
    }
}

fn config(region: &str, peer: &str, own: u16, targets: Vec<u16>, data: PathBuf) -> NodeConfig {
    let root = |name: &str| Login { user: format!("root-{name}"), secret: "root-user-secret".to_owned() };
    NodeConfig {
        region: region.parse().unwrap(),
        zone: Zone::FIRST,
        peer: peer.parse().unwrap(),
        listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        site: data.join("site"),
        data,
        internal_token: String::new(),
        postgres_bin: PathBuf::new(),
        template: None,
        mc: program("mc"),
        files: own.into(),
        files_root: root(region),
        files_targets: targets.into_iter().map(Address::from).collect(),
        slots: vec![],
        control: 0.into(),
        peer_nodes: vec![0.into()],
        auditor: login("auditor"),
        timers: Timers { poll_ms: 100, ..Timers::default() },
        sabotage: None,
    }
}
