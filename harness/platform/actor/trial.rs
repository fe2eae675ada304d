//! What trials of the acting roles on real servers share: where the programs are, ports, a file store.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    api::environment::Login,
    os::{files, spawn},
};

/// A port that is free now, that no other trial of this process gets, and that the system gives to no outgoing connection.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        // Below the ports that testbeds reserve, which look at each of theirs by binding it for a moment.
        let port = u16::try_from(12_000 + next % 8_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program from PATH, else from where `geodrill setup` puts it.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/var/cache/geodrill/bin")]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap_or_else(|| panic!("no {name}"))
}

/// The newest Postgres of the distribution.
pub(crate) fn postgres_bin() -> PathBuf {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten().map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    versions.pop().unwrap()
}

/// A folder that servers can enter, with a short name for sockets' sake.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("gd").tempdir_in("/var/tmp").unwrap();
    files::give(folder.path()).unwrap();
    folder
}

/// `GEODRILL_TEST_LOG=1` shows the roles' logs.
pub(crate) fn show_logs() {
    if std::env::var_os("GEODRILL_TEST_LOG").is_some() {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().try_init();
    }
}

/// A file store, killed when dropped.
pub(crate) struct TrialStore(Child);

impl TrialStore {
    /// Starts one on a port.
    pub(crate) fn start(home: &Path, port: u16, root: &Login) -> Self {
        files::private_folder(home).unwrap();
        let mut command = spawn::command(program("minio"), &home.to_path_buf());
        command
            .env("MINIO_ROOT_USER", &root.user)
            .env("MINIO_ROOT_PASSWORD", &root.secret)
            .env("MINIO_BROWSER", "off")
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg(home.join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for TrialStore {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
