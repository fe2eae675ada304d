//! The running testbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all};
use nix::sys::signal::Signal;

use super::{
    callers::Callers,
    files::{self, Drives},
    launch::{Launcher, Start},
    postgres, quotas,
    roles::{self, Role, Told},
    toxiproxies::Toxiproxies,
};
use crate::{
    api::{Address, EnvironmentId, Region, Zone, site::ProcessEntry},
    clients::poll,
    model::{link::Link, process::ProcessName},
    os::{
        cgroup::Cgroup,
        files::{hand_over, private_folder},
        inventory,
        process::Identity,
        shared_memory,
        spawn::ServiceUser,
    },
    testbed::{
        contract::{
            Auditor, ComputePorts, ControlAccess, Deed, Impediment, LinkTrial, PacketCounts, Process, ProcessState,
            QuotaSeen, StorePorts, Testbed, TestbedError, Weighing,
        },
        guardian::{Charge, Guardian},
        layout::{Layout, NodePrograms, OTHER_SITES, Secrets, Site},
        links::Links,
        log::tail,
        ports::Ports,
        role_binary::role_binary,
        setup::{Programs, cache},
        spec::Spec,
        undo::{self, Entry, Ledger},
    },
};

/// Longest path of a Unix socket, less its name (`.s.PGSQL.20000.lock`) and some room.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;

/// How long roles get to end by themselves; a node stops its clusters in it.
const GRACE: Duration = Duration::from_secs(4);

/// How long killing may take: a process that writes to a busy disk ends when it has.
const KILL: Duration = Duration::from_secs(15);

/// How long a node may take to start a Postgres again.
const POSTGRES_BACK: Duration = Duration::from_secs(30);

/// Both regions, the witness, the edge and every link, as processes on loopback. Dropped, it kills all of them.
pub struct Native {
    spec: Spec,
    pub(super) programs: Programs,
    pub(super) layout: Layout,
    secrets: Secrets,
    binary: PathBuf,
    pub(super) links: Links,
    toxiproxies: Arc<Toxiproxies>,
    guardian: Guardian,
    ledger: Arc<Ledger>,
    launcher: Arc<Launcher>,
    /// What holds regions to their quotas, or why nothing does.
    quotas: BTreeMap<Region, Result<Cgroup, String>>,
    /// Data folders of clusters, as inventories showed them: an inventory forgets the dead, and evidence is wanted of them.
    clusters: Mutex<BTreeMap<(String, EnvironmentId), PathBuf>>,
    /// Somebody has begun to end everything.
    is_ending: AtomicBool,
    /// Everything has been ended, as far as could be.
    is_over: AtomicBool,
    _callers: Callers,
    _ports: Ports,
}

impl Native {
    /// Brings everything up and waits until it is ready. Whatever was started is ended again if that fails.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] for what a user can do something about, else [`TestbedError::Failed`] with the last lines
    /// of the log concerned.
    pub async fn up(spec: Spec, programs: Programs) -> Result<Native, TestbedError> {
        let native = Self::prepare(spec, programs).await?;
        match native.start_all().await {
            Ok(()) => Ok(native),
            Err(error) => {
                let left = native.end_all().await;
                if left.is_empty() {
                    return Err(error);
                }
                Err(TestbedError::Failed(format!("{error}; and it could not be ended: {}", left.join("; "))))
            }
        }
    }

