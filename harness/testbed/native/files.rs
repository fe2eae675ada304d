//! A region's file store: MinIO, one process or one for each zone, and in it the auditor's user. What a platform does in it, its
//! node does.
//!
//! The nodes of a divided store are told the same list of drives, by addresses that are none of theirs to listen on
//! ([`super::callers`]): MinIO knows its own among them by its port. In a container it does not look for itself on loopback,
//! unless it is told which it is. Where drives lie on the disk of the machine's root it refuses them, unless that disk is said
//! to be large enough.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{iam, launch::Start};
use crate::{
    api::{Address, environment::Login},
    clients::poll,
    os::{files::write_private, spawn},
    testbed::ready,
};

/// How long the store may take until its admin API works.
const READY: Duration = Duration::from_secs(30);

/// Deadline of one call of `mc`.
const CALL: Duration = Duration::from_secs(10);

/// The policy of the auditor: every right on data and administration.
const POLICY: &str = "consoleAdmin";

/// Where a store keeps what it has.
pub(super) enum Drives {
    /// In a folder.
    One(PathBuf),
    /// On these drives of several nodes, of which this address is ours.
    Spread {
        /// All of them, in the same order for every node.
        all: Vec<String>,
        /// Our own address among them.
        own: Address,
    },
}

/// How the store of a site is started. Durability is as MinIO has it; nothing is turned off.
pub(super) fn start(program: &Path, site: &Path, log: &Path, port: u16, root: &Login, drives: Drives) -> Start {
    let mut arguments = vec!["server".into(), "--quiet".into(), "--address".into(), format!("127.0.0.1:{port}").into()];
    let mut variables = vec![
        ("MINIO_ROOT_USER", root.user.clone()),
        ("MINIO_ROOT_PASSWORD", root.secret.clone()),
        ("MINIO_BROWSER", "off".to_owned()),
        ("MINIO_UPDATE", "off".to_owned()),
    ];
    match drives {
        Drives::One(folder) => arguments.push(folder.into()),
        Drives::Spread { all, own } => {
            arguments.extend(all.into_iter().map(OsString::from));
            variables.push(("MINIO_ROOTDISK_THRESHOLD_SIZE", "1B".to_owned()));
            // A read waits for every drive, and is told nothing by those of a node that hangs: 30 s of waiting, each time,
            // unless the reader has given up before.
            variables.push(("MINIO_DRIVE_MAX_TIMEOUT", "2s".to_owned()));
            variables.push(("_MINIO_SERVER_LOCAL", own.to_string()));
        }
    }
    Start { program: program.to_owned(), arguments, variables, folder: site.to_owned(), log: log.to_owned() }
}

/// Waits until the store serves requests; where it is one of several nodes and enough of them run, until what they are together
/// takes writes.
///
/// # Errors
/// What it last said, or how it ended.
pub(super) async fn ready(
    port: u16,
    ended: impl Fn() -> Option<String>,
    has_quorum: impl Fn() -> bool,
) -> Result<(), String> {
    let alive = || async {
        if let Some(how) = ended() {
            return Ok(Err(format!("it ended with {how}")));
        }
        ready::look(port, ready::FILES).await?;
        if has_quorum() { ready::look(port, ready::FILES_TOGETHER).await.map(Ok) } else { Ok(Ok(())) }
    };
    poll::until("the file store", READY, Duration::from_millis(10), alive).await.map_err(|error| error.to_string())?
}

/// Makes the auditor's user. `health/ready` says yes before the admin API works, so the first call that succeeds is what
/// is waited for.
///
/// # Errors
/// What `mc` last said.
pub(super) async fn make_auditor(
    mc: &Path,
    site: &Path,
    port: u16,
    root: &Login,
    auditor: &Login,
) -> Result<(), String> {
    let archive = site.join("auditor.zip");
    write_private(&archive, &iam::archive(auditor, POLICY))
        .map_err(|error| format!("{}: {error}", archive.display()))?;
    let host = format!("http://{}:{}@127.0.0.1:{port}", root.user, root.secret);
    let import = || import(mc, site, &host, &archive, &auditor.user);
    let done = poll::until("the auditor's S3 user", READY, Duration::from_millis(20), import).await;
    let _ = std::fs::remove_file(&archive);
    done.map_err(|error| error.to_string())
}

/// Imports the archive of one user, and sees in the answer that it was made with its policy.
async fn import(mc: &Path, site: &Path, host: &str, archive: &Path, user: &str) -> Result<(), String> {
    let mut command = spawn::command(mc, &site.to_owned());
    // The environment of a process is its user's alone to read; arguments are everybody's.
    command.env("MC_HOST_site", host).current_dir(site).arg("--config-dir").arg(site.join("mc"));
    command.args(["--quiet", "--json", "admin", "cluster", "iam", "import", "site"]).arg(archive);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(CALL, Command::from(command).kill_on_drop(true).output())
        .await
        .map_err(|_| format!("mc admin cluster iam import: no answer within {CALL:?}"))?
        .map_err(|error| format!("mc: {error}"))?;
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).trim().to_owned();
    let answer = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default();
    let policies = answer.pointer("/added/userPolicies").and_then(serde_json::Value::as_array);
    let made = policies.is_some_and(|made| made.iter().any(|made| made.get(user).is_some()));
    if output.status.success() && made { Ok(()) } else { Err(format!("mc admin cluster iam import: {said}")) }
}
