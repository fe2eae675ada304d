//! The host of a lab: stands it up, serves the commands, ends it.

use std::{
    fs, io,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::setsid;
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    enter,
    faults::Faults,
    file::{LAB_FILE, LabFile, SOCKET},
    load::LabLoad,
    order::HostConfig,
    stand::{Failed, Interrupt, Stood, raised, stand},
    talk::{Answer, Blame, Request, Said, read_line, write_line},
};
use crate::{
    conduct::folder::{self, Layout},
    model::testbed::TestbedName,
    os::{files, hold, process::Identity},
    testbed::{Testbed, setup},
};

/// How long a command may take to say what it wants.
const REQUEST: Duration = Duration::from_secs(5);

/// Whoever wants the lab to end, and is told what could not be ended.
type Ending = oneshot::Sender<Vec<String>>;

/// Stands the lab up, telling how it goes, and keeps it until it is told to end. `say` passes each [`Said`] on to whoever
/// started us; `standard input` ends when that one is gone, and with it an attempt that has not come to its end.
///
/// # Errors
/// What could not be ended.
pub async fn run(config: HostConfig, say: impl Fn(&Said) + Send + 'static) -> Result<(), String> {
    // A Ctrl-C at the terminal is for the command, which tells us. It fails only for the leader of a process group.
    setsid().map(drop).unwrap_or_default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let spoken = tokio::spawn(async move {
        while let Some(said) = told.recv().await {
            say(&said);
        }
    });
    let HostConfig { name, folder, testbed, task } = config;
    // Held to the end, so that nobody takes the folder of a living lab for a finished one.
    let _held = hold::hold(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let started = jiff::Timestamp::now().to_string();
    let asked = asked_to_end().map_err(|error| error.to_string())?;
    let gone = starter_gone().map_err(|error| error.to_string())?;
    let interrupted = Interrupt { any_of: [asked.clone(), gone] };
    let stood = stand(task, testbed, &folder, tell.clone(), interrupted).await;
    let serving = match stood {
        Ok(stood) => Serving::begin(name, started, testbed, &folder, stood).await,
        Err(failed) => Err(failed),
    };
    let serving = match serving {
        Ok(serving) => serving,
        Err(Failed { why, blame }) => {
            // Whatever had been started was dropped by now, and with it ended.
            let tidied = folder::tidy(&folder).err().map(|error| format!("; its data could not be removed: {error}"));
            tell.send(Said::Failed { why: why + &tidied.unwrap_or_default(), blame }).unwrap_or_default();
            drop(tell);
            return spoken.await.map_err(|error| error.to_string());
        }
    };
    tell.send(Said::Stands).unwrap_or_default();
    drop(tell);
    spoken.await.map_err(|error| error.to_string())?;
    tracing::info!(folder = %folder.display(), "the lab stands");
    let ending = tokio::select! {
        ending = serving.requests() => Some(ending),
        () = raised(asked) => None,
    };
    let left = serving.end(&folder).await;
    let result = if left.is_empty() { Ok(()) } else { Err(left.join("; ")) };
    if let Some((ending, answered)) = ending {
        // The one who asked may have gone meanwhile.
        if ending.send(left).is_ok() {
            timeout(REQUEST, answered).await.map(drop).unwrap_or_default();
        }
    }
    result
}

/// Becomes true with SIGTERM or SIGINT.
fn asked_to_end() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (raise, raised) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            raise.send_replace(true);
        }
    });
    Ok(raised)
}

/// Becomes true when whoever started us is gone, or has let go of us. A thread of its own, since a runtime waits at its end
/// for those of its pool.
fn starter_gone() -> io::Result<watch::Receiver<bool>> {
    let (raise, raised) = watch::channel(false);
    std::thread::Builder::new().name("starter".to_owned()).spawn(move || {
        let mut byte = [0];
        // An error says the same as the end.
        while matches!(io::stdin().read(&mut byte), Ok(read) if read > 0) {}
        raise.send_replace(true);
    })?;
    Ok(raised)
}

/// A lab that stands.
struct Serving {
    testbed: Arc<dyn Testbed>,
    faults: Faults,
    load: Option<LabLoad>,
    listener: UnixListener,
}

