//! Postgres from the distribution, and the template cluster that every run's clusters start from.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{
    find::{self, POSTGRES_MAJOR_MIN},
    places::cache,
    progress::{Progress, run},
};
use crate::os::{files, spawn};

/// Versions asked for, the one that the figures were measured on first.
const PACKAGES: [&str; 4] = ["postgresql-15", "postgresql-17", "postgresql-16", "postgresql-18"];

/// Keeps Debian's package from making and starting a cluster of its own.
const NO_CLUSTER: (&str, &str) = ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");

/// The command that gets Postgres here, for people.
pub(super) fn remedy() -> String {
    if Path::new("/usr/bin/apt-get").exists() {
        "apt-get install postgresql-15 (or a newer one), or point GEODRILL_POSTGRES_BIN at a folder".to_owned()
    } else if cfg!(target_os = "macos") {
        "brew install postgresql@15".to_owned()
    } else {
        format!(
            "install PostgreSQL {POSTGRES_MAJOR_MIN} or newer, or point GEODRILL_POSTGRES_BIN at its programs' folder"
        )
    }
}

/// Installs the distribution's package, as root.
///
/// # Errors
/// What a person can do instead.
pub(super) async fn install(progress: &dyn Progress) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("PostgreSQL {POSTGRES_MAJOR_MIN} or newer is needed: {}", remedy()));
    }
    run(progress, Command::new("apt-get").arg("update"), "apt-get update").await?;
    let mut package = None;
    for candidate in PACKAGES {
        if apt_candidate(candidate).await.is_some() {
            package = Some(candidate);
            break;
        }
    }
    let package = package.ok_or_else(|| {
        format!("this distribution has no package of PostgreSQL {POSTGRES_MAJOR_MIN} or newer: {}", remedy())
    })?;
    keep_from_making_a_cluster(progress).map_err(|error| format!("{}: {error}", NO_CLUSTER.0))?;
    apt_install(progress, package).await?;
    match find::postgres() {
        find::Search { found: Some(_), .. } => Ok(()),
        find::Search { looked_in, .. } => {
            Err(format!("{package} is installed, and yet no Postgres in {}", looked_in.join("; ")))
        }
    }
}

fn keep_from_making_a_cluster(progress: &dyn Progress) -> std::io::Result<()> {
    let (file, text) = NO_CLUSTER;
    if Path::new(file).exists() {
        return Ok(());
    }
    progress.line(&format!("$ echo '{}' > {file}", text.trim()));
    std::fs::create_dir_all("/etc/postgresql-common")?;
    std::fs::write(file, text)
}

/// The version that apt would install, if it has the package.
pub(super) async fn apt_candidate(package: &str) -> Option<String> {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let candidate = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (candidate != "(none)").then(|| candidate.to_owned())
}

/// Installs a package without questions.
pub(super) async fn apt_install(progress: &dyn Progress, package: &str) -> Result<(), String> {
    let options = ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"];
    let shown = format!("DEBIAN_FRONTEND=noninteractive apt-get {} {package}", options.join(" "));
    let mut command = Command::new("apt-get");
    command.args(options).arg(package).env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1");
    run(progress, &mut command, &shown).await
}

/// Where the template of a version is, or is to be. The number at its end counts changes of how it is made.
pub(super) fn template_folder(version: &str) -> PathBuf {
    cache().join("template").join(format!("postgres-{version}-1"))
}

/// Makes the template: `initdb` leaves a cleanly stopped cluster. Checksums are on, and log segments of 4 MiB make a base
/// backup and a log switch cheap.
///
/// # Errors
/// What `initdb` said.
pub(super) async fn make_template(progress: &dyn Progress, bin: &Path, version: &str) -> Result<(), String> {
    let folder = template_folder(version);
    if folder.join("PG_VERSION").is_file() {
        return Ok(());
    }
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    let parent = folder.with_file_name("");
    files::private_folder(&parent).map_err(said)?;
    let fresh = parent.join(format!(".new-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&fresh);
    files::private_folder(&fresh).map_err(said)?;
    let options = [
        "--wal-segsize=4",
        "-k",
        "-U",
        "geodrill",
        "-E",
        "UTF8",
        "--locale=C",
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
    ];
    let mut command = spawn::command(bin.join("initdb"), &fresh);
    command.args(options).arg("-D").arg(&fresh).current_dir(&fresh);
    let shown = format!("{} {} -D {}", bin.join("initdb").display(), options.join(" "), fresh.display());
    run(progress, &mut Command::from(command), &shown).await?;
    match std::fs::rename(&fresh, &folder) {
        Err(error) if !folder.join("PG_VERSION").is_file() => Err(said(error)),
        _ => Ok(()),
    }
}
