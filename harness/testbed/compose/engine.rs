//! The engine and the images, found or made; what is missing is told with what gets it.
//!
//! | variable | image | default |
//! |---|---|---|
//! | `GEODRILL_IMAGE` | the roles, the node's Postgres among them | built from the base and the program that the roles run |
//! | `GEODRILL_BASE_IMAGE` | what that is built on | built from `fixtures/images/base.Dockerfile` |
//! | `GEODRILL_MINIO_IMAGE` | the file stores | a pinned public one |
//! | `GEODRILL_TOXIPROXY_IMAGE` | the links | a pinned public one |

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bollard::Docker;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::docker;
use crate::{
    api::role::HANDSHAKE,
    clients::error::chain,
    testbed::{
        TestbedError,
        setup::{Progress, SetupMode, cache, run},
    },
};

/// The oldest Compose whose files can say what ours does.
const COMPOSE_NEEDED: (u32, u32) = (2, 24);

/// The oldest API of an engine (Docker 20.10).
const API_NEEDED: (u32, u32) = (1, 41);

/// Deadline of a question to the `docker` program.
const ASK: Duration = Duration::from_secs(20);

/// The Dockerfile of the base.
const DOCKERFILE: &str = include_str!("../../../fixtures/images/base.Dockerfile");

/// Images pulled when they are missing and no other is named.
const MINIO: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";
const TOXIPROXY: &str = "ghcr.io/shopify/toxiproxy:2.12.0";

/// An engine that answers, with every image but the roles', which depends on the program that they run.
pub struct Engine {
    pub(super) docker: docker::Engine,
    /// Where it is, as in `DOCKER_HOST`.
    pub(super) host: String,
    base: Base,
    images: BTreeMap<&'static str, String>,
    mode: SetupMode,
}

enum Base {
    /// The roles' image is given, and this is its name.
    Given(String),
    /// It is built on this one.
    On(String),
}

impl Engine {
    /// Finds the engine, Compose and the images, and gets what is missing.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] with what is missing, and what gets it.
    pub async fn find(progress: &dyn Progress, mode: SetupMode) -> Result<Self, TestbedError> {
        compose_is_there().await?;
        let (connection, host) = connect().await?;
        let docker = docker::Engine::new(connection);
        let mut images = BTreeMap::new();
        for (variable, default) in [("GEODRILL_MINIO_IMAGE", MINIO), ("GEODRILL_TOXIPROXY_IMAGE", TOXIPROXY)] {
            let name = given(variable).unwrap_or_else(|| default.to_owned());
            if docker.image(&name).await?.is_none() {
                pull(progress, mode, &name, variable).await?;
            }
            images.insert(variable, name);
        }
        let base = match (given("GEODRILL_IMAGE"), given("GEODRILL_BASE_IMAGE")) {
            (Some(name), _) => {
                if docker.image(&name).await?.is_none() {
                    pull(progress, mode, &name, "GEODRILL_IMAGE").await?;
                }
                Base::Given(name)
            }
            (None, Some(name)) => {
                if docker.image(&name).await?.is_none() {
                    pull(progress, mode, &name, "GEODRILL_BASE_IMAGE").await?;
                }
                Base::On(name)
            }
            (None, None) => Base::On(base_image(&docker, progress, mode).await?),
        };
        Ok(Self { docker, host, base, images, mode })
    }

    /// The variables of `docker-compose.yml` that name images; the roles' is made of this program if need be.
    pub(super) async fn images(&self, program: &Path) -> Result<BTreeMap<String, String>, TestbedError> {
        let role = match &self.base {
            Base::Given(name) => name.clone(),
            Base::On(base) => self.role_image(base, program).await?,
        };
        handshake(&role).await?;
        let others = self.images.iter().map(|(variable, name)| ((*variable).to_owned(), name.clone()));
        Ok(others.chain([("GEODRILL_IMAGE".to_owned(), role)]).collect())
    }

