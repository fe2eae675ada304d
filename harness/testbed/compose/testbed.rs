//! The running testbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all, try_join_all};
use testcontainers::compose::{DockerCompose, LocalComposeOptions};
use tokio::{
    sync::{Notify, OnceCell},
    task::{AbortHandle, JoinSet},
};

use super::{
    disks, docker,
    engine::Engine,
    journal::Mirror,
    leftovers,
    links::Toxiproxies,
    packets::Packets,
    plan::{Mounted, Project, REGIONS, Rows, Size, compose_files, crossings, secrets},
    quotas, relay,
    stores::{self, Stores, Watched},
};
use crate::{
    api::{Address, EnvironmentId, Region, Zone, site::INVENTORY_FILE},
    clients::poll,
    model::{link::Link, process::ProcessName},
    os::files::private_folder,
    testbed::{
        contract::{
            Auditor, ComputePorts, ControlAccess, Deed, DiskDeed, Impediment, LinkTrial, PacketCounts, Process,
            ProcessState, QuotaSeen, Space, StorePorts, Testbed, TestbedError, Weighing,
        },
        guardian::{Charge, Guardian},
        layout::{Layout, Secrets, Service, Site, hosts},
        links::Links,
        log::tail,
        ports::Ports,
        probe, ready,
        role_binary::role_binary,
        setup::cache,
        spec::Spec,
        undo::{Entry, Ledger},
    },
};

/// How long everything may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// How long a node may take to start a Postgres again.
const POSTGRES_BACK: Duration = Duration::from_secs(30);

/// How long Compose gets to end everything by its own means.
const ORDERLY: Duration = Duration::from_secs(30);

/// How long the first copy of the control plane's journal may take.
const FIRST_COPY: Duration = Duration::from_secs(5);

/// How long ending the rest may take.
const END: Duration = Duration::from_secs(60);

/// Where a Toxiproxy gives a sign of life.
const TOXIPROXY: &str = "/version";

/// After which no answer is none, of something that is being killed.
const ANSWER: Duration = Duration::from_millis(150);

/// Services of a site, as a scenario names them, that are a container each. Its clusters live in the node's.
pub(super) const CONTAINERS: [&str; 3] = ["files", "node", "compute"];

/// Both regions, the witness, the edge and every link, as containers. Dropped, it ends all of them.
pub struct Compose {
    spec: Spec,
    folder: PathBuf,
    pub(super) layout: Layout,
    rows: Rows,
    secrets: Secrets,
    pub(super) project: Project,
    pub(super) engine: docker::Engine,
    /// Where the engine is.
    host: String,
    links: Links,
    packets: Arc<Packets>,
    /// Hosts whose disk is small.
    pub(super) small_disks: BTreeSet<String>,
    /// Where hosts were that are off the network.
    unplugged: Mutex<BTreeMap<String, Vec<docker::Place>>>,
    stack: Mutex<Option<DockerCompose>>,
    guardian: Guardian,
    ledger: Arc<Ledger>,
    /// What runs in each site, as it was seen last.
    stores: Arc<Mutex<BTreeMap<Site, Stores>>>,
    versions: Mutex<Vec<(String, String)>>,
    tasks: Mutex<Vec<AbortHandle>>,
    journal: OnceCell<PathBuf>,
    is_over: AtomicBool,
    _ports: Ports,
}

impl Compose {
    /// Brings everything up and waits until it is ready. Whatever was started is ended again if that fails.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] for what a user can do something about, else [`TestbedError::Failed`] with the last lines
    /// of the log concerned.
    pub async fn up(spec: Spec, engine: Engine) -> Result<Self, TestbedError> {
        let compose = Self::prepare(spec, &engine).await?;
        match compose.start_all(&engine).await {
            Ok(()) => Ok(compose),
            Err(error) => {
                let left = compose.end_all().await;
                if left.is_empty() {
                    return Err(error);
                }
                Err(TestbedError::Failed(format!("{error}; and it could not be ended: {}", left.join("; "))))
            }
        }
    }

