//! The running testbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all, try_join_all};
use nix::sys::signal::Signal;
use testcontainers::compose::{DockerCompose, LocalComposeOptions};
use tokio::task::AbortHandle;

use super::{
    docker,
    engine::Engine,
    inside::{Answer, Ask, Pair},
    journal, leftovers,
    links::Toxiproxies,
    plan::{Mounted, Project, REGIONS, Rows, secrets},
    relay,
};
use crate::{
    api::{Address, EnvironmentId, Region},
    clients::poll,
    model::{link::Link, process::ProcessName},
    os::{files::private_folder, process::Identity},
    testbed::{
        contract::{
            Auditor, ControlAccess, Deed, Impediment, LinkTrial, Process, ProcessState, StorePorts, Testbed,
            TestbedError, Weighing,
        },
        guardian::{Charge, Guardian},
        layout::{Layout, Secrets, hosts},
        links::Links,
        log::tail,
        ports::Ports,
        ready,
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

/// How long ending the rest may take.
const END: Duration = Duration::from_secs(60);

/// Between two looks at the stores that run.
const LOOK: Duration = Duration::from_millis(500);

/// Services of a region, as a scenario names them, that are a container each. Its clusters live in the node's.
const CONTAINERS: [&str; 3] = ["files", "node", "compute"];

/// Both regions, the witness, the edge and every link, as containers. Dropped, it ends all of them.
pub struct Compose {
    spec: Spec,
    folder: PathBuf,
    layout: Layout,
    rows: Rows,
    secrets: Secrets,
    project: Project,
    engine: docker::Engine,
    links: Links,
    stack: Mutex<Option<DockerCompose>>,
    guardian: Guardian,
    ledger: Ledger,
    /// What runs in each region, as it was seen last.
    stores: Arc<Mutex<BTreeMap<Region, Stores>>>,
    versions: Mutex<Vec<(String, String)>>,
    tasks: Mutex<Vec<AbortHandle>>,
    journal: OnceLock<PathBuf>,
    is_over: AtomicBool,
    _ports: Ports,
}

#[derive(Debug, Clone, Default)]
struct Stores {
    sql: BTreeMap<EnvironmentId, u16>,
    files: bool,
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
        let ledger = Ledger::open(&folder).map_err(|error| said(&folder, error))?;
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
        let links = Links::new(&layout, Arc::new(Toxiproxies::new(engine.clone(), project.clone())));
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
            self.keep(watch_stores(
                self.engine.clone(),
                self.project.clone(),
                region.clone(),
                Arc::clone(&self.stores),
            ));
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
        let up = compose.up().await.map_err(|error| TestbedError::Failed(format!("docker compose up: {error}")));
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

    /// The host of a process that is a container of its own, or the node's, for a cluster.
    fn host_of(&self, name: &ProcessName) -> Result<String, TestbedError> {
        let unknown = || TestbedError::Unusable(format!("there is no process `{name}`"));
        match (name.site.as_str(), name.service.as_str()) {
            ("witness", "control") => Ok(hosts::CONTROL.to_owned()),
            ("edge", "edge") => Ok(hosts::EDGE.to_owned()),
            (site, service) => {
                let region = self.layout.regions.iter().find(|region| region.as_str() == site).ok_or_else(unknown)?;
                match service {
                    "postgres" => Ok(hosts::of(region, "node")),
                    service if CONTAINERS.contains(&service) => Ok(hosts::of(region, service)),
                    _ => Err(unknown()),
                }
            }
        }
    }

    async fn find(&self, name: &ProcessName) -> Result<Vec<Process>, TestbedError> {
        let container = self.project.container(&self.host_of(name)?);
        let Some((process, state)) = self.engine.running(&container).await? else { return Ok(Vec::new()) };
        if name.service != "postgres" {
            return Ok(vec![process]);
        }
        // Nothing can be asked in a container that is frozen, and nothing in it has ended.
        if state == ProcessState::Stopped {
            return Err(TestbedError::Failed(format!("{container} is paused: its processes cannot be seen")));
        }
        let ask = Ask::Processes { service: name.service.clone(), environment: name.environment.clone() };
        let site = self.site(&name.site);
        Ok(inside(&container, self.engine.ask(&container, &site, &ask).await?))
    }

    /// A site's folder in its containers.
    fn site(&self, site: &str) -> String {
        self.layout.site(site).display().to_string()
    }

    /// Asks about those of these processes that are inside containers, a container at a time.
    async fn ask_inside(
        &self,
        processes: &[Process],
        ask: impl Fn(Vec<Pair>) -> Ask,
    ) -> Result<Vec<(String, Vec<Pair>, Answer)>, TestbedError> {
        let mut by_container: BTreeMap<&String, Vec<Pair>> = BTreeMap::new();
        for process in processes {
            if let Process::Inside { container, identity } = process {
                by_container.entry(container).or_default().push((identity.pid, identity.start_ticks));
            }
        }
        let mut answers = Vec::new();
        for (container, pairs) in by_container {
            let answer = match self.engine.running(container).await? {
                Some(_) => self.engine.ask(container, "/", &ask(pairs.clone())).await?,
                // With its container everything in it has gone.
                None => Answer::States(vec![None; pairs.len()]),
            };
            answers.push((container.clone(), pairs, answer));
        }
        Ok(answers)
    }

    async fn states_of(&self, processes: &[Process]) -> Result<Vec<ProcessState>, TestbedError> {
        let mut within: BTreeMap<Process, ProcessState> = BTreeMap::new();
        for (container, pairs, answer) in self.ask_inside(processes, Ask::States).await? {
            let Answer::States(letters) = answer else { continue };
            for ((pid, start_ticks), letter) in pairs.into_iter().zip(letters) {
                let identity = Identity { pid, start_ticks };
                let state = match letter {
                    None | Some('Z') => ProcessState::Gone,
                    Some('T' | 't') => ProcessState::Stopped,
                    Some(_) => ProcessState::Running,
                };
                within.insert(Process::Inside { container: container.clone(), identity }, state);
            }
        }
        let mut states = Vec::new();
        for process in processes {
            states.push(match process {
                Process::Container { name, .. } => match self.engine.running(name).await? {
                    Some((now, state)) if now == *process => state,
                    _ => ProcessState::Gone,
                },
                other => within.get(other).copied().unwrap_or(ProcessState::Gone),
            });
        }
        Ok(states)
    }

    async fn do_to(&self, roots: &[Process], deed: Deed) -> Result<Vec<Process>, TestbedError> {
        let mut reached = Vec::new();
        for root in roots {
            let Process::Container { name, .. } = root else { continue };
            match deed {
                Deed::Kill => self.engine.kill(name).await?,
                Deed::Stop => self.engine.pause(name).await?,
                Deed::Continue => self.engine.unpause(name).await?,
            }
            reached.push(root.clone());
        }
        let signal = match deed {
            Deed::Kill => Signal::SIGKILL,
            Deed::Stop => Signal::SIGSTOP,
            Deed::Continue => Signal::SIGCONT,
        };
        for (container, _, answer) in self.ask_inside(roots, |pairs| Ask::Signal(pairs, signal as i32)).await? {
            reached.extend(inside(&container, answer));
        }
        Ok(reached)
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
        let killed = join_all(victims.iter().map(|host| async {
            let container = self.project.container(host);
            self.engine.kill(&container).await
        }));
        let troubles: Vec<String> =
            killed.await.into_iter().filter_map(|killed| Some(killed.err()?.to_string())).collect();
        if troubles.is_empty() { Ok(()) } else { Err(TestbedError::Failed(troubles.join("; "))) }
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

/// Processes that an answer names.
fn inside(container: &str, answer: Answer) -> Vec<Process> {
    let Answer::Processes(pairs) = answer else { return Vec::new() };
    let process = |(pid, start_ticks)| Process::Inside {
        container: container.to_owned(),
        identity: Identity { pid, start_ticks },
    };
    pairs.into_iter().map(process).collect()
}

/// Looks again and again which stores of a region run.
async fn watch_stores(
    engine: docker::Engine,
    project: Project,
    region: Region,
    seen: Arc<Mutex<BTreeMap<Region, Stores>>>,
) {
    let (node, files) =
        (project.container(&hosts::of(&region, "node")), project.container(&hosts::of(&region, "files")));
    let site = format!("/var/lib/geodrill/{region}");
    loop {
        let asked = async {
            let runs = matches!(engine.running(&node).await?, Some((_, ProcessState::Running)));
            let answer = if runs { engine.ask(&node, &site, &Ask::Stores).await? } else { Answer::Stores(Vec::new()) };
            let Answer::Stores(sql) = answer else { return Ok(Stores::default()) };
            let files = engine.running(&files).await?.is_some();
            Ok::<_, TestbedError>(Stores { sql: sql.into_iter().collect(), files })
        };
        match asked.await {
            Ok(stores) => {
                lock(&seen).insert(region.clone(), stores);
            }
            Err(error) => tracing::debug!(%region, %error, "its stores were not seen"),
        }
        tokio::time::sleep(LOOK).await;
    }
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
        Box::pin(async move {
            let containers = roots.iter().filter(|root| matches!(root, Process::Container { .. }));
            let mut all: Vec<Process> = containers.cloned().collect();
            for (container, _, answer) in self.ask_inside(roots, Ask::Trees).await? {
                all.extend(inside(&container, answer));
            }
            Ok(all)
        })
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

    fn journal(&self) -> Option<PathBuf> {
        let folder = self.journal.get_or_init(|| {
            let folder = self.folder.join("journal");
            if let Err(error) = private_folder(&folder) {
                tracing::warn!(%error, "no folder for copies of the journal");
            }
            let path = self.layout.site("witness").join("data").display().to_string();
            let container = self.project.container(hosts::CONTROL);
            self.keep(journal::mirror(self.engine.clone(), container, path, folder.clone()));
            folder
        });
        Some(folder.clone())
    }

    fn sql_data(&self, _: &Region, _: &EnvironmentId) -> Option<PathBuf> {
        None
    }

    fn impede<'a>(&'a self, links: &'a [Link], how: Impediment) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            let entry = Entry::Impede { links: links.to_vec(), how: format!("{how:?}") };
            self.ledger
                .note(&entry)
                .map_err(|error| TestbedError::Failed(format!("write the undo ledger: {error}")))?;
            self.links.impede(links, how).await
        })
    }

    fn clear<'a>(&'a self, links: &'a [Link]) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // A heal must not fail for want of a note.
            if let Err(error) = self.ledger.note(&Entry::Clear { links: links.to_vec() }) {
                tracing::warn!(%error, "the undo ledger could not be written");
            }
            self.links.clear(links).await
        })
    }

    fn try_link<'a>(
        &'a self,
        link: &'a Link,
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<(String, LinkTrial)>, TestbedError>> {
        Box::pin(async move {
            let trials = self.links.try_link(link, None, within).await?;
            Ok(trials.into_iter().map(|weighing| (weighing.proxy, weighing.trial)).collect())
        })
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
