//! A user's command, run as a step: what it is told, and what becomes of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::seats;
use crate::{
    api::environment::{Endpoints, Login},
    model::plan::Plan,
    os::process::Identity,
    scenario::variables as names,
    testbed::Testbed,
};

/// How often a command is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);
/// How much of a failed command's output is told.
const TAIL_BYTES: usize = 600;

/// The variables a command gets, besides the user's own.
pub(super) async fn environment(
    plan: &Plan,
    testbed: &dyn Testbed,
    endpoints: &[Endpoints],
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let auditor = testbed.auditor();
    let regions = [&plan.regions.primary, &plan.regions.secondary];
    for (environment, endpoints) in plan.environments.iter().zip(endpoints) {
        let id = &environment.id;
        let customer = sql_url(&endpoints.app, endpoints.sql_rw_port, &endpoints.database);
        variables.insert(names::sql_url(id), customer);
        variables.insert(names::bucket(id), endpoints.bucket.clone());
        for region in regions {
            let stores = seats::stores(testbed, region, id, endpoints).await;
            if let Some(port) = stores.sql {
                variables.insert(names::region_sql_url(region, id), sql_url(&auditor.sql, port, &endpoints.database));
            }
            if let Some(port) = stores.files {
                variables.insert(names::region_s3_endpoint(region), format!("http://127.0.0.1:{port}"));
            }
        }
    }
    let control = testbed.control();
    let fixed = [
        auditor.s3.user,
        auditor.s3.secret,
        format!("http://127.0.0.1:{}", control.port),
        control.token,
        testbed.folder().display().to_string(),
    ];
    variables.extend(names::FIXED.iter().map(|name| (*name).to_owned()).zip(fixed));
    variables
}

/// Secrets are hexadecimal and names keep to the grammar of names, so nothing needs escaping.
fn sql_url(login: &Login, port: u16, database: &str) -> String {
    format!("postgres://{}:{}@127.0.0.1:{port}/{database}", login.user, login.secret)
}

/// Runs a command in the scenario's folder, its output in a log of the run's; ends its process group when it takes too
/// long.
///
/// # Errors
/// Why it could not be started, did not end, or did not end well.
pub(super) async fn run(
    command: &[String],
    folder: &Path,
    variables: &BTreeMap<String, String>,
    log: &Path,
    timeout: Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("the command is empty".to_owned()) };
    let output = open_log(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`{program}` could not be started in {}: {error}", folder.display()))?;
    let deadline = tokio::time::Instant::now() + timeout;
    let guard = EndTree(i32::try_from(child.id()).ok().and_then(Identity::of));
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{}` ended with {status}{}", command.join(" "), tail(log))),
            Ok(None) if tokio::time::Instant::now() >= deadline => {
                drop(guard);
                child.wait().map_err(|error| error.to_string())?;
                return Err(format!(
                    "`{}` did not end within {timeout:?} and was ended{}",
                    command.join(" "),
                    tail(log)
                ));
            }
            Ok(None) => tokio::time::sleep(POLL).await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Ends a command and its children when it is dropped: at the time-out, or because the run was interrupted.
struct EndTree(Option<Identity>);

impl Drop for EndTree {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(|process| process.signal_tree(Signal::SIGKILL)) {
            tracing::warn!(%error, "a command of the scenario could not be ended");
        }
    }
}

fn open_log(log: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(log)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let start = text.len().saturating_sub(TAIL_BYTES);
    let start = (start..text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len());
    let last = text[start..].trim();
    if last.is_empty() { String::new() } else { format!("; it said last: {last}") }
}
