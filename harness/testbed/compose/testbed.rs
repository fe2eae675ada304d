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
    docker,
    engine::Engine,
    journal::Mirror,
    leftovers,
    links::Toxiproxies,
    plan::{Mounted, Project, REGIONS, Rows, secrets},
    relay,
    stores::{self, Stores, Watched},
};
use crate::{
    api::{Address, EnvironmentId, Region, site::INVENTORY_FILE},
    clients::poll,
    model::{link::Link, process::ProcessName},
    os::files::private_folder,
    testbed::{
        contract::{
            Auditor, ComputePorts, ControlAccess, Deed, Impediment, LinkTrial, Process, ProcessState, StorePorts,
            Testbed, TestbedError, Weighing,
        },
        guardian::{Charge, Guardian},
        layout::{Layout, Secrets, Service, hosts},
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

/// Services of a region, as a scenario names them, that are a container each. Its clusters live in the node's.
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
    links: Links,
    stack: Mutex<Option<DockerCompose>>,
    guardian: Guardian,
    ledger: Arc<Ledger>,
    /// What runs in each region, as it was seen last.
    stores: Arc<Mutex<BTreeMap<Region, Stores>>>,
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
        let count = Rows::count(&spec.regions, spec.environments_max);
        let (ports, first) = Ports::reserve_row(&locks, count).map_err(|error| said(&locks, error))?;
        let rows = Rows::from(first, &spec.regions, spec.environments_max);
        let layout = rows.layout(&spec.regions, spec.environments_max);
        let (logs, mounted) = (folder.join("logs"), folder.join("compose"));
        for made in [&logs, &mounted] {
            private_folder(made).map_err(|error| said(made, error))?;
        }
        let secrets = secrets(&layout.regions);
        let (timers, policy) = (&spec.timers, &spec.policy);
        let write = Mounted { layout: &layout, rows: &rows, secrets: &secrets, timers, policy };
        write.write(&mounted).map_err(|error| said(&mounted, error))?;
        let project = Project(format!("geodrill-{}", spec.run_id.to_lowercase()));
        let ledger = Arc::new(Ledger::open(&folder).map_err(|error| said(&folder, error))?);
        ledger.note(&Entry::Compose { project: project.0.clone() }).map_err(|error| said(&folder, error))?;
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
        let engine = engine.docker.clone();
        let proxies = Toxiproxies::new(engine.clone(), project.clone(), rows.dial());
        let links = Links::new(&layout, Arc::new(proxies), Arc::clone(&ledger));
        let (stack, stores, versions, tasks, journal, is_over) = Default::default();
        Ok(Self {
            spec,
            folder,
            layout,
            rows,
            secrets,
            project,
            engine,
            links,
            stack,
            guardian,
            ledger,
            stores,
            versions,
            tasks,
            journal,
            is_over,
            _ports: ports,
        })
    }

    async fn start_all(&self, engine: &Engine) -> Result<(), TestbedError> {
        let began = Instant::now();
        let images = engine.images(&self.spec.role_binary).await?;
        tracing::debug!(after = ?began.elapsed(), "images there");
        self.bring_up(&images).await?;
        tracing::debug!(after = ?began.elapsed(), "containers started");
        let stores = self.layout.regions.iter().map(|region| async move {
            let host = hosts::of(region, "files");
            self.await_container(&host).await
        });
        // Roles go on trying until their links are there.
        let links = self.links.start();
        let (stores, links) = tokio::join!(try_join_all(stores), links);
        stores?;
        links?;
        tracing::debug!(after = ?began.elapsed(), "links made, file stores ready");
        try_join_all(self.roles().iter().map(|host| self.await_container(host))).await?;
        tracing::debug!(after = ?began.elapsed(), "roles ready");
        self.note_versions(&images).await?;
        for region in &self.layout.regions {
            let Some(own) = self.layout.own.get(region) else { continue };
            let watched = Watched {
                engine: self.engine.clone(),
                region: region.clone(),
                node: self.project.container(&hosts::of(region, "node")),
                inventory: format!("{}/{INVENTORY_FILE}", self.site(region.as_str())),
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
        let options = LocalComposeOptions::new(&[files.join("docker-compose.yml")]);
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
        let of_region = |region: &Region| [hosts::of(region, "node"), hosts::of(region, "compute")];
        let all = [hosts::CONTROL, hosts::EDGE].map(str::to_owned).into_iter();
        all.chain(self.layout.regions.iter().flat_map(of_region)).collect()
    }

    /// Waits until the service of a container says that it is ready.
    async fn await_container(&self, host: &str) -> Result<(), TestbedError> {
        let (port, path) = self.sign(host);
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
        let of_region = self.layout.own.iter().find_map(|(region, own)| {
            let service = host.strip_prefix(region.as_str())?.strip_prefix('-')?;
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
        of_region.unwrap_or((other.port(), ready::ROLE))
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

    /// Cuts a region's links and, if wanted, kills its containers: all calls are made at once.
    async fn cut(&self, region: &Region, kills: bool) -> Result<(), TestbedError> {
        self.known(region)?;
        self.ledger
            .note(&Entry::Cut { region: region.to_string(), killed: kills })
            .map_err(|error| TestbedError::Failed(format!("write the undo ledger: {error}")))?;
        let links = self.links.mark_cut(region);
        let mut victims: Vec<String> = links.iter().map(hosts::links).collect();
        if kills {
            victims.extend(CONTAINERS.map(|service| hosts::of(region, service)));
            lock(&self.stores).insert(region.clone(), Stores::default());
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
        let mut troubles = Vec::new();
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
        tokio::select! { () = dead => {} () = all => {} }
        // Dropped, they would be given up.
        kills.detach_all();
        if troubles.is_empty() { Ok(()) } else { Err(TestbedError::Failed(troubles.join("; "))) }
    }

    /// Whether anything answers at the published ports of these hosts.
    async fn any_answers(&self, hosts: &[String]) -> bool {
        let asked = hosts.iter().map(|host| async {
            let (port, path) = self.sign(host);
            probe::lives(port, Service::Http(path), ANSWER).await
        });
        join_all(asked).await.into_iter().any(|answers| answers)
    }

    fn known(&self, region: &Region) -> Result<(), TestbedError> {
        if self.layout.regions.contains(region) {
            return Ok(());
        }
        Err(TestbedError::Unusable(format!("there is no region {region}")))
    }

    async fn bring_back(&self, region: &Region) -> Result<(), TestbedError> {
        self.known(region)?;
        self.links.uncut(region).await?;
        try_join_all(CONTAINERS.map(|service| {
            let host = hosts::of(region, service);
            async move { self.start_container(&host).await }
        }))
        .await?;
        Ok(())
    }

    /// Starts a container that does not run, and waits until its service is ready.
    async fn start_container(&self, host: &str) -> Result<(), TestbedError> {
        let container = self.project.container(host);
        if self.engine.running(&container).await?.is_none() {
            self.engine.start(&container).await?;
        }
        self.await_container(host).await
    }

    async fn start_again(&self, name: &ProcessName) -> Result<(), TestbedError> {
        let host = self.host_of(name)?;
        if name.service != "postgres" {
            return self.start_container(&host).await;
        }
        let wanted: BTreeSet<EnvironmentId> = match (&name.environment, name.site.parse::<Region>()) {
            (Some(environment), _) => [environment.clone()].into(),
            (None, Ok(region)) => {
                lock(&self.stores).get(&region).map(|seen| seen.sql.keys().cloned().collect()).unwrap_or_default()
            }
            (None, Err(_)) => BTreeSet::new(),
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
        // By its own means first; whatever is left after that is found by its label.
        let stack = lock(&self.stack).take();
        if let Some(stack) = stack
            && let Ok(Err(error)) = tokio::time::timeout(ORDERLY, stack.down()).await
        {
            tracing::debug!(%error, "docker compose down");
        }
        let project = self.project.0.clone();
        match tokio::task::spawn_blocking(move || leftovers::end(&project, END)).await {
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
        let stores = self.layout.regions.iter().map(|region| hosts::of(region, "files"));
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
    let taken = ["port is already allocated", "address already in use", "Pool overlaps", "no space left"];
    if taken.iter().any(|sign| told.contains(sign)) { TestbedError::Unusable(told) } else { TestbedError::Failed(told) }
}

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

    fn stores(&self, region: &Region, environment: &EnvironmentId) -> StorePorts {
        let seen = lock(&self.stores).get(region).cloned().unwrap_or_default();
        let files = self.layout.own.get(region).map(|own| own.files.port()).filter(|_| seen.files);
        StorePorts { sql: seen.sql.get(environment).copied(), files }
    }

    fn computes(&self, region: &Region) -> Option<ComputePorts> {
        self.layout.computes(region)
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

    fn sql_data(&self, _: &Region, _: &EnvironmentId) -> Option<PathBuf> {
        None
    }

    fn impede<'a>(&'a self, links: &'a [Link], how: Impediment) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.links.impede(links, how))
    }

    fn clear<'a>(&'a self, links: &'a [Link]) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.links.clear(links))
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

    fn lose_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.cut(region, true))
    }

    fn return_region<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(self.bring_back(region))
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
        Box::pin(self.cut(region, false))
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
