//! Starting programs with a cleaned environment, never as root.

use std::{ffi::OsStr, path::PathBuf, process::Command};

/// The user that servers run as when geodrill is started by root.
pub const SERVICE_USER: &str = "geodrill";

/// Variables that break loopback clients or servers when they are inherited; a name that ends with `_` is a prefix.
const HARMFUL: [&str; 13] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "PG",
    "AWS_",
    "MINIO_",
    "MC_",
    "LD_PRELOAD",
];

/// Whether a variable of this name breaks loopback clients or servers when inherited.
pub fn is_harmful(name: &str) -> bool {
    HARMFUL
        .iter()
        .any(|bad| if matches!(*bad, "PG") || bad.ends_with('_') { name.starts_with(bad) } else { name == *bad })
}

/// Who servers run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Name, for messages and Postgres's peer map.
    pub name: String,
}

impl ServiceUser {
    /// The user that servers run as here: `geodrill` for root, else the one who started us. `None`: root, and there is no
    /// such user yet.
    pub fn current() -> Option<Self> {
        let by_name =
            |user: nix::unistd::User| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name };
        if nix::unistd::geteuid().is_root() {
            nix::unistd::User::from_name(SERVICE_USER).ok().flatten().map(by_name)
        } else {
            nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(by_name)
        }
    }
}

/// A command with a cleaned environment (`PATH`, `LANG=C`, `TZ`, `HOME` and `TMPDIR` alone), run as the service user
/// where we are root.
pub fn command(program: impl AsRef<OsStr>, home: &PathBuf) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("HOME", home).env("TZ", "UTC");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    drop_root(&mut command);
    command
}

/// Makes a command run as the service user where we are root; elsewhere it changes nothing.
pub fn drop_root(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    if nix::unistd::geteuid().is_root()
        && let Some(user) = ServiceUser::current()
    {
        // `uid` also empties the supplementary groups when the parent is root.
        command.gid(user.gid).uid(user.uid);
    }
}