    async fn prepare(spec: Spec, engine: &Engine) -> Result<Self, TestbedError> {
        let said = |what: &Path, error: std::io::Error| TestbedError::Unusable(format!("{}: {error}", what.display()));
        if let Some(region) = spec.regions.iter().find(|region| !REGIONS.contains(&region.as_str())) {
            let there = REGIONS.join(" and ");
            return Err(TestbedError::Unusable(format!("there is no region {region}: Compose has {there}")));
        }
        let folder = spec.folder()?;
        private_folder(&folder).map_err(|error| said(&folder, error))?;
        let folder = folder.canonicalize().map_err(|error| said(&folder, error))?;
        let binary = role_binary(&spec.role_binary, &folder).await?;
        let locks = cache().join("ports");
        let size = Size { regions: spec.regions.clone(), zones: spec.zones, slots: spec.environments_max };
        let (ports, first) = Ports::reserve_row(&locks, size.ports()).map_err(|error| said(&locks, error))?;
        let rows = Rows::from(first, &size);
        let layout = rows.layout();
        let (logs, mounted) = (folder.join("logs"), folder.join("compose"));
        for made in [&logs, &mounted] {
            private_folder(made).map_err(|error| said(made, error))?;
        }
        let secrets = secrets(&layout.regions);
        let write = Mounted { layout: &layout, rows: &rows, secrets: &secrets, settings: spec.settings() };
        write.write(&mounted).map_err(|error| said(&mounted, error))?;
        let project = Project(format!("geodrill-{}", spec.run_id.to_lowercase()));
        let ledger = Arc::new(Ledger::open(&folder).map_err(|error| said(&folder, error))?);
        let entry = Entry::Compose { project: project.0.clone(), host: engine.host.clone() };
        ledger.note(&entry).map_err(|error| said(&folder, error))?;
        let charge = Charge { folder: folder.clone(), standing: ledger.standing().to_owned() };
        let watch = logs.join("guardian.log");
        let guardian = match Guardian::post(&binary, &charge, &watch).await {
            Ok(guardian) => guardian,
            Err(error) => {
                // Nothing was started yet, so nothing stands.
                ledger.close().map_err(|error| said(&folder, error))?;
                let last = tail(&watch);
                return Err(TestbedError::Failed(format!("start the guardian: {error}; its log ends:\n{last}")));
            }
        };
        let (engine, host) = (engine.docker.clone(), engine.host.clone());
        let packets = Arc::new(Packets::new(engine.clone(), project.clone()));
        let beside = crossings(&layout);
        let proxies = Toxiproxies::new(engine.clone(), project.clone(), rows.dial(), Arc::clone(&packets), beside);
        let links = Links::new(&layout, Arc::new(proxies), Arc::clone(&ledger));
        let (stack, stores, versions, tasks, journal, is_over) = Default::default();
        let (small_disks, unplugged) = Default::default();
        let mut compose = Self {
            spec,
            folder,
            layout,
            rows,
            secrets,
            project,
            engine,
            host,
            links,
            packets,
            small_disks,
            unplugged,
            stack,
            guardian,
            ledger,
            stores,
            versions,
            tasks,
            journal,
            is_over,
            _ports: ports,
        };
        compose.small_disks =
            compose.spec.small_disks.iter().map(|process| compose.host_of(process)).collect::<Result<_, _>>()?;
        Ok(compose)
    }

    async fn start_all(&self, engine: &Engine) -> Result<(), TestbedError> {
        let began = Instant::now();
        let images = engine.images(&self.spec.role_binary).await?;
        tracing::debug!(after = ?began.elapsed(), "images there");
        self.bring_up(&images).await?;
        tracing::debug!(after = ?began.elapsed(), "containers started");
        for (region, milli) in &self.spec.quotas {
            quotas::set(&self.engine, &self.project, &self.sites(region), *milli).await?;
        }
        let sites = self.layout.sites();
        let stores = sites.iter().map(|site| self.await_store(site));
        // Roles go on trying until their links are there, and so do the nodes of a divided store.
        let links = self.links.start();
        let (stores, links) = tokio::join!(try_join_all(stores), links);
        stores?;
        links?;
        tracing::debug!(after = ?began.elapsed(), "links made, file stores ready");
        try_join_all(self.roles().iter().map(|host| self.await_container(host))).await?;
        tracing::debug!(after = ?began.elapsed(), "roles ready");
        self.note_versions(&images).await?;
        for (site, own) in &self.layout.own {
            let watched = Watched {
                engine: self.engine.clone(),
                site: site.clone(),
                node: self.project.container(&hosts::of(site, "node")),
                inventory: format!("{}/{INVENTORY_FILE}", self.site(&site.name())),
                files: own.files.port(),
                slots: usize::from(self.spec.environments_max),
            };
            self.keep(stores::watch(watched, Arc::clone(&self.stores)));
        }
        Ok(())
    }

