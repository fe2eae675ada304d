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

use crate::{
    api::environment::{Endpoints, Login},
    model::plan::Plan,
    os::process::Identity,
    testbed::Testbed,
};

/// How often a command is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);
/// How much of a failed command's output is told.
const TAIL_BYTES: usize = 600;

/// The variables a command gets, besides the user's own.
pub(super) fn environment(plan: &Plan, testbed: &dyn Testbed, endpoints: &[Endpoints]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let auditor = testbed.auditor();
    let regions = [&plan.regions.primary, &plan.regions.secondary];
    for (environment, endpoints) in plan.environments.iter().zip(endpoints) {
        let name = upper(environment.id.as_str());
        variables.insert(
            format!("GEODRILL_{name}_SQL_URL"),
            sql_url(&endpoints.app, endpoints.sql_rw_port, &endpoints.database),
        );
        variables.insert(format!("GEODRILL_{name}_BUCKET"), endpoints.bucket.clone());
        for region in regions {
            let stores = testbed.stores(region, &environment.id);
            let region = upper(region.as_str());
            if let Some(port) = stores.sql {
                let url = sql_url(&auditor.sql, port, &endpoints.database);
                variables.insert(format!("GEODRILL_{region}_{name}_SQL_URL"), url);
            }
            if let Some(port) = stores.files {
                variables.insert(format!("GEODRILL_{region}_S3_ENDPOINT"), format!("http://127.0.0.1:{port}"));
            }
        }
    }
    let control = testbed.control();
    variables.insert("GEODRILL_S3_ACCESS_KEY".into(), auditor.s3.user);
    variables.insert("GEODRILL_S3_SECRET_KEY".into(), auditor.s3.secret);
    variables.insert("GEODRILL_CONTROL_URL".into(), format!("http://127.0.0.1:{}", control.port));
    variables.insert("GEODRILL_CONTROL_TOKEN".into(), control.token);
    variables.insert("GEODRILL_RUN_DIR".into(), testbed.folder().display().to_string());
    variables
}

/// Names upper-cased, `-` as `_`; that no two collide, validation has seen to.
fn upper(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
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