    async fn prepare(spec: Spec, programs: Programs) -> Result<Native, TestbedError> {
        let folder = check(&spec)?;
        let said = |what: &Path, error: std::io::Error| TestbedError::Unusable(format!("{}: {error}", what.display()));
        private_folder(&folder).and_then(|()| hand_over(&folder)).map_err(|error| said(&folder, error))?;
        let folder = folder.canonicalize().map_err(|error| said(&folder, error))?;
        let binary = role_binary(&spec.role_binary, &folder).await?;
        let locks = cache().join("ports");
        let (zones, slots) = (spec.zones, spec.environments_max);
        let count = Layout::needed(&spec.regions, zones, slots).into_values().map(usize::from).sum();
        let mut ports = Ports::reserve(&locks, count).map_err(|error| said(&locks, error))?;
        // As many were reserved as are drawn.
        let mut draw = |_: &str| ports.take().unwrap_or_default().into();
        let layout = Layout::new(&folder, Ipv4Addr::LOCALHOST.into(), &spec.regions, zones, slots, &mut draw);
        let others = ["witness", "edge", "links", "logs"].map(str::to_owned);
        for site in layout.sites().iter().map(Site::name).chain(others) {
            let site = layout.site(&site);
            private_folder(&site).map_err(|error| said(&site, error))?;
        }
        let callers = Callers::listen(&layout).await?;
        let ledger = Arc::new(Ledger::open(&folder).map_err(|error| said(&folder, error))?);
        let charge = Charge { folder: folder.clone(), standing: ledger.standing().to_owned() };
        let watch = layout.site("logs").join("guardian.log");
        let guardian = match Guardian::post(&binary, &charge, &watch).await {
            Ok(guardian) => guardian,
            Err(error) => {
                // Nothing was started yet, so nothing stands.
                ledger.close().map_err(|error| said(&folder, error))?;
                return Err(TestbedError::Failed(format!(
                    "start the guardian: {error}; its log ends:\n{}",
                    tail(&watch)
                )));
            }
        };
        let launcher = Arc::new(Launcher::new().map_err(|error| said(&folder, error))?);
        let program = programs.toxiproxy.clone();
        let toxiproxies = Arc::new(Toxiproxies::new(&layout, program, Arc::clone(&launcher), Arc::clone(&ledger)));
        let links = Links::new(&layout, Arc::clone(&toxiproxies) as Arc<_>, Arc::clone(&ledger));
        let secrets = Secrets::draw(&layout.regions);
        let (clusters, is_ending, is_over) = Default::default();
        let quotas = quotas::make(&spec.quotas, &ledger);
        Ok(Self {
            quotas,
            spec,
            programs,
            layout,
            secrets,
            binary,
            links,
            toxiproxies,
            guardian,
            ledger,
            launcher,
            clusters,
            is_ending,
            is_over,
            _callers: callers,
            _ports: ports,
        })
    }

    async fn start_all(&self) -> Result<(), TestbedError> {
        let began = Instant::now();
        let sites = self.layout.sites();
        // The nodes of a divided store are found through links; one that finds none tries again only a while later.
        let is_divided = self.layout.zones > 1;
        if is_divided {
            self.links.start().await?;
        }
        let stores = async {
            all(join_all(sites.iter().map(|site| self.start_files(site))).await)?;
            tracing::debug!(after = ?began.elapsed(), "file stores ready");
            all(join_all(self.layout.regions.iter().map(|region| self.make_auditor(region))).await)?;
            tracing::debug!(after = ?began.elapsed(), "auditors made");
            Ok(())
        };
        // Roles come after the links, since one that finds its peers missing tries again only a poll later.
        let platform = async {
            if !is_divided {
                self.links.start().await?;
            }
            tracing::debug!(after = ?began.elapsed(), "links made");
            let roles = Role::all(&self.layout);
            all(join_all(roles.iter().map(|role| self.start_role(role))).await)?;
            tracing::debug!(after = ?began.elapsed(), "roles ready");
            Ok(())
        };
        let (stores, platform) = tokio::join!(stores, platform);
        stores.and(platform)
    }

    async fn start_files(&self, of: &Site) -> Result<(), TestbedError> {
        let Some((own, root)) = self.layout.own.get(of).zip(self.secrets.files_root.get(&of.region)) else {
            return Err(TestbedError::Unusable(format!("there is no site {of}")));
        };
        let (name, port) = (of.name(), own.files.port());
        let site = self.layout.site(&name);
        let log = self.layout.site("logs").join(format!("{name}-files.log"));
        let data = site.join("files");
        private_folder(&data).map_err(|error| TestbedError::Failed(format!("{}: {error}", data.display())))?;
        let drives = match self.layout.drives(of) {
            Some((all, own)) => Drives::Spread { all, own },
            None => Drives::One(data.clone()),
        };
        let start = files::start(&self.programs.minio, &site, &log, port, root, drives);
        let identity = self.start_process(&name, "files", None, &start, Some((port, data)))?;
        let has_quorum = || {
            let sites = Site::of(&of.region, self.layout.zones);
            let running = sites.iter().filter(|site| self.runs(site, "files")).count();
            running > 1 && 2 * running > sites.len()
        };
        files::ready(port, || self.launcher.ended(identity), has_quorum).await.map_err(|why| {
            TestbedError::Failed(format!("the file store of {name} is not ready: {why}; its log ends:\n{}", tail(&log)))
        })
    }