    async fn bring_up(&self, images: &BTreeMap<String, String>) -> Result<(), TestbedError> {
        let files = self.folder.join("compose");
        let root = &self.secrets.auditor_s3;
        let mut parts: Vec<PathBuf> = compose_files(&self.layout).iter().map(|(name, _)| files.join(name)).collect();
        if let Some(overlay) = disks::overlay(&self.small_disks, self.spec.environments_max) {
            let path = files.join(disks::FILE);
            std::fs::write(&path, overlay)
                .map_err(|error| TestbedError::Unusable(format!("{}: {error}", path.display())))?;
            parts.push(path);
        }
        let options = LocalComposeOptions::new(&parts);
        let mut compose = DockerCompose::with_local_client(options)
            .with_project_name(&self.project.0)
            .with_wait(false)
            // The mark of the run, by which a guardian finds a `docker compose` that is still at work.
            .with_env("GEODRILL_RUN_DIR", self.folder.display().to_string())
            .with_env("GEODRILL_RUN", &self.spec.run_id)
            .with_env("GEODRILL_FILES", files.display().to_string())
            .with_env("GEODRILL_MINIO_USER", &root.user)
            .with_env("GEODRILL_MINIO_SECRET", &root.secret)
            .with_env("GEODRILL_MINIO_BROWSER", "off")
            // Readiness is looked for from outside; the containers' own checks would cost a processor.
            .with_env("GEODRILL_HEALTH_INTERVAL", "1h");
        for (name, value) in self.rows.variables().iter().chain(images) {
            compose = compose.with_env(name, value);
        }
        let up = compose.up().await.map_err(|error| refused(&error.to_string()));
        *lock(&self.stack) = Some(compose);
        up
    }

    /// Where each role has its container.
    fn roles(&self) -> Vec<String> {
        let of_site = |site: &Site| [hosts::of(site, "node"), hosts::of(site, "compute")];
        let all = [hosts::CONTROL, hosts::EDGE].map(str::to_owned).into_iter();
        all.chain(self.layout.own.keys().flat_map(of_site)).collect()
    }

    /// Waits until the store of a site serves requests; where it is one of several nodes and enough of them run, until what they
    /// are together takes writes.
    async fn await_store(&self, site: &Site) -> Result<(), TestbedError> {
        let host = hosts::of(site, "files");
        self.await_container(&host).await?;
        let mut running = 0;
        for node in Site::of(&site.region, self.layout.zones) {
            let container = self.project.container(&hosts::of(&node, "files"));
            running += u8::from(self.engine.running(&container).await?.is_some());
        }
        if running < 2 || 2 * running <= self.layout.zones {
            return Ok(());
        }
        self.await_answer(&host, self.sign(&host).0, ready::FILES_TOGETHER).await
    }

    /// Waits until the service of a container says that it is ready.
    async fn await_container(&self, host: &str) -> Result<(), TestbedError> {
        let (port, path) = self.sign(host);
        self.await_answer(host, port, path).await
    }

    async fn await_answer(&self, host: &str, port: u16, path: &'static str) -> Result<(), TestbedError> {
        let container = self.project.container(host);
        let ready = || async {
            match ready::look(port, path).await {
                Ok(()) => Ok(Ok(())),
                Err(why) => match self.engine.ended(&container).await {
                    Some(how) => Ok(Err(format!("it ended with {how}"))),
                    None => Err(why),
                },
            }
        };
        let waited = poll::until(host.to_owned(), READY, Duration::from_millis(30), ready).await;
        let done = waited.map_err(|error| error.to_string()).and_then(|done| done);
        match done {
            Ok(()) => Ok(()),
            Err(why) => {
                let last = self.engine.last_words(&container).await;
                Err(TestbedError::Failed(format!("{host} is not ready: {why}; its log ends:\n{last}")))
            }
        }
    }

    /// Where a container's service gives a sign of life.
    fn sign(&self, host: &str) -> (u16, &'static str) {
        let of_site = self.layout.own.iter().find_map(|(site, own)| {
            let service = host.strip_prefix(&site.name())?.strip_prefix('-')?;
            match service {
                "files" => Some((own.files.port(), ready::FILES)),
                "node" => Some((own.node.port(), ready::ROLE)),
                "compute" => Some((own.compute.port(), ready::ROLE)),
                _ => None,
            }
        });
        let links = self.layout.groups.iter().find(|(group, _)| hosts::links(group) == host);
        if let Some((_, api)) = links {
            return (api.port(), TOXIPROXY);
        }
        let other = if host == hosts::EDGE { &self.layout.edge } else { &self.layout.control };
        of_site.unwrap_or((other.port(), ready::ROLE))
    }

