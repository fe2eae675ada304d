//! The engine's API, one call each with a deadline. A call that the engine does not answer is an error, never waited out.

use std::time::Duration;

use bollard::{
    Docker,
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, EndpointIpamConfig, EndpointSettings,
        ExecConfig, HostConfig, NetworkConnectRequest, NetworkDisconnectRequest,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, KillContainerOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt, TryStreamExt};

use super::inside::{Answer, Ask};
use crate::{
    clients::error::chain,
    testbed::{Process, ProcessState, TestbedError},
};

/// Deadline of one call. Starting a container takes the engine up to a second or two.
const CALL: Duration = Duration::from_secs(15);

/// Lines of a log that an error shows.
const TAIL: &str = "8";

/// How long a container that is stopped gets to end by itself, in seconds.
const ORDERLY_S: i32 = 5;

/// A container beside another, in the same network namespace.
pub(super) struct Beside {
    /// Its name.
    pub name: String,
    /// The other one.
    pub of: String,
    /// The container whose image it runs.
    pub image_of: String,
    /// The project that it belongs to, by whose label it is found and ended.
    pub project: String,
    /// What it runs.
    pub command: Vec<String>,
}

/// Where a container was in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    network: String,
    address: String,
    aliases: Vec<String>,
}

/// What went wrong. Without an engine everything goes wrong in the same way, whatever was wanted.
fn failed(what: &str, error: &bollard::errors::Error) -> TestbedError {
    let why = chain(error);
    if why.contains("(Connect)") {
        return TestbedError::Failed("the Docker engine does not answer any more".to_owned());
    }
    TestbedError::Failed(format!("{what}: {why}"))
}

/// An engine.
#[derive(Clone)]
pub(super) struct Engine {
    docker: Docker,
}

impl Engine {
    /// The engine behind a connection.
    pub fn new(docker: Docker) -> Self {
        Self { docker }
    }

    async fn call<T>(
        &self,
        what: impl Fn() -> String,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, TestbedError> {
        match tokio::time::timeout(CALL, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(failed(&what(), &error)),
            Err(_) => {
                Err(TestbedError::Failed(format!("{}: the Docker engine did not answer within {CALL:?}", what())))
            }
        }
    }

    /// What the engine says of a container; `None`: there is none of this name.
    pub async fn look(&self, container: &str) -> Result<Option<ContainerInspectResponse>, TestbedError> {
        let looked = tokio::time::timeout(CALL, self.docker.inspect_container(container, None)).await;
        match looked {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(error)) => Err(failed(&format!("look at {container}"), &error)),
            Err(_) => Err(TestbedError::Failed(format!("look at {container}: the Docker engine did not answer"))),
        }
    }

    /// A container as a process, if it runs, with what it does.
    pub async fn running(&self, container: &str) -> Result<Option<(Process, ProcessState)>, TestbedError> {
        let Some(state) = self.look(container).await?.and_then(|found| found.state) else { return Ok(None) };
        if state.running != Some(true) {
            return Ok(None);
        }
        let doing = if state.paused == Some(true) { ProcessState::Stopped } else { ProcessState::Running };
        let started = state.started_at.unwrap_or_default();
        Ok(Some((Process::Container { name: container.to_owned(), started }, doing)))
    }

    /// How a container ended, if it has.
    pub async fn ended(&self, container: &str) -> Option<String> {
        let state = self.look(container).await.ok()??.state?;
        (state.running != Some(true)).then(|| {
            let code = state.exit_code.unwrap_or_default();
            let killed = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
            format!("exit code {code}{killed}")
        })
    }

