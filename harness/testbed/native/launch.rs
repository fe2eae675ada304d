//! Starting processes that end when we do. All are started from one thread that lives as long as the testbed: the kernel
//! sends the signal asked for with `setpriv --pdeathsig` when the *thread* that started a process ends, and the runtime's
//! own threads come and go. Where there is no `setpriv`, the undo ledger alone covers a killed runner.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use crate::os::{files, process::Identity, spawn};

/// How often ended processes are collected.
const REAP_PERIOD: Duration = Duration::from_millis(50);

/// What is to be started.
pub(super) struct Start {
    /// Program.
    pub program: PathBuf,
    /// Arguments; never a secret, since everybody can read them.
    pub arguments: Vec<OsString>,
    /// Variables besides the cleaned environment.
    pub variables: Vec<(&'static str, String)>,
    /// Working folder and home. A process belongs to the site whose folder it works in.
    pub folder: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

type Order = (Command, mpsc::SyncSender<io::Result<Identity>>);

/// Starts processes and remembers how they ended.
pub(super) struct Launcher {
    orders: mpsc::Sender<Order>,
    ended: Arc<Mutex<BTreeMap<Identity, String>>>,
    setpriv: Option<PathBuf>,
}

impl Launcher {
    /// A launcher with its thread.
    ///
    /// # Errors
    /// The system's, for the thread.
    pub fn new() -> io::Result<Self> {
        let (orders, queue) = mpsc::channel::<Order>();
        let ended = Arc::<Mutex<BTreeMap<Identity, String>>>::default();
        let report = Arc::clone(&ended);
        std::thread::Builder::new().name("launcher".to_owned()).spawn(move || work(&queue, &report))?;
        let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].map(PathBuf::from).into_iter().find(|path| path.is_file());
        Ok(Self { orders, ended, setpriv })
    }

    /// Starts a process as the service user.
    ///
    /// # Errors
    /// The system's.
    pub fn start(&self, start: &Start) -> io::Result<Identity> {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = spawn::command(setpriv, &start.folder);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&start.program);
                command
            }
            None => spawn::command(&start.program, &start.folder),
        };
        let log = open_log(&start.log)?;
        command.args(&start.arguments).envs(start.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(&start.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let (answer, answered) = mpsc::sync_channel(1);
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.send((command, answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    /// How a process ended, if it has.
    pub fn ended(&self, identity: Identity) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get(&identity).cloned()
    }
}

fn work(queue: &mpsc::Receiver<Order>, ended: &Mutex<BTreeMap<Identity, String>>) {
    let mut children: Vec<(Identity, Child)> = Vec::new();
    loop {
        match queue.recv_timeout(REAP_PERIOD) {
            Ok((mut command, answer)) => {
                let started = command.spawn().and_then(|child| {
                    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
                    let identity = Identity::of(pid).ok_or_else(|| io::Error::other("it ended at once"))?;
                    children.push((identity, child));
                    Ok(identity)
                });
                let _ = answer.send(started);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        children.retain_mut(|(identity, child)| match child.try_wait() {
            Ok(Some(status)) => {
                ended.lock().unwrap_or_else(PoisonError::into_inner).insert(*identity, status.to_string());
                false
            }
            _ => true,
        });
    }
    // Nobody else collects them; whoever drops a testbed has killed them first.
    for (identity, mut child) in children {
        if !identity.is_alive() {
            let _ = child.wait();
        }
    }
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    files::give(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Start {
        Start {
            program: "/bin/sleep".into(),
            arguments: vec!["30".into()],
            variables: Vec::new(),
            folder: folder.to_owned(),
            log: folder.join("log"),
        }
    }

    #[test]
    fn what_is_started_ends_with_the_launcher() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        files::give(folder.path()).unwrap();
        let launcher = Launcher::new().unwrap();
        let identity = launcher.start(&sleeper(folder.path())).unwrap();
        // `setpriv` has asked for the signal once it has become the program.
        let comm = format!("/proc/{}/comm", identity.pid);
        while !std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sleep") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let bound = launcher.setpriv.is_some();
        drop(launcher);
        for _ in 0..200 {
            if !identity.is_alive() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        identity.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        assert!(!bound, "setpriv is there, and the process outlived its launcher");
    }

    #[test]
    fn how_a_process_ended_is_told() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        files::give(folder.path()).unwrap();
        let launcher = Launcher::new().unwrap();
        let identity = launcher.start(&sleeper(folder.path())).unwrap();
        assert_eq!(launcher.ended(identity), None);
        identity.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        for _ in 0..200 {
            if let Some(how) = launcher.ended(identity) {
                assert!(how.contains('9'), "{how}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("its end was not seen");
    }
}