    async fn make_auditor(&self, region: &Region) -> Result<(), TestbedError> {
        let first = Site::whole(region);
        let Some((own, root)) = self.layout.own.get(&first).zip(self.secrets.files_root.get(region)) else {
            return Ok(());
        };
        let site = self.layout.site(&first.name());
        files::make_auditor(&self.programs.mc, &site, own.files.port(), root, &self.secrets.auditor_s3)
            .await
            .map_err(|why| TestbedError::Failed(format!("the auditor's S3 user in {region}: {why}")))
    }

    async fn start_role(&self, role: &Role) -> Result<(), TestbedError> {
        let (layout, secrets) = (&self.layout, &self.secrets);
        let programs = &NodePrograms {
            postgres_bin: self.programs.postgres_bin.clone(),
            template: Some(self.programs.template.clone()),
            mc: self.programs.mc.clone(),
        };
        let failed = |why: String| TestbedError::Failed(format!("{} / {}: {why}", role.site(), role.name()));
        let told = Told { layout, secrets, settings: self.spec.settings(), programs };
        let (start, listen) = role.prepare(&told, &self.binary).map_err(|error| failed(error.to_string()))?;
        let identity = self.start_process(&role.site(), role.name(), None, &start, None)?;
        roles::ready(listen, || self.launcher.ended(identity))
            .await
            .map_err(|why| failed(format!("not ready: {why}; its log ends:\n{}", tail(&role.log(layout)))))
    }

    /// Starts a process and enters it in its site's inventory.
    fn start_process(
        &self,
        site: &str,
        service: &str,
        environment: Option<&EnvironmentId>,
        start: &Start,
        store: Option<(u16, PathBuf)>,
    ) -> Result<Identity, TestbedError> {
        let failed = |error: std::io::Error| TestbedError::Failed(format!("start {site} / {service}: {error}"));
        self.ledger.note(&Entry::Start { site: site.to_owned(), service: service.to_owned() }).map_err(failed)?;
        let identity = self.launcher.start(start).map_err(failed)?;
        // At once: what it starts itself must be held to the quota as well.
        if let Some((_, Ok(group))) =
            self.quotas.iter().find(|(region, _)| self.sites(region).iter().any(|own| own == site))
        {
            // One that has ended at once is told by whoever waits for it.
            group
                .take_in(identity.pid)
                .or_else(|error| if identity.is_alive() { Err(failed(error)) } else { Ok(()) })?;
        }
        let (port, data) = store.unzip();
        let entry = ProcessEntry {
            service: service.to_owned(),
            environment: environment.cloned(),
            pid: identity.pid,
            start_ticks: identity.start_ticks,
            port,
            data,
        };
        inventory::register(&self.layout.site(site), entry).map_err(failed)?;
        Ok(identity)
    }

    /// The living entries of a site's inventory.
    fn entries(&self, site: &str) -> Vec<ProcessEntry> {
        let entries = inventory::read(&self.layout.site(site)).unwrap_or_default().processes;
        let found = entries.iter().filter_map(|entry| Some((entry.environment.clone()?, entry.data.clone()?)));
        lock(&self.clusters).extend(found.map(|(environment, data)| ((site.to_owned(), environment), data)));
        entries.into_iter().filter(inventory::is_alive).collect()
    }