    /// Sends SIGKILL; that it does not run is no error.
    pub async fn kill(&self, container: &str) -> Result<(), TestbedError> {
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        let killed =
            self.call(|| format!("kill {container}"), self.docker.kill_container(container, Some(options))).await;
        match killed {
            Err(error) if self.running(container).await?.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes and starts a container beside another. As root, with the right to manage the network that both share, and no other.
    pub async fn start_beside(&self, beside: &Beside) -> Result<(), TestbedError> {
        let image = self.look(&beside.image_of).await?.and_then(|found| found.image);
        let body = ContainerCreateBody {
            image,
            cmd: Some(beside.command.clone()),
            user: Some("0:0".to_owned()),
            labels: Some([("com.docker.compose.project".to_owned(), beside.project.clone())].into()),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", beside.of)),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(["NET_ADMIN", "NET_RAW"].map(str::to_owned).to_vec()),
                security_opt: Some(vec!["no-new-privileges=true".to_owned()]),
                memory: Some(256 * 1024 * 1024),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&beside.name).build();
        self.call(|| format!("make {}", beside.name), self.docker.create_container(Some(options), body)).await?;
        self.start(&beside.name).await
    }

    /// Asks a container to end, and ends it if it does not; its exit code, `None` if there is no such container.
    pub async fn stop(&self, container: &str) -> Result<Option<i64>, TestbedError> {
        let options = StopContainerOptionsBuilder::new().t(ORDERLY_S).build();
        let stopped =
            self.call(|| format!("stop {container}"), self.docker.stop_container(container, Some(options))).await;
        match self.look(container).await?.and_then(|found| found.state) {
            Some(state) if state.running == Some(true) => stopped.map(|()| None),
            state => Ok(state.and_then(|state| state.exit_code)),
        }
    }

    /// Removes a container, whatever its state; that there is none is no error.
    pub async fn remove(&self, container: &str) -> Result<(), TestbedError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed =
            self.call(|| format!("remove {container}"), self.docker.remove_container(container, Some(options))).await;
        match removed {
            Err(error) if self.look(container).await?.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes a container out of every network; where it was comes back.
    pub async fn disconnect(&self, container: &str) -> Result<Vec<Place>, TestbedError> {
        let networks = self.look(container).await?.and_then(|found| found.network_settings?.networks);
        let mut places = Vec::new();
        for (network, endpoint) in networks.unwrap_or_default() {
            let request = NetworkDisconnectRequest { container: container.to_owned(), force: None };
            let what = || format!("take {container} out of {network}");
            self.call(what, self.docker.disconnect_network(&network, request)).await?;
            let address = endpoint.ip_address.unwrap_or_default();
            places.push(Place { network, address, aliases: endpoint.aliases.unwrap_or_default() });
        }
        Ok(places)
    }

    /// Puts a container back where it was.
    pub async fn connect(&self, container: &str, place: &Place) -> Result<(), TestbedError> {
        let ipam = EndpointIpamConfig { ipv4_address: Some(place.address.clone()), ..EndpointIpamConfig::default() };
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(EndpointSettings {
                ipam_config: Some(ipam),
                aliases: Some(place.aliases.clone()),
                ..EndpointSettings::default()
            }),
        };
        let what = || format!("put {container} back into {}", place.network);
        self.call(what, self.docker.connect_network(&place.network, request)).await
    }

    /// Lets a container use no more than so many thousandths of a processor, from now on and after every start.
    pub async fn limit(&self, container: &str, milli: u32) -> Result<(), TestbedError> {
        let body =
            ContainerUpdateBody { nano_cpus: Some(i64::from(milli) * 1_000_000), ..ContainerUpdateBody::default() };
        self.call(|| format!("limit {container}"), self.docker.update_container(container, body)).await
    }

    /// The limit that the engine has for a container, in thousandths of a processor; `None`: none.
    pub async fn limit_of(&self, container: &str) -> Result<Option<u32>, TestbedError> {
        let nano = self.look(container).await?.and_then(|found| found.host_config?.nano_cpus).unwrap_or_default();
        Ok(u32::try_from(nano / 1_000_000).ok().filter(|milli| *milli > 0))
    }

    /// Starts a container that does not run.
    pub async fn start(&self, container: &str) -> Result<(), TestbedError> {
        self.call(|| format!("start {container}"), self.docker.start_container(container, None)).await
    }

    /// Freezes a container; that it is frozen already is no error.
    pub async fn pause(&self, container: &str) -> Result<(), TestbedError> {
        let paused = self.call(|| format!("pause {container}"), self.docker.pause_container(container)).await;
        self.unless(paused, container, ProcessState::Stopped).await
    }

    /// Lets a container go on; that it does already, or has ended, is no error.
    pub async fn unpause(&self, container: &str) -> Result<(), TestbedError> {
        let unpaused = self.call(|| format!("unpause {container}"), self.docker.unpause_container(container)).await;
        self.unless(unpaused, container, ProcessState::Running).await
    }

    async fn unless(
        &self,
        done: Result<(), TestbedError>,
        container: &str,
        wanted: ProcessState,
    ) -> Result<(), TestbedError> {
        match done {
            Err(error) => match self.running(container).await? {
                Some((_, state)) if state != wanted => Err(error),
                _ => Ok(()),
            },
            Ok(()) => Ok(()),
        }
    }

    /// Runs a command in a container; its standard output comes back if it succeeds.
    pub async fn run(&self, container: &str, command: Vec<String>) -> Result<Vec<u8>, TestbedError> {
        let what = || format!("run {} in {container}", command.first().map_or("nothing", String::as_str));
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.clone()),
            ..ExecConfig::default()
        };
        let ran = async {
            let made = self.docker.create_exec(container, config).await?;
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let started = self.docker.start_exec(&made.id, None::<StartExecOptions>).await?;
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Some(part) = output.next().await {
                    match part? {
                        LogOutput::StdErr { message } => err.extend_from_slice(&message),
                        other => out.extend_from_slice(&other.into_bytes()),
                    }
                }
            }
            let code = self.docker.inspect_exec(&made.id).await?.exit_code;
            Ok((code, out, err))
        };
        match self.call(what, ran).await? {
            (Some(0), out, _) => Ok(out),
            (code, _, err) => {
                let said = String::from_utf8_lossy(&err);
                Err(TestbedError::Failed(format!("{}: exit code {code:?}: {}", what(), said.trim())))
            }
        }
    }

    /// Asks this program in a container about processes there.
    pub async fn ask(&self, container: &str, site: &str, ask: &Ask) -> Result<Answer, TestbedError> {
        let broken = |error: serde_json::Error| TestbedError::Failed(format!("processes in {container}: {error}"));
        let question = serde_json::to_string(ask).map_err(broken)?;
        let command = ["geodrill", "role", "inside", "--config", site, "--ask", &question].map(str::to_owned).to_vec();
        let said = self.run(container, command).await?;
        serde_json::from_slice(&said).map_err(broken)
    }

    /// A folder or file of a container, which need not run, as a tar archive.
    pub async fn archive(&self, container: &str, path: &str) -> Result<Vec<u8>, TestbedError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let parts = self.docker.download_from_container(container, Some(options));
        let whole = parts.try_fold(Vec::new(), |mut whole, part| async move {
            whole.extend_from_slice(&part);
            Ok(whole)
        });
        self.call(|| format!("read {path} of {container}"), whole).await
    }

    /// What a container has written; with `all`, the last lines alone.
    pub async fn log(&self, container: &str, all: bool) -> Result<Vec<u8>, TestbedError> {
        let tail = if all { "all" } else { TAIL };
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(tail).build();
        let parts = self.docker.logs(container, Some(options));
        let whole = parts.try_fold(Vec::new(), |mut whole, part| async move {
            whole.extend_from_slice(&part.into_bytes());
            Ok(whole)
        });
        self.call(|| format!("read the log of {container}"), whole).await
    }

    /// The last lines of a container's log, for an error.
    pub async fn last_words(&self, container: &str) -> String {
        match self.log(container, false).await {
            Ok(log) => String::from_utf8_lossy(&log).trim_end().to_owned(),
            Err(error) => format!("({error})"),
        }
    }

    /// Names and versions, for the record of a run.
    pub async fn version(&self) -> Result<String, TestbedError> {
        let version = self.call(|| "the engine's version".to_owned(), self.docker.version()).await?;
        Ok(version.version.unwrap_or_default())
    }

    /// The id of an image; `None`: it is not here.
    pub async fn image(&self, name: &str) -> Result<Option<bollard::models::ImageInspect>, TestbedError> {
        match tokio::time::timeout(CALL, self.docker.inspect_image(name)).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(error)) => Err(failed(&format!("look for the image {name}"), &error)),
            Err(_) => Err(TestbedError::Failed(format!("look for the image {name}: the Docker engine did not answer"))),
        }
    }
}
