//! Addresses that all zones of a region call alike ([`Shared`]), each of them by its own link.
//!
//! MinIO wants every node of a store to call each of them by one name, and a replication rule has one target for all of them,
//! while a link leads from one site to another and can be cut alone. Between hosts a name can mean something else on each;
//! on one machine only the kernel knows who calls: which socket a connection comes from, and which process has it. So
//! whoever connects is looked for among the processes of the sites, and handed on to the proxy of its own site's link. A call
//! of nobody's is hung up. What is seen of a closed link from here is a connection that is accepted and closed, not refused.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    api::Address,
    os::inventory,
    testbed::{
        contract::TestbedError,
        layout::{Layout, Shared, Site},
        undo,
    },
};

/// How often a caller is looked for: its process is entered in its site's inventory just after it was started.
const LOOKS: usize = 20;
/// How long between.
const LOOK_PERIOD: Duration = Duration::from_millis(10);
/// How long nobody is accepted after the system had no room for one.
const NO_ROOM: Duration = Duration::from_millis(20);

/// Takes calls until it is dropped.
pub(super) struct Callers {
    tasks: Vec<AbortHandle>,
}

/// What is called at one address.
struct Line {
    /// Each site that calls, with its folder and where its link begins.
    sites: Vec<(Site, PathBuf, Address)>,
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
        Self { sites: ways.map(|(site, way)| (site.clone(), layout.site(&site.name()), way.clone())).collect() }
    }

    /// Where the link of whoever called from there begins.
    fn way_of(&self, caller: SocketAddrV4, called: SocketAddrV4) -> Option<Address> {
        for look in 0..LOOKS {
            let table = fs::read_to_string("/proc/net/tcp").ok()?;
            // Without a socket there is nobody any more.
            let socket = format!("socket:[{}]", inode(&table, caller, called)?);
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
    let (SocketAddr::V4(caller), Ok(SocketAddr::V4(called))) = (from, call.local_addr()) else { return };
    let way = tokio::task::spawn_blocking(move || line.way_of(caller, called)).await;
    let Ok(Some(way)) = way else {
        tracing::debug!(%caller, %called, "nobody's call");
        return;
    };
    let Ok(mut link) = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await else { return };
    let _ = call.set_nodelay(true);
    let _ = link.set_nodelay(true);
    // However it ends, both ends are closed.
    let _ = copy_bidirectional(&mut call, &mut link).await;
}

/// The inode of the caller's socket, by a table of connections as the kernel shows it: addresses as numbers of this machine's
/// byte order, ports as numbers, both in hexadecimal, the inode in the tenth column.
fn inode(table: &str, caller: SocketAddrV4, called: SocketAddrV4) -> Option<u64> {
    let shown =
        |address: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let (local, remote) = (shown(caller), shown(called));
    table.lines().find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        (columns.next()? == local && columns.next()? == remote).then(|| columns.nth(6)?.parse().ok())?
    })
}

/// Whether a process of a site has a socket: one of its inventory's, or, if all are to be looked at, any.
fn has_socket(site: &Path, socket: &str, all: bool) -> bool {
    let pids: Vec<i32> = if all {
        undo::alive_in(site).into_iter().map(|process| process.pid).collect()
    } else {
        inventory::read(site).unwrap_or_default().processes.into_iter().map(|entry| entry.pid).collect()
    };
    pids.into_iter().any(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|to| to.as_os_str() == socket)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_found_by_its_socket() {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let SocketAddr::V4(called) = listener.local_addr().unwrap() else { unreachable!() };
        let (call, accepted) = tokio::join!(TcpStream::connect(called), listener.accept());
        let (_call, (_accepted, SocketAddr::V4(caller))) = (call.unwrap(), accepted.unwrap()) else { unreachable!() };
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let socket = format!("socket:[{}]", inode(&table, caller, called).unwrap());
        let ours = fs::read_dir("/proc/self/fd").unwrap().flatten();
        assert!(ours.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|to| to.as_os_str() == &*socket));
        assert_eq!(inode(&table, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), called), None);
    }
}