    fn identities(&self, name: &ProcessName) -> Vec<Identity> {
        let mut found: Vec<Identity> = self
            .entries(&name.site)
            .iter()
            .filter(|entry| entry.service == name.service)
            .filter(|entry| name.environment.is_none() || entry.environment == name.environment)
            .map(|entry| Identity { pid: entry.pid, start_ticks: entry.start_ticks })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Whether a service of a site runs.
    fn runs(&self, site: &Site, service: &str) -> bool {
        let name = ProcessName { site: site.name(), service: service.to_owned(), environment: None };
        !self.identities(&name).is_empty()
    }

    /// Cuts the links of sites and, if wanted, kills their processes: all signals are sent in one go.
    async fn cut(&self, sites: &[Site], kills: bool) -> Result<(), TestbedError> {
        let folders: Vec<PathBuf> = sites.iter().map(|site| self.layout.site(&site.name())).collect();
        for site in sites {
            let _ = self.entries(&site.name());
            self.ledger
                .note(&Entry::Cut { site: site.name(), killed: kills })
                .map_err(|error| TestbedError::Failed(format!("write the undo ledger: {error}")))?;
        }
        let victims: BTreeSet<Identity> = if kills {
            let folders = folders.clone();
            blocking(move || folders.iter().flat_map(|site| undo::alive_in(site)).collect()).await?
        } else {
            BTreeSet::new()
        };
        // Links first: what Toxiproxy holds of a site that is gone must not arrive any more.
        let mut troubles = Vec::new();
        let proxies = self.links.mark_cut(sites);
        for process in proxies.iter().filter_map(|group| self.toxiproxies.process(group)).chain(victims) {
            if let Err(error) = process.signal(Signal::SIGKILL) {
                troubles.push(format!("process {}: {error}", process.pid));
            }
        }
        // Whatever was forked in that instant.
        let rest = async {
            match kills {
                true => blocking(move || folders.iter().flat_map(|site| kill_rest(site)).collect()).await,
                false => Ok(Vec::new()),
            }
        };
        let (closed, rest) = tokio::join!(self.links.close(sites), rest);
        troubles.extend(rest?);
        match closed {
            Err(error) if !troubles.is_empty() || !error.is_done() => troubles.push(error.to_string()),
            other => other?,
        }
        if troubles.is_empty() { Ok(()) } else { Err(TestbedError::Failed(troubles.join("; "))) }
    }

    async fn bring_back(&self, sites: &[Site]) -> Result<(), TestbedError> {
        self.links.uncut(sites).await?;
        let site = |site: &Site| {
            let (site, files, node, compute) =
                (site.clone(), self.runs(site, "files"), self.runs(site, "node"), self.runs(site, "compute"));
            async move {
                let store = async { if files { Ok(()) } else { self.start_files(&site).await } };
                let node = async { if node { Ok(()) } else { self.start_role(&Role::Node(site.clone())).await } };
                let compute =
                    async { if compute { Ok(()) } else { self.start_role(&Role::Compute(site.clone())).await } };
                let (store, node, compute) = tokio::join!(store, node, compute);
                store.and(node).and(compute)
            }
        };
        all(join_all(sites.iter().map(site)).await)
    }

    async fn start_again(&self, name: &ProcessName) -> Result<(), TestbedError> {
        if name.service == "postgres" {
            return self.postgres_back(name).await;
        }
        if !self.identities(name).is_empty() {
            return Err(TestbedError::Failed(format!("start {name} again: it still runs")));
        }
        if let Some(role) = Role::of(name, &self.layout) {
            return self.start_role(&role).await;
        }
        match self.layout.sites().iter().find(|site| site.name() == name.site) {
            Some(site) if name.service == "files" => self.start_files(site).await,
            _ => Err(TestbedError::Unusable(format!("there is no process `{name}`"))),
        }
    }

    async fn postgres_back(&self, name: &ProcessName) -> Result<(), TestbedError> {
        let wanted: Vec<ProcessName> = match &name.environment {
            None => lock(&self.clusters)
                .keys()
                .filter(|(site, _)| *site == name.site)
                .map(|(_, environment)| ProcessName { environment: Some(environment.clone()), ..name.clone() })
                .collect(),
            Some(_) => vec![name.clone()],
        };
        let back = || async {
            match wanted.iter().find(|name| self.identities(name).is_empty()) {
                None => Ok(()),
                Some(missing) => Err(format!("{missing} does not run")),
            }
        };
        poll::until(format!("{name} started again by its node"), POSTGRES_BACK, Duration::from_millis(25), back)
            .await
            .map_err(|error| TestbedError::Failed(error.to_string()))
    }

    /// Starts a cluster past its node, on the folder and with the settings that it had last.
    fn revive_postgres(&self, region: &Region, environment: &EnvironmentId) -> Result<Identity, TestbedError> {
        let failed = |why: String| TestbedError::Failed(format!("revive {environment} in {region}: {why}"));
        let sites = self.layout.sites_of(region)?;
        let ran = sites.iter().find_map(|site| Some((site, self.sql_data_in(region, site.zone, environment)?)));
        let (site, data) = ran.ok_or_else(|| failed("it never ran there".to_owned()))?;
        let site = site.name();
        let settings =
            std::fs::read_to_string(data.join("postgresql.conf")).map_err(|error| failed(error.to_string()))?;
        let port = postgres::port(&settings).ok_or_else(|| failed("its settings name no port".to_owned()))?;
        // What makes a standby of it.
        match std::fs::remove_file(data.join("standby.signal")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error.to_string())),
            _ => {}
        }
        let start = Start {
            program: self.programs.postgres_bin.join("postgres"),
            arguments: vec!["-D".into(), data.clone().into()],
            variables: Vec::new(),
            folder: self.layout.site(&site),
            log: self.layout.site("logs").join(format!("{site}-revived-{environment}.log")),
        };
        self.start_process(&site, "postgres", Some(environment), &start, Some((port, data)))
    }

    /// Ends everything: roles are asked, the rest is killed. A second call while the first is at work asks nobody.
    async fn end_all(&self) -> Vec<String> {
        if self.is_over.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut troubles = Vec::new();
        if let Err(error) = self.ledger.note(&Entry::End) {
            troubles.push(format!("the undo ledger: {error}"));
        }
        if !self.is_ending.swap(true, Ordering::SeqCst) {
            troubles.extend(self.ask_roles_to_end().await);
        }
        let folder = self.layout.folder.clone();
        match blocking(move || undo::end(&folder, KILL)).await {
            Ok(left) => troubles.extend(left),
            Err(error) => troubles.push(error.to_string()),
        }
        if troubles.is_empty()
            && let Err(error) = self.ledger.close()
        {
            troubles.push(format!("the undo ledger: {error}"));
        }
        self.is_over.store(true, Ordering::SeqCst);
        if troubles.is_empty() {
            shared_memory::free_abandoned();
            self.guardian.dismiss();
        }
        troubles
    }

    /// Asks every role to end, and waits until they have or their grace is over.
    async fn ask_roles_to_end(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        // Control and edge first, so that nobody fails over what we take down.
        let asked: Vec<Identity> = Role::all(&self.layout)
            .iter()
            .flat_map(|role| {
                let (site, service) = (role.site(), role.name().to_owned());
                self.identities(&ProcessName { site, service, environment: None })
            })
            .collect();
        for process in &asked {
            if let Err(error) = process.signal(Signal::SIGTERM) {
                troubles.push(format!("process {}: {error}", process.pid));
            }
        }
        let deadline = Instant::now() + GRACE;
        // A stopped process ends when it is killed, and not before.
        while asked.iter().any(|process| process.state().is_some_and(|state| !matches!(state, 'T' | 'Z')))
            && Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        troubles
    }
}