    async fn note_versions(&self, images: &BTreeMap<String, String>) -> Result<(), TestbedError> {
        let node = self.project.container(&hosts::of(&self.layout.regions[0], "node"));
        let (engine, said) = (&self.engine, |text: Vec<u8>| String::from_utf8_lossy(&text).trim().to_owned());
        let command = ["/usr/lib/postgresql/15/bin/postgres", "--version"].map(str::to_owned).to_vec();
        let (docker, postgres) = tokio::try_join!(engine.version(), engine.run(&node, command))?;
        let mut versions = vec![
            ("docker".to_owned(), docker),
            ("geodrill".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("postgres".to_owned(), said(postgres).replace("postgres (PostgreSQL) ", "")),
        ];
        versions.extend(images.iter().map(|(variable, name)| {
            let what = variable.trim_start_matches("GEODRILL_").trim_end_matches("_IMAGE").trim_end_matches("IMAGE");
            let what = if what.is_empty() { "role" } else { what };
            (format!("image of {}", what.to_lowercase()), name.clone())
        }));
        versions.sort();
        *lock(&self.versions) = versions;
        Ok(())
    }

    /// Keeps a task at work until the end.
    fn keep(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.tasks).push(tokio::spawn(task).abort_handle());
    }

    /// A site's folder in its containers.
    pub(super) fn site(&self, site: &str) -> String {
        self.layout.site(site).display().to_string()
    }

