//! A Postgres and a MinIO of a test's own, ended with it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    api::environment::{Endpoints, Login},
    clients::{poll, postgres, s3},
    model::operation::EnvironmentIndex,
    os::{files::give, process::Identity, spawn},
    workload::Target,
};

/// The database, the bucket and the app's role.
const NAME: &str = "sales";

/// Tests that run servers at once: more would measure each other.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The servers of one test.
pub struct Servers {
    _turn: SemaphorePermit<'static>,
    folder: tempfile::TempDir,
    pub sql_port: u16,
    pub files_port: u16,
    postgres: Option<Child>,
    minio: Option<Child>,
}

pub fn auditor() -> Login {
    Login { user: "auditor".into(), secret: "auditor-secret".into() }
}

fn login(user: &str) -> Login {
    Login { user: user.into(), secret: format!("{user}-secret") }
}

impl Servers {
    /// Both, ready, with roles, database and versioned bucket. The bucket is left out where `files` is `false`.
    pub async fn start(files: bool) -> Self {
        let turn = TURNS.acquire().await.unwrap();
        let folder = tempfile::Builder::new().prefix("geodrill-workload-").tempdir_in("/var/tmp").unwrap();
        give(folder.path()).unwrap();
        let mut servers =
            Self { _turn: turn, folder, sql_port: free_port(), files_port: free_port(), postgres: None, minio: None };
        if files {
            servers.start_minio();
        }
        servers.init_postgres();
        servers.start_postgres().await;
        let mut open = servers.auditor_connection("postgres").await;
        for statement in [
            "CREATE ROLE app LOGIN PASSWORD 'app-secret'",
            "CREATE ROLE reader LOGIN PASSWORD 'reader-secret'",
            "CREATE DATABASE sales OWNER app",
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut open).await.unwrap();
        }
        if files {
            servers.make_bucket().await;
        }
        servers
    }

    pub fn target(&self) -> Target {
        let endpoints = Endpoints {
            sql_rw_port: self.sql_port,
            sql_ro_port: self.sql_port,
            files_rw_port: self.files_port,
            files_ro_port: self.files_port,
            database: NAME.into(),
            app: login("app"),
            reader: login("reader"),
            s3: auditor(),
            bucket: NAME.into(),
        };
        let regions = ["east".parse().unwrap(), "west".parse().unwrap()];
        Target { environment: EnvironmentIndex(0), endpoints, regions }
    }

    pub async fn auditor_connection(&self, database: &str) -> PgConnection {
        let target = postgres::Target {
            port: self.sql_port,
            database: database.into(),
            login: auditor(),
            application: "test".into(),
        };
        postgres::connect(&target, Duration::from_secs(5)).await.unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init_postgres(&self) {
        let password = self.folder.path().join("password");
        std::fs::write(&password, auditor().secret).unwrap();
        give(&password).unwrap();
        let made = self
            .command("initdb")
            .args(["-A", "scram-sha-256", "-U", "auditor", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts Postgres on its data, and waits until it answers.
    pub async fn start_postgres(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("postgres.log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.sql_port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "cluster_name=east-sales"] {
            command.args(["-c", setting]);
        }
        self.postgres = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let target = postgres::Target {
            port: self.sql_port,
            database: "postgres".into(),
            login: auditor(),
            application: "test".into(),
        };
        poll::until("postgres", Duration::from_secs(20), Duration::from_millis(50), || async {
            let open = postgres::connect(&target, Duration::from_secs(1)).await?;
            open.close().await.map_err(|error| postgres::classify(&error))
        })
        .await
        .unwrap();
    }

    /// `kill -9` of Postgres and all its children.
    pub fn kill_postgres(&mut self) {
        if let Some(child) = self.postgres.take() {
            end(child);
        }
    }

    /// Signals Postgres and all its children.
    pub fn signal_postgres(&self, signal: Signal) {
        let child = self.postgres.as_ref().unwrap();
        Identity::of(child.id().cast_signed()).unwrap().signal_tree(signal).unwrap();
    }

    /// Processor time used so far by Postgres's tree and by MinIO, in seconds.
    pub fn cpu_s(&self) -> (f64, f64) {
        (self.postgres.as_ref().map_or(0.0, tree_cpu_s), self.minio.as_ref().map_or(0.0, tree_cpu_s))
    }

    fn start_minio(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("minio.log")).unwrap();
        let files = self.folder.path().join("files");
        crate::os::files::private_folder(&files).unwrap();
        let mut command = spawn::command(minio(), &self.folder.path().to_owned());
        command.env("MINIO_ROOT_USER", auditor().user).env("MINIO_ROOT_PASSWORD", auditor().secret);
        command.arg("server").arg(&files).arg("--address").arg(format!("127.0.0.1:{}", self.files_port));
        command.arg("--console-address").arg(format!("127.0.0.1:{}", free_port()));
        self.minio = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    async fn make_bucket(&self) {
        use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
        let client = s3::client(self.files_port, &auditor(), Duration::from_secs(2));
        poll::until("minio", Duration::from_secs(20), Duration::from_millis(50), || {
            client.create_bucket().bucket(NAME).send()
        })
        .await
        .unwrap();
        let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        client.put_bucket_versioning().bucket(NAME).versioning_configuration(versioned).send().await.unwrap();
    }

    fn command(&self, program: &str) -> std::process::Command {
        let mut command = spawn::command(postgres_bin().join(program), &self.folder.path().to_owned());
        // The starting folder may be one that the service user cannot enter.
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in [self.postgres.take(), self.minio.take()].into_iter().flatten() {
            end(child);
        }
    }
}

fn end(mut child: Child) {
    if let Some(identity) = Identity::of(child.id().cast_signed()) {
        identity.signal_tree(Signal::SIGKILL).unwrap();
    }
    child.wait().unwrap();
}

fn tree_cpu_s(child: &Child) -> f64 {
    let Some(identity) = Identity::of(child.id().cast_signed()) else { return 0.0 };
    identity.tree().into_iter().map(|process| cpu_s(process.pid.cast_unsigned())).sum()
}

/// Processor time of a process and of those of its children that have ended, in seconds.
pub fn cpu_s(pid: u32) -> f64 {
    let ticks = || -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
        fields.get(11..15)?.iter().map(|field| field.parse::<f64>().ok()).sum()
    };
    ticks().unwrap_or_default() / 100.0
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn postgres_bin() -> PathBuf {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = packaged.map(|version| version.join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(path());
    folders.into_iter().find(|folder| folder.join("initdb").is_file()).expect("no Postgres: `geodrill setup` gets it")
}

fn minio() -> PathBuf {
    std::iter::once(Path::new("/var/cache/geodrill/bin").to_owned())
        .chain(path())
        .map(|folder| folder.join("minio"))
        .find(|program| program.is_file())
        .expect("no MinIO: `geodrill setup` gets it")
}

fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}