/// Those of these processes that are this machine's, which all of ours are.
fn here(processes: &[Process]) -> impl Iterator<Item = Identity> {
    processes.iter().filter_map(|process| match process {
        Process::Here(identity) => Some(*identity),
        Process::Container { .. } | Process::Inside { .. } => None,
    })
}

fn state(process: &Process) -> ProcessState {
    match here(std::slice::from_ref(process)).next().and_then(Identity::state) {
        None | Some('Z') => ProcessState::Gone,
        Some('T' | 't') => ProcessState::Stopped,
        Some(_) => ProcessState::Running,
    }
}

/// Checks what can be known before anything is done; returns the run's folder.
fn check(spec: &Spec) -> Result<PathBuf, TestbedError> {
    let unusable = |why: String| Err(TestbedError::Unusable(why));
    let [one, other] = &spec.regions;
    if one == other {
        return unusable(format!("the two regions have one name, {one}"));
    }
    if ![1, 3].contains(&spec.zones) {
        return unusable(format!("a region cannot have {} zones: it has one or three", spec.zones));
    }
    let [own, others] = [one, other].map(|region| Site::of(region, spec.zones).iter().map(Site::name).collect());
    let (own, others): (Vec<String>, Vec<String>) = (own, others);
    let taken = |name: &&String| OTHER_SITES.contains(&name.as_str()) || others.contains(name) && own.contains(name);
    if let Some(name) = own.iter().chain(&others).find(taken) {
        return unusable(format!("a region or zone cannot be called {name}: another site is"));
    }
    if ServiceUser::current().is_none() {
        return unusable("servers do not run as root, and there is no user geodrill: run `geodrill setup`".to_owned());
    }
    let folder = spec.folder()?;
    let sockets = own.iter().chain(&others).map(|site| folder.join(site).join("n/s"));
    if let Some(long) = sockets.into_iter().find(|path| path.as_os_str().len() > SOCKET_FOLDER_BYTES_MAX) {
        let (path, max) = (long.display(), SOCKET_FOLDER_BYTES_MAX);
        return unusable(format!("{path} is too long for sockets (more than {max} bytes): choose a shorter --out"));
    }
    Ok(folder)
}