impl Serving {
    async fn begin(
        name: String,
        started: String,
        on: TestbedName,
        folder: &Path,
        stood: Stood,
    ) -> Result<Self, Failed> {
        let failed = |why: String| Failed { why, blame: Blame::Ours };
        let Stood { testbed, regions, environments, lost, load } = stood;
        let faults = Faults::new(Arc::clone(&testbed));
        lost.into_iter().for_each(|region| faults.adopt_lost(region));
        let load = match load {
            Some(plan) => {
                let ledger = Layout::new(folder).ledger();
                files::private_folder(&ledger).map_err(|error| failed(error.to_string()))?;
                Some(LabLoad::start(&plan, &environments, &ledger).await.map_err(failed)?)
            }
            None => None,
        };
        let me = i32::try_from(std::process::id()).ok().and_then(Identity::of);
        let me = me.ok_or_else(|| failed("no /proc to read our own start time from".to_owned()))?;
        let (postgres_bin, mc) = match setup::ensure(&|_: &str| (), setup::SetupMode::Never).await {
            Ok(programs) => (programs.postgres_bin, programs.mc),
            // Containers have their own, and whoever enters may have some too.
            Err(_) if on != TestbedName::Native => (PathBuf::new(), "mc".into()),
            Err(error) => return Err(error.into()),
        };
        let control = testbed.control();
        let lab = LabFile {
            name,
            folder: folder.to_owned(),
            started,
            pid: me.pid,
            start_ticks: me.start_ticks,
            testbed: on,
            regions,
            zones: testbed.zones(),
            environments,
            control_port: control.port,
            control_token: control.token,
            postgres_bin,
            mc,
        };
        let written = || -> io::Result<UnixListener> {
            enter::write(&lab, testbed.as_ref())?;
            let socket = folder.join(SOCKET);
            let listener = UnixListener::bind(&socket)?;
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
            // Last, since it is what the lab is found by.
            files::write_json(&folder.join(LAB_FILE), &lab)?;
            Ok(listener)
        };
        let listener = written().map_err(|error| failed(format!("{}: {error}", folder.display())))?;
        Ok(Self { testbed, faults, load, listener })
    }

    /// Serves requests until one wants the end; that one's answer is still owed, and the channel says when it was given.
    async fn requests(&self) -> (Ending, oneshot::Receiver<()>) {
        let (end, mut ends) = mpsc::channel(1);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let figures = self.load.as_ref().map(LabLoad::figures);
                        tokio::spawn(serve(stream, self.faults.clone(), figures, end.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a command could not be let in");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ending) = ends.recv() => return ending,
            }
        }
    }

    /// Ends the lab; what could not be ended comes back.
    async fn end(self, folder: &Path) -> Vec<String> {
        if let Some(load) = self.load {
            load.stop().await;
        }
        self.faults.abandon();
        let mut left = self.testbed.down().await.err().unwrap_or_default();
        if left.is_empty()
            && let Err(error) = folder::tidy(folder)
        {
            left.push(format!("{}: {error}", folder.display()));
        }
        left
    }
}

type EndOrder = (Ending, oneshot::Receiver<()>);

async fn serve(
    mut stream: UnixStream,
    faults: Faults,
    load: Option<super::talk::LoadFigures>,
    end: mpsc::Sender<EndOrder>,
) {
    let request = match timeout(REQUEST, read_line::<Request>(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return tracing::warn!(%error, "a request could not be read"),
        Err(_) => return tracing::warn!("a command said nothing"),
    };
    let (answered, told) = oneshot::channel();
    let answer = match request {
        Request::State => Answer::State { faults: faults.list(), load },
        Request::Inject { fault, hold_ms } => match faults.inject(&fault, hold_ms.map(Duration::from_millis)).await {
            Ok((id, record)) => Answer::Injected { id, record },
            Err(why) => Answer::Refused { why },
        },
        Request::Heal { id: None } => Answer::Healed { healed: faults.heal_all().await },
        Request::Heal { id: Some(id) } => match faults.heal_named(&id).await {
            Ok(healed) => Answer::Healed { healed: vec![healed] },
            Err(why) => Answer::Refused { why },
        },
        Request::Down => {
            let (ending, ended) = oneshot::channel();
            match end.try_send((ending, told)) {
                Ok(()) => match ended.await {
                    Ok(left) => Answer::Ended { left },
                    Err(_) => Answer::Refused { why: "the host has ended".to_owned() },
                },
                Err(_) => Answer::Refused { why: "the lab is ending already".to_owned() },
            }
        }
    };
    if let Err(error) = write_line(&mut stream, &answer).await {
        tracing::info!(%error, "a command did not wait for its answer");
    }
    answered.send(()).unwrap_or_default();
}