    /// Cuts the links of sites and, if wanted, kills their containers: all calls are made at once.
    async fn cut(&self, sites: &[Site], kills: bool) -> Result<(), TestbedError> {
        for site in sites {
            self.ledger
                .note(&Entry::Cut { site: site.name(), killed: kills })
                .map_err(|error| TestbedError::Failed(format!("write the undo ledger: {error}")))?;
        }
        let links = self.links.mark_cut(sites);
        let mut victims: Vec<String> = links.iter().map(hosts::links).collect();
        for site in sites.iter().filter(|_| kills) {
            victims.extend(CONTAINERS.map(|service| hosts::of(site, service)));
            lock(&self.stores).insert(site.clone(), Stores::default());
        }
        // The links' are asked for first: what Toxiproxy holds of a region that is gone must not arrive any more.
        let mut kills = JoinSet::new();
        for host in &victims {
            let (engine, container) = (self.engine.clone(), self.project.container(host));
            kills.spawn(async move { engine.kill(&container).await });
        }
        // The engine answers once it has taken down what belonged to a container, such as the rules of its ports, which can
        // take it a second. It is done when nobody answers any more.
        let dead = async {
            while self.any_answers(&victims).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let mut troubles = BTreeSet::new();
        let all = async {
            while let Some(killed) = kills.join_next().await {
                troubles.extend(
                    killed
                        .map_err(|error| error.to_string())
                        .and_then(|killed| killed.map_err(|error| error.to_string()))
                        .err(),
                );
            }
        };
        let killed = async {
            tokio::select! { () = dead => {} () = all => {} }
        };
        let ((), closed) = tokio::join!(killed, self.links.close(sites));
        // Dropped, they would be given up.
        kills.detach_all();
        match closed {
            Err(error) if !troubles.is_empty() || !error.is_done() => troubles.insert(error.to_string()),
            other => return other,
        };
        Err(TestbedError::Failed(Vec::from_iter(troubles).join("; ")))
    }

    /// Whether anything answers at the published ports of these hosts.
    async fn any_answers(&self, hosts: &[String]) -> bool {
        let asked = hosts.iter().map(|host| async {
            let (port, path) = self.sign(host);
            probe::lives(port, Service::Http(path), ANSWER).await
        });
        join_all(asked).await.into_iter().any(|answers| answers)
    }

    async fn bring_back(&self, sites: &[Site]) -> Result<(), TestbedError> {
        // The machines are there before the ways to them: a call to an address at which nobody is takes the kernel seconds to give up,
        // one to a server that does not listen yet is refused.
        let hosts = sites.iter().flat_map(|site| CONTAINERS.map(|service| hosts::of(site, service)));
        try_join_all(hosts.map(|host| async move { self.start_host(&host).await })).await?;
        self.links.uncut(sites).await?;
        let all = sites.iter().flat_map(|site| CONTAINERS.map(|service| self.start_container(site, service)));
        try_join_all(all).await?;
        Ok(())
    }

    /// Starts a site's container that does not run, and waits until its service is ready.
    async fn start_container(&self, site: &Site, service: &str) -> Result<(), TestbedError> {
        let host = hosts::of(site, service);
        self.start_host(&host).await?;
        if service == "files" { self.await_store(site).await } else { self.await_container(&host).await }
    }

    async fn start_host(&self, host: &str) -> Result<(), TestbedError> {
        let container = self.project.container(host);
        match self.engine.running(&container).await? {
            Some(_) => Ok(()),
            None => self.engine.start(&container).await,
        }
    }

    async fn plug_host(&self, name: &ProcessName, is_in: bool) -> Result<(), TestbedError> {
        let host = self.host_of(name)?;
        let container = self.project.container(&host);
        if !is_in {
            let places = self.engine.disconnect(&container).await?;
            lock(&self.unplugged).insert(host, places);
            return Ok(());
        }
        let places = lock(&self.unplugged).remove(&host).unwrap_or_default();
        for place in &places {
            self.engine.connect(&container, place).await?;
        }
        Ok(())
    }

    async fn start_again(&self, name: &ProcessName) -> Result<(), TestbedError> {
        let host = self.host_of(name)?;
        let site = self.layout.own.keys().find(|site| site.name() == name.site);
        if name.service != "postgres" {
            if let Some(site) = site {
                return self.start_container(site, &name.service).await;
            }
            self.start_host(&host).await?;
            return self.await_container(&host).await;
        }
        let wanted: BTreeSet<EnvironmentId> = match (&name.environment, site) {
            (Some(environment), _) => [environment.clone()].into(),
            (None, Some(site)) => {
                lock(&self.stores).get(site).map(|seen| seen.sql.keys().cloned().collect()).unwrap_or_default()
            }
            (None, None) => BTreeSet::new(),
        };
        let back = || async {
            for environment in &wanted {
                let name = ProcessName { environment: Some(environment.clone()), ..name.clone() };
                match self.find(&name).await {
                    Ok(found) if !found.is_empty() => {}
                    Ok(_) => return Err(format!("{name} does not run")),
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(())
        };
        poll::until(format!("{name} started again by its node"), POSTGRES_BACK, Duration::from_millis(100), back)
            .await
            .map_err(|error| TestbedError::Failed(error.to_string()))
    }

    /// Keeps what the containers have written, then ends everything.
    async fn end_all(&self) -> Vec<String> {
        if self.is_over.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        let mut troubles = Vec::new();
        if let Err(error) = self.ledger.note(&Entry::End) {
            troubles.push(format!("the undo ledger: {error}"));
        }
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
        self.keep_logs().await;
        self.packets.end().await;
        // By its own means first; whatever is left after that is found by its label.
        let stack = lock(&self.stack).take();
        if let Some(stack) = stack
            && let Ok(Err(error)) = tokio::time::timeout(ORDERLY, stack.down()).await
        {
            tracing::debug!(%error, "docker compose down");
        }
        let left = leftovers::Project { name: self.project.0.clone(), host: self.host.clone() };
        match tokio::task::spawn_blocking(move || left.end(END)).await {
            Ok(left) => troubles.extend(left),
            Err(error) => troubles.push(error.to_string()),
        }
        if troubles.is_empty() {
            match self.ledger.close() {
                Ok(()) => self.guardian.dismiss(),
                Err(error) => troubles.push(format!("the undo ledger: {error}")),
            }
        }
        troubles
    }

    async fn keep_logs(&self) {
        let links = self.layout.groups.keys().map(hosts::links);
        let stores = self.layout.own.keys().map(|site| hosts::of(site, "files"));
        let all: Vec<String> = self.roles().into_iter().chain(links).chain(stores).collect();
        join_all(all.iter().map(|host| async move {
            let path = self.folder.join("logs").join(format!("{host}.log"));
            let kept = match self.engine.log(&self.project.container(host), true).await {
                Ok(log) => crate::os::files::write_private(&path, &log).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = kept {
                tracing::debug!(%host, %why, "its log was not kept");
            }
        }))
        .await;
    }
}

/// What `docker compose` said, without its progress. What a person can mend is told as such.
fn refused(said: &str) -> TestbedError {
    let is_progress = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        ["Container", "Network", "Volume", "Image"].contains(&word) || line.trim().is_empty()
    };
    let told: Vec<&str> = said.lines().filter(|line| !is_progress(line)).collect();
    let told = told.join("\n").replace("Testcontainers error: other error: ", "");
    let found = ADVICE.iter().find(|(sign, _)| told.contains(sign));
    found.map_or_else(
        || TestbedError::Failed(told.clone()),
        |(_, advice)| TestbedError::Unusable(format!("{told}\n{advice}")),
    )
}

/// What Docker says when it has no more of something, and what can be done about it.
const ADVICE: [(&str, &str); 4] = [
    ("port is already allocated", PORT_TAKEN),
    ("address already in use", PORT_TAKEN),
    (
        "Pool overlaps",
        "these addresses are in use: end the other stack, or name the first two numbers of free ones in GEODRILL_SUBNET",
    ),
    (
        "no space left",
        "the engine's disk is full: `docker system df` says of what, `docker system prune` frees what nobody uses",
    ),
];

/// A run takes a row of ports that is free when it looks.
const PORT_TAKEN: &str = "somebody took a port of this run's meanwhile: run it again, it takes others then";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Testbed for Compose {
    fn name(&self) -> &'static str {
        "compose"
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn links(&self) -> Vec<Link> {
        self.layout.links()
    }

    fn control(&self) -> ControlAccess {
        let port = self.layout.listen("client", "witness", "control").port();
        ControlAccess { port, token: self.secrets.api_token.clone() }
    }

    fn auditor(&self) -> Auditor {
        Auditor { sql: self.secrets.auditor_sql.clone(), s3: self.secrets.auditor_s3.clone() }
    }

    fn versions(&self) -> Vec<(String, String)> {
        lock(&self.versions).clone()
    }

    fn processes<'a>(&'a self, name: &'a ProcessName) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(self.find(name))
    }

    fn trees<'a>(&'a self, roots: &'a [Process]) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(self.trees_of(roots))
    }

    fn states<'a>(&'a self, processes: &'a [Process]) -> BoxFuture<'a, Result<Vec<ProcessState>, TestbedError>> {
        Box::pin(self.states_of(processes))
    }

    fn act<'a>(&'a self, roots: &'a [Process], deed: Deed) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(self.do_to(roots, deed))
    }