    async fn role_image(&self, base: &str, program: &Path) -> Result<String, TestbedError> {
        let unusable = |why: String| TestbedError::Unusable(format!("the image of the roles: {why}"));
        let content = std::fs::read(program).map_err(|error| unusable(format!("{}: {error}", program.display())))?;
        let mut hash = Sha256::new();
        hash.update(base.as_bytes());
        hash.update(&content);
        let name = format!("geodrill-role:{}", &hex::encode(hash.finalize())[..16]);
        if self.docker.image(&name).await?.is_some() {
            return Ok(name);
        }
        if self.mode == SetupMode::Never {
            return Err(unusable(format!("{name} is not here, and setup was not allowed to build it")));
        }
        let context = Context::new(&format!(
            "FROM {base}\nLABEL io.geodrill.image=role\nCOPY geodrill /usr/local/bin/geodrill\nENTRYPOINT [\"geodrill\"]\n"
        ))
        .and_then(|context| context.add("geodrill", &content).map(|()| context))
        .map_err(|error| unusable(error.to_string()))?;
        build(&|_: &str| (), &context, &name).await.map_err(unusable)?;
        Ok(name)
    }
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

async fn base_image(docker: &docker::Engine, progress: &dyn Progress, mode: SetupMode) -> Result<String, TestbedError> {
    let name = format!("geodrill-base:{}", &hex::encode(Sha256::digest(DOCKERFILE))[..16]);
    if docker.image(&name).await?.is_some() {
        return Ok(name);
    }
    let unusable = |why: String| {
        TestbedError::Unusable(format!(
            "the image that the roles run in is not here and could not be built: {why}\nwithout a registry, \
             `fixtures/images/from-packages` builds it of packages; GEODRILL_BASE_IMAGE names one that is there"
        ))
    };
    if mode == SetupMode::Never {
        return Err(unusable("setup was not allowed to".to_owned()));
    }
    progress.line("building the image that the roles run in (its own base is pulled: some minutes the first time)");
    let context = Context::new(DOCKERFILE).map_err(|error| unusable(error.to_string()))?;
    build(progress, &context, &name).await.map_err(unusable)?;
    Ok(name)
}

/// A folder that an image is built of.
struct Context {
    folder: tempfile::TempDir,
}

impl Context {
    fn new(dockerfile: &str) -> std::io::Result<Self> {
        std::fs::create_dir_all(cache())?;
        let context = Self { folder: tempfile::Builder::new().prefix(".image-").tempdir_in(cache())? };
        context.add("Dockerfile", dockerfile.as_bytes())?;
        Ok(context)
    }