/// Kills what is left of a site; what could not be killed is told.
fn kill_rest(site: &Path) -> Vec<String> {
    let deadline = Instant::now() + KILL;
    loop {
        let alive = undo::alive_in(site);
        if alive.is_empty() {
            return Vec::new();
        }
        if Instant::now() >= deadline {
            return alive.iter().map(|process| format!("process {} still runs", process.pid)).collect();
        }
        for process in &alive {
            if let Err(error) = process.signal(Signal::SIGKILL) {
                return vec![format!("process {}: {error}", process.pid)];
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TestbedError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| TestbedError::Failed(error.to_string()))
}

fn all(results: Vec<Result<(), TestbedError>>) -> Result<(), TestbedError> {
    results.into_iter().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Testbed for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn folder(&self) -> &Path {
        &self.layout.folder
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
        let mut versions = self.programs.versions.clone();
        versions.push(("geodrill".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        versions.sort();
        versions
    }

    fn processes<'a>(&'a self, name: &'a ProcessName) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(async move { Ok(self.identities(name).into_iter().map(Process::Here).collect()) })
    }

    fn trees<'a>(&'a self, roots: &'a [Process]) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(async move { Ok(here(roots).flat_map(Identity::tree).map(Process::Here).collect()) })
    }

    fn states<'a>(&'a self, processes: &'a [Process]) -> BoxFuture<'a, Result<Vec<ProcessState>, TestbedError>> {
        Box::pin(async move { Ok(processes.iter().map(state).collect()) })
    }

    fn act<'a>(&'a self, roots: &'a [Process], deed: Deed) -> BoxFuture<'a, Result<Vec<Process>, TestbedError>> {
        Box::pin(async move {
            let signal = match deed {
                Deed::Kill => Signal::SIGKILL,
                Deed::Stop => Signal::SIGSTOP,
                Deed::Continue => Signal::SIGCONT,
            };
            let mut reached = Vec::new();
            for root in here(roots) {
                let failed = |error| TestbedError::Failed(format!("{deed} process {}: {error}", root.pid));
                reached.extend(root.signal_tree(signal).map_err(failed)?.into_iter().map(Process::Here));
            }
            Ok(reached)
        })
    }

    fn zones(&self) -> u8 {
        self.layout.zones
    }

    fn stores_in(&self, region: &Region, zone: Zone, environment: &EnvironmentId) -> StorePorts {
        let entries = self.entries(&zone.site(region));
        let sql =
            entries.iter().find(|entry| entry.service == "postgres" && entry.environment.as_ref() == Some(environment));
        let files = entries.iter().find(|entry| entry.service == "files");
        StorePorts { sql: sql.and_then(|entry| entry.port), files: files.and_then(|entry| entry.port) }
    }

    fn computes_in(&self, region: &Region, zone: Zone) -> Option<ComputePorts> {
        self.layout.computes(&Site { region: region.clone(), zone })
    }

    fn journal(&self) -> BoxFuture<'_, Option<PathBuf>> {
        Box::pin(async { Some(self.layout.site("witness").join("data")) })
    }

    fn sql_data_in(&self, region: &Region, zone: Zone, environment: &EnvironmentId) -> Option<PathBuf> {
        let site = zone.site(region);
        let _ = self.entries(&site);
        lock(&self.clusters).get(&(site, environment.clone())).cloned()
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
        let sites: Vec<PathBuf> = self.sites(region).iter().map(|site| self.layout.site(site)).collect();
        Box::pin(async move {
            match self.quotas.get(region).cloned() {
                Some(Ok(group)) => blocking(move || quotas::look(&group, &sites)).await?,
                Some(Err(why)) => Err(TestbedError::Unusable(why)),
                None => Ok(QuotaSeen { milli: None, held: 0, outside: Vec::new() }),
            }
        })
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
        Box::pin(async move { self.revive_postgres(region, environment).map(Process::Here) })
    }

    fn isolate<'a>(&'a self, region: &'a Region) -> BoxFuture<'a, Result<(), TestbedError>> {
        Box::pin(async move {
            // What is one store must go on being one.
            self.links.spare_within(region);
            self.cut(&self.layout.sites_of(region)?, false).await
        })
    }

    fn notices<'a>(&'a self, receiver: u16) -> BoxFuture<'a, Result<Address, TestbedError>> {
        Box::pin(async move { self.links.redirect(&Link::new("witness", "client", "notices"), receiver).await })
    }

    fn down<'a>(&'a self) -> BoxFuture<'a, Result<(), Vec<String>>> {
        Box::pin(async move {
            let left = self.end_all().await;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        if self.is_over.load(Ordering::SeqCst) {
            return;
        }
        let left = undo::end(&self.layout.folder, KILL);
        if left.is_empty() {
            let _ = self.ledger.close();
        } else {
            tracing::error!(folder = %self.layout.folder.display(), left = left.join("; "), "not everything was ended");
        }
    }
}