    fn zones(&self) -> u8 {
        self.layout.zones
    }

    fn stores_in(&self, region: &Region, zone: Zone, environment: &EnvironmentId) -> StorePorts {
        let site = Site { region: region.clone(), zone };
        let seen = lock(&self.stores).get(&site).cloned().unwrap_or_default();
        let files = self.layout.own.get(&site).map(|own| own.files.port()).filter(|_| seen.files);
        StorePorts { sql: seen.sql.get(environment).copied(), files }
    }

    fn computes_in(&self, region: &Region, zone: Zone) -> Option<ComputePorts> {
        self.layout.computes(&Site { region: region.clone(), zone })
    }

    fn journal(&self) -> BoxFuture<'_, Option<PathBuf>> {
        Box::pin(async {
            let folder = self.journal.get_or_init(|| async {
                let folder = self.folder.join("journal");
                if let Err(error) = private_folder(&folder) {
                    tracing::warn!(%error, "no folder for copies of the journal");
                }
                let copied = Arc::new(Notify::new());
                let path = self.layout.site("witness").join("data").display().to_string();
                let mirror = Mirror {
                    engine: self.engine.clone(),
                    container: self.project.container(hosts::CONTROL),
                    path,
                    folder: folder.clone(),
                };
                self.keep(mirror.keep(Arc::clone(&copied)));
                // Whoever asks reads at once.
                let first = tokio::time::timeout(FIRST_COPY, copied.notified()).await;
                if first.is_err() {
                    tracing::warn!("the journal was not copied within {FIRST_COPY:?}");
                }
                folder
            });
            Some(folder.await.clone())
        })
    }

    fn sql_data_in(&self, _: &Region, _: Zone, _: &EnvironmentId) -> Option<PathBuf> {
        None
    }

    fn impede<'a>(&'a self, links: &'a [Link], how: Impediment) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.links.impede(links, how))
    }

    fn clear<'a>(&'a self, links: &'a [Link]) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.links.clear(links))
    }

    fn packets<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<PacketCounts, TestbedError>> {
        Box::pin(self.links.packets(link))
    }

    fn plug<'a>(&'a self, name: &'a ProcessName, is_in: bool) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.plug_host(name, is_in))
    }

    fn answers<'a>(&'a self, name: &'a ProcessName, within: Duration) -> BoxFuture<'a, Result<bool, TestbedError>> {
        Box::pin(async move {
            let (port, path) = self.sign(&self.host_of(name)?);
            Ok(probe::lives(port, Service::Http(path), within).await)
        })
    }

    fn disk<'a>(&'a self, name: &'a ProcessName, deed: DiskDeed) -> BoxFuture<'a, Result<Space, TestbedError>> {
        Box::pin(self.do_to_disk(name, deed))
    }

    fn try_link<'a>(
        &'a self,
        link: &'a Link,
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<(String, LinkTrial)>, TestbedError>> {
        Box::pin(self.links.trials(link, within))
    }

    fn weigh_link<'a>(
        &'a self,
        link: &'a Link,
        bytes: usize,
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<Weighing>, TestbedError>> {
        Box::pin(self.links.try_link(link, Some(bytes), within))
    }

    fn quota<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<QuotaSeen, TestbedError>> {
        Box::pin(async move { quotas::look(&self.engine, &self.project, &self.sites(region)).await })
    }

    fn lose_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.cut(&self.layout.sites_of(region)?, true).await })
    }

    fn return_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.bring_back(&self.layout.sites_of(region)?).await })
    }

    fn lose_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.cut(&[self.layout.site_of(region, zone)?], true).await })
    }

    fn isolate_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.cut(&[self.layout.site_of(region, zone)?], false).await })
    }

    fn return_zone<'a>(&'a self, region: &'a Region, zone: Zone) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move { self.bring_back(&[self.layout.site_of(region, zone)?]).await })
    }

    fn restart<'a>(&'a self, name: &'a ProcessName) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.start_again(name))
    }

    fn revive<'a>(
        &'a self,
        region: &'a Region,
        environment: &'a EnvironmentId,
    ) -> BoxFuture<'a, Result<Process, TestbedError>> {
        let why = format!("{environment} in {region}: in a container, Postgres is started by its node alone");
        Box::pin(async move { Err(TestbedError::Unusable(why)) })
    }

    fn isolate<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // What is one store must go on being one.
            self.links.spare_within(region);
            self.cut(&self.layout.sites_of(region)?, false).await
        })
    }

    fn notices<'a>(&'a self, receiver: u16) -> BoxFuture<'a, Result<Address, TestbedError>> {
        self.keep(relay::bring_out(self.rows.tunnel(), receiver));
        Box::pin(async move { Ok(self.layout.listen("witness", "client", "notices")) })
    }

    fn down<'a>(&'a self) -> BoxFuture<'a, Result<(), Vec<String>>> {
        Box::pin(async move {
            let left = self.end_all().await;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
        if self.is_over.load(Ordering::SeqCst) {
            return;
        }
        let left = crate::testbed::undo::end(&self.folder, END);
        if left.is_empty() {
            let _ = self.ledger.close();
        } else {
            tracing::error!(folder = %self.folder.display(), left = left.join("; "), "not everything was ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_is_told_without_its_progress_and_with_what_to_do() {
        let said = |text: &str| match refused(text) {
            TestbedError::Unusable(told) => told,
            other => panic!("nobody can do anything about it: {other}"),
        };
        let taken = " Container run-edge-1  Starting\nError response from daemon: driver failed programming external connectivity \
                     on endpoint run-edge-1 (0d): Bind for 127.0.0.1:21012 failed: port is already allocated\n";
        let told = said(taken);
        assert!(told.starts_with("Error response from daemon") && told.contains("21012"), "{told}");
        assert!(told.ends_with("run it again, it takes others then"), "{told}");
        let overlaps = " Network run_east  Creating\nfailed to create network run_east: Error response from daemon: Pool overlaps \
                        with other one on this address space\n";
        assert!(said(overlaps).contains("GEODRILL_SUBNET"));
        assert!(said("write /x: no space left on device").contains("docker system prune"));
        assert!(matches!(refused("Error response from daemon: oops"), TestbedError::Failed(_)));
    }
}
