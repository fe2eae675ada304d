//! Addresses that all zones of a region call alike ([`Shared`]), each of them by its own link.
//!
//! MinIO wants every node of a store to call each of them by one name, and a replication rule has one target for all of them,
//! while a link leads from one site to another and can be cut alone. Between hosts a name can mean something else on each;
//! on one machine only the kernel knows who calls: which socket a connection comes from, and which process has it. So
//! whoever connects is looked for among the processes of the sites, and handed on to the proxy of its own site's link. A call
//! of nobody's is hung up. What is seen of a closed link from here is a connection that is accepted and reset, not refused.
//!
//! Whoever loses a node of a store calls it again and again, some hundred times a second. So what leads nowhere is hung up
//! without a look at who calls, and by a reset: a connection closed in good order is kept by the kernel for a minute.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    api::Address,
    os::{inventory, sock_diag},
    testbed::{
        contract::TestbedError,
        layout::{Layout, Shared, Site},
        undo,
    },
};

/// How often a caller is looked for: its process is entered in its site's inventory just after it was started.
const LOOKS: usize = 8;
/// How long between.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// How long nobody is accepted after the system had no room for one.
const NO_ROOM: Duration = Duration::from_millis(20);
/// For how long after a link was found closed all of them are tried before a caller is looked for.
const CLOSED: Duration = Duration::from_secs(1);

/// Takes calls until it is dropped.
pub(super) struct Callers {
    tasks: Vec<AbortHandle>,
}

/// What is called at one address.
struct Line {
    /// Each site that calls, with its folder and where its link begins.
    sites: Vec<(Site, PathBuf, Address)>,
    /// When a link was found closed last.
    closed: Mutex<Option<Instant>>,
}

impl Callers {
    /// Listens at every address that a layout's sites share.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] where an address is taken.
    pub async fn listen(layout: &Layout) -> Result<Self, TestbedError> {
        let mut callers = Self { tasks: Vec::new() };
        for shared in &layout.shared {
            let said = |error| TestbedError::Unusable(format!("listen at {}: {error}", shared.listen));
            let listener = TcpListener::bind(shared.listen.to_string()).await.map_err(said)?;
            let line = Arc::new(Line::of(shared, layout));
            callers.tasks.push(tokio::spawn(accept(listener, line)).abort_handle());
        }
        Ok(callers)
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Line {
    fn of(shared: &Shared, layout: &Layout) -> Self {
        let ways = shared.ways.iter();
        let sites = ways.map(|(site, way)| (site.clone(), layout.site(&site.name()), way.clone())).collect();
        Self { sites, closed: Mutex::default() }
    }

    /// Whether no link leads there: one was found closed a moment ago, and all are now.
    async fn leads_nowhere(&self) -> bool {
        let found = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none_or(|found| found.elapsed() > CLOSED) {
            return false;
        }
        for (_, _, way) in &self.sites {
            if self.reach(way).await.is_some() {
                return false;
            }
        }
        true
    }

    /// A connection by the link of whoever calls.
    async fn lead(self: &Arc<Self>, call: &TcpStream, from: SocketAddr) -> Option<TcpStream> {
        let (SocketAddr::V4(caller), Ok(SocketAddr::V4(called))) = (from, call.local_addr()) else { return None };
        if self.leads_nowhere().await {
            return None;
        }
        let looks = Arc::clone(self);
        let way = tokio::task::spawn_blocking(move || looks.way_of(caller, called)).await.ok().flatten();
        if way.is_none() {
            tracing::debug!(%caller, %called, "nobody's call");
        }
        self.reach(&way?).await
    }

    /// A connection by a link; `None`, and remembered, if it is closed.
    async fn reach(&self, way: &Address) -> Option<TcpStream> {
        let link = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.ok();
        if link.is_none() {
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        link
    }

    /// Where the link of whoever called from there begins.
    fn way_of(&self, caller: SocketAddrV4, called: SocketAddrV4) -> Option<Address> {
        for look in 0..LOOKS {
            let inode =
                sock_diag::inode(caller, called).inspect_err(|error| tracing::warn!(%error, "who calls?")).ok()?;
            // Without a process that has it there is nobody any more.
            let socket = format!("socket:[{}]", inode?);
            let found = self.sites.iter().find(|(_, folder, _)| has_socket(folder, &socket, look > 0));
            if let Some((_, _, way)) = found {
                return Some(way.clone());
            }
            std::thread::sleep(LOOK_PERIOD);
        }
        None
    }
}

async fn accept(listener: TcpListener, line: Arc<Line>) {
    let mut calls = tokio::task::JoinSet::new();
    loop {
        // Ended with us, and forgotten once over.
        while calls.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((call, from)) => {
                calls.spawn(answer(call, from, Arc::clone(&line)));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a call was not taken");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}

async fn answer(mut call: TcpStream, from: SocketAddr, line: Arc<Line>) {
    let Some(mut link) = line.lead(&call, from).await else {
        let _ = call.set_zero_linger();
        return;
    };
    let _ = call.set_nodelay(true);
    let _ = link.set_nodelay(true);
    // However it ends, both ends are closed.
    let _ = copy_bidirectional(&mut call, &mut link).await;
}

/// Whether a process of a site has a socket: one of its inventory's, or, if all are to be looked at, any.
fn has_socket(site: &Path, socket: &str, all: bool) -> bool {
    let pids: Vec<i32> = if all {
        undo::alive_in(site).into_iter().map(|process| process.pid).collect()
    } else {
        let mut entries = inventory::read(site).unwrap_or_default().processes;
        // Nearly always it is the store: a call costs a look at every file that a process has open.
        entries.sort_by_key(|entry| entry.service != "files");
        entries.into_iter().map(|entry| entry.pid).collect()
    };
    pids.into_iter().any(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|to| to.as_os_str() == socket)
    })
}