    fn add(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
    }
}

async fn build(progress: &dyn Progress, context: &Context, name: &str) -> Result<(), String> {
    let mut command = Command::new("docker");
    command.args(["build", "--tag", name]).arg(context.folder.path());
    run(progress, &mut command, &format!("docker build --tag {name} …")).await
}

async fn pull(progress: &dyn Progress, mode: SetupMode, name: &str, variable: &str) -> Result<(), TestbedError> {
    let unusable = |why: String| {
        TestbedError::Unusable(format!(
            "the image {name} is not here, and {why}\n{variable} names another one; without a registry, \
             `fixtures/images/from-packages` builds what is needed of packages and says what to set"
        ))
    };
    if mode == SetupMode::Never {
        return Err(unusable("setup was not allowed to pull it".to_owned()));
    }
    let pulled = run(progress, Command::new("docker").args(["pull", name]), &format!("docker pull {name}")).await;
    pulled.map_err(|why| unusable(format!("could not be pulled: {why}")))
}

/// Whether the program in the image is of our version.
async fn handshake(image: &str) -> Result<(), TestbedError> {
    let said = ask(&["run", "--rm", "--network", "none", image, "role", "--handshake"]).await;
    match said {
        Ok(text) if text.trim() == HANDSHAKE => Ok(()),
        other => Err(TestbedError::Unusable(format!(
            "the image {image}: `geodrill role --handshake` must answer `{HANDSHAKE}` there, and it said {other:?}"
        ))),
    }
}

async fn compose_is_there() -> Result<(), TestbedError> {
    let unusable = |why: String| Err(TestbedError::Unusable(why));
    let (major, minor) = COMPOSE_NEEDED;
    match ask(&["compose", "version", "--short"]).await {
        Ok(text) => match version(&text) {
            Some(found) if found < COMPOSE_NEEDED => unusable(format!(
                "Docker Compose {} is too old: {major}.{minor} or newer is needed (https://docs.docker.com/compose/install)",
                text.trim()
            )),
            Some(_) => Ok(()),
            None => unusable(format!("`docker compose version --short` says `{}`, which is no version", text.trim())),
        },
        Err(Asked::Missing) => unusable(
            "the program `docker` is not on PATH: install Docker (https://docs.docker.com/engine/install), or run on the \
             testbed native"
                .to_owned(),
        ),
        Err(Asked::Failed(why)) => unusable(format!(
            "Docker has no Compose plugin, {major}.{minor} or newer (https://docs.docker.com/compose/install; without a \
             registry `fixtures/images/docker-from-packages start` builds it): {why}"
        )),
    }
}

/// A connection to the engine that the `docker` program uses: `DOCKER_HOST`, or its current context's.
async fn connect() -> Result<(Docker, String), TestbedError> {
    let host = match given("DOCKER_HOST") {
        Some(host) => host,
        None => ask(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
            .await
            .map_or_else(|_| "unix:///var/run/docker.sock".to_owned(), |text| text.trim().to_owned()),
    };
    let unusable = |why: String| TestbedError::Unusable(why);
    let silent = |error: bollard::errors::Error| unusable(told(&host, &chain(&error)));
    let docker = Docker::connect_with_host(&host).map_err(silent)?;
    let docker = match tokio::time::timeout(ASK, docker.negotiate_version()).await {
        Ok(negotiated) => negotiated.map_err(silent)?,
        Err(_) => return Err(unusable(format!("the Docker engine at {host} does not answer within {ASK:?}"))),
    };
    let spoken = docker.version().await.map_err(silent)?;
    let api = spoken.api_version.unwrap_or_default();
    if version(&api).is_none_or(|found| found < API_NEEDED) {
        let engine = spoken.version.unwrap_or_default();
        return Err(unusable(format!("Docker {engine} is too old (API {api}): 20.10 or newer is needed")));
    }
    Ok((docker, host))
}

/// What a person can do about an engine that cannot be talked to.
fn told(host: &str, why: &str) -> String {
    let lower = why.to_lowercase();
    if lower.contains("permission denied") {
        let advice = "add yourself to the group `docker` and log in again, or use rootless Docker";
        return format!("you may not talk to the Docker engine at {host}: {advice} ({why})");
    }
    format!(
        "no Docker engine answers at {host}: start it (`systemctl start docker`, or Docker Desktop; without a registry \
         `fixtures/images/docker-from-packages start`), or name another in DOCKER_HOST ({why})"
    )
}

/// Why the `docker` program gave no answer.
#[derive(Debug)]
enum Asked {
    /// It is not there.
    Missing,
    /// It said this instead.
    Failed(String),
}

async fn ask(arguments: &[&str]) -> Result<String, Asked> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(Asked::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Err(Asked::Missing),
        Ok(Err(error)) => Err(Asked::Failed(error.to_string())),
        Err(_) => Err(Asked::Failed(format!("no answer within {ASK:?}"))),
    }
}

/// `2.40.3`, `v2.24.0-desktop.1`, `1.41`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split('.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some((digits(parts.next()?)?, digits(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_printed() {
        for (text, wanted) in [
            ("2.40.3\n", Some((2, 40))),
            ("v2.24.0-desktop.1", Some((2, 24))),
            ("1.41", Some((1, 41))),
            ("", None),
            ("latest", None),
        ] {
            assert_eq!(version(text), wanted, "{text}");
        }
    }

    #[test]
    fn who_may_not_talk_to_the_engine_is_told_so_and_not_that_there_is_none() {
        let denied = told("unix:///var/run/docker.sock", "Permission denied (os error 13)");
        assert!(denied.contains("you may not talk") && denied.contains("group `docker`"), "{denied}");
        let silent = told("unix:///var/run/docker.sock", "No such file or directory (os error 2)");
        assert!(silent.contains("no Docker engine answers") && silent.contains("systemctl start docker"), "{silent}");
    }
}
