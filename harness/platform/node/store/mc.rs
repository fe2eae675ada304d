//! The store's own client, `mc`, for what S3 has no call for.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::StoreError;
use crate::{
    api::{Address, environment::Login, role::NodeConfig},
    os::spawn,
};

/// Longest one call may take.
const WITHIN: Duration = Duration::from_secs(15);
/// The name `mc` knows the zone's own store by.
pub(super) const OWN: &str = "own";
/// The name `mc` knows the other region's store by.
pub(super) const PEER: &str = "peer";

/// `mc` with the root key pair of the zone's own store.
pub(super) struct Mc {
    program: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    own: Address,
    root: Login,
}

/// One call.
#[derive(Default)]
pub(super) struct Call<'a> {
    /// Arguments after the global ones.
    pub arguments: &'a [&'a str],
    /// What `mc` reads from its standard input.
    pub input: Option<String>,
    /// Address and key pair of the other region's store, known as [`PEER`].
    pub peer: Option<(&'a Address, &'a Login)>,
    /// Longest it may take, if that is more than any other.
    pub within: Option<Duration>,
}

impl Mc {
    pub fn new(config: &NodeConfig) -> Self {
        Self {
            program: config.mc.clone(),
            folder: config.data.join("mc"),
            home: config.data.clone(),
            own: config.files.clone(),
            root: config.files_root.clone(),
        }
    }

    /// The folder in which `mc` may read files.
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// Runs it, and returns what it answered, one JSON value a line.
    ///
    /// # Errors
    /// [`StoreError::Mc`] with what it said.
    pub async fn run(&self, call: Call<'_>) -> Result<Vec<Value>, StoreError> {
        let what = call.arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        let failed = |why: String| StoreError::Mc { what: what.clone(), why };
        let mut command = spawn::command(&self.program, &self.home);
        for (name, port, login) in
            [(OWN, &self.own, &self.root)].into_iter().chain(call.peer.map(|(port, login)| (PEER, port, login)))
        {
            let address = address(port, login).map_err(|why| failed(why.to_owned()))?;
            command.env(format!("MC_HOST_{name}"), address);
        }
        command.arg("--config-dir").arg(&self.folder).args(["--quiet", "--json", "--no-color"]).args(call.arguments);
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let run = async {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // Dropped at once when there is nothing to read: `mc` shall not wait for more.
                stdin.write_all(call.input.unwrap_or_default().as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let within = call.within.unwrap_or(WITHIN);
        let output = match tokio::time::timeout(within, run).await {
            Ok(output) => output.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("no answer within {within:?}"))),
        };
        let answers: Vec<Value> =
            serde_json::Deserializer::from_slice(&output.stdout).into_iter().map_while(Result::ok).collect();
        match answers.iter().find(|answer| answer["status"] == "error") {
            Some(error) => Err(failed(error_text(error))),
            None if output.status.success() => Ok(answers),
            None => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }
}

/// A store as `mc` reads it from the environment. It splits this at `:` and `@` and decodes nothing.
fn address(at: &Address, login: &Login) -> Result<String, &'static str> {
    if [&login.user, &login.secret].iter().any(|part| part.contains([':', '@', '/'])) {
        return Err("a key pair with `:`, `@` or `/` cannot be passed to mc");
    }
    Ok(format!("http://{}:{}@{at}", login.user, login.secret))
}

fn error_text(answer: &Value) -> String {
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    let cause = answer["error"]["cause"]["message"].as_str().unwrap_or_default();
    let code = answer["error"]["cause"]["error"]["Code"].as_str().unwrap_or_default();
    format!("{message} {cause} {code}").trim().to_owned()
}
