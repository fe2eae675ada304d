//! A Postgres of the benchmark's own, as it comes but for where it listens: every commit waits for the disk. The kernel
//! ends it with this process, whatever ends that; its data lies in the benchmark's folder.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use geodrill::{
    api::environment::Login,
    clients::{poll, postgres},
    os::{files, spawn},
    testbed::setup::{self, SetupMode},
};
use nix::{sys::signal, unistd::Pid};
use sqlx::{Connection as _, PgConnection};

/// The database.
pub const DATABASE: &str = "postgres";

/// The running server.
pub struct Server {
    pub port: u16,
    pub version: String,
    folder: PathBuf,
    bin: PathBuf,
    child: Child,
}

/// The one role that everybody is here.
pub fn login() -> Login {
    Login { user: "bench".into(), secret: "bench-secret".into() }
}

impl Server {
    /// Makes a cluster in this folder and starts it.
    pub async fn start(folder: &Path) -> Self {
        let programs =
            setup::ensure(&|line: &str| println!("{line}"), SetupMode::Auto).await.expect("the real servers");
        let version = programs.versions.iter().find(|(name, _)| name == "postgres").map(|(_, version)| version.clone());
        let (folder, bin) = (folder.to_owned(), programs.postgres_bin);
        let password = folder.join("password");
        files::write_private(&password, login().secret.as_bytes()).expect("a file for the password");
        let made = command(&bin, "initdb", &folder)
            .args(["-A", "scram-sha-256", "-U", &login().user, "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .arg("--pwfile")
            .arg(&password)
            .output()
            .expect("initdb can be started");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let log = std::fs::File::create(folder.join("postgres.log")).expect("a log");
        let mut postgres = command(Path::new(""), "setpriv", &folder);
        postgres.args(["--pdeathsig", "KILL", "--"]).arg(bin.join("postgres"));
        postgres.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "cluster_name=east-sales"] {
            postgres.args(["-c", setting]);
        }
        let child = postgres.stdout(Stdio::null()).stderr(log).spawn().expect("postgres can be started");
        let server = Self { port, version: version.unwrap_or_default(), folder, bin, child };
        poll::until("postgres", Duration::from_secs(20), Duration::from_millis(50), || async {
            let open = postgres::connect(&server.target(), Duration::from_secs(1)).await?;
            open.close().await.map_err(|error| postgres::classify(&error))
        })
        .await
        .expect("postgres answers");
        server
    }

    fn target(&self) -> postgres::Target {
        postgres::Target {
            port: self.port,
            database: DATABASE.into(),
            login: login(),
            application: "geodrill bench".into(),
        }
    }

    /// A connection.
    pub async fn open(&self) -> PgConnection {
        postgres::connect(&self.target(), Duration::from_secs(5)).await.expect("postgres takes connections")
    }

    /// Postgres's own benchmark, of the same version.
    pub fn pgbench(&self) -> Command {
        let mut pgbench = command(&self.bin, "pgbench", &self.folder);
        pgbench.env("PGPASSWORD", login().secret).args(["-h", "127.0.0.1", "-U", &login().user]);
        pgbench.arg("-p").arg(self.port.to_string());
        pgbench
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is Postgres's fast stop.
        signal::kill(Pid::from_raw(self.child.id().cast_signed()), signal::Signal::SIGINT).unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn command(bin: &Path, program: &str, folder: &PathBuf) -> Command {
    let mut command = spawn::command(bin.join(program), folder);
    command.current_dir(folder);
    command
}
