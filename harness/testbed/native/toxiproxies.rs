//! The Toxiproxies as processes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;

use super::launch::{Launcher, Start};
use crate::{
    api::{Address, site::ProcessEntry},
    os::{inventory, process::Identity},
    testbed::{
        contract::TestbedError,
        layout::{Group, Layout},
        links::Servers,
        log::tail,
        probe::Way,
        undo::{Entry, Ledger},
    },
};

/// Runs them.
pub(super) struct Toxiproxies {
    program: PathBuf,
    site: PathBuf,
    logs: PathBuf,
    launcher: Arc<Launcher>,
    ledger: Arc<Ledger>,
    ports: BTreeMap<Group, u16>,
    running: Mutex<BTreeMap<Group, Identity>>,
}

impl Toxiproxies {
    /// Those of a layout; none runs yet.
    pub fn new(layout: &Layout, program: PathBuf, launcher: Arc<Launcher>, ledger: Arc<Ledger>) -> Self {
        Self {
            program,
            site: layout.site("links"),
            logs: layout.site("logs"),
            launcher,
            ledger,
            ports: layout.groups.iter().map(|(group, api)| (group.clone(), api.port())).collect(),
            running: Mutex::default(),
        }
    }

    /// The process of a group's.
    pub fn process(&self, group: &Group) -> Option<Identity> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied()
    }

    fn log(&self, group: &Group) -> PathBuf {
        self.logs.join(format!("links-{}.log", group.name()))
    }

    fn begin(&self, group: &Group) -> std::io::Result<()> {
        let port = self.ports.get(group).copied().unwrap_or_default();
        self.ledger.note(&Entry::Start { site: "links".to_owned(), service: "toxiproxy".to_owned() })?;
        let identity = self.launcher.start(&Start {
            program: self.program.clone(),
            arguments: ["-host", "127.0.0.1", "-port", &port.to_string()].map(Into::into).to_vec(),
            // At its usual level it writes several lines for every connection: megabytes a run.
            variables: vec![("LOG_LEVEL", "warn".to_owned())],
            folder: self.site.clone(),
            log: self.log(group),
        })?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(group.clone(), identity);
        let entry = ProcessEntry {
            service: "toxiproxy".to_owned(),
            environment: None,
            pid: identity.pid,
            start_ticks: identity.start_ticks,
            port: None,
            data: None,
        };
        inventory::register(&self.site, entry)
    }
}

impl Servers for Toxiproxies {
    fn start<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), TestbedError>> {
        let failed = |error| TestbedError::Failed(format!("start toxiproxy: {error}"));
        Box::pin(async move { self.begin(group).map_err(failed) })
    }

    fn end<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some(identity) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(group) else {
                return;
            };
            if let Err(error) = identity.signal(Signal::SIGKILL) {
                tracing::warn!(pid = identity.pid, %error, "toxiproxy not ended");
            }
            // Its ports must be free before the next one wants them.
            for _ in 0..1_000 {
                if !identity.is_alive() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn ended<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move { self.launcher.ended(self.process(group)?) })
    }

    fn way(&self, _: &Group, listen: &Address) -> Way {
        Way::Direct(listen.port())
    }

    fn last_words<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, String> {
        Box::pin(async move { tail(&self.log(group)) })
    }
}
