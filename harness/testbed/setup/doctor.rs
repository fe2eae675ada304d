//! What is there and what is not, changing nothing.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{find, go, pins::Tool, places::path_folders, postgres, version::Versions};
use crate::os::spawn::{SERVICE_USER, ServiceUser};

/// One thing that runs or builds need.
#[derive(Debug, Clone)]
pub struct Check {
    /// What.
    pub name: String,
    /// Where it is; `None`: it is missing.
    pub found: Option<Found>,
    /// Where it was looked for.
    pub looked_in: Vec<String>,
    /// What gets it.
    pub remedy: String,
}

/// A thing found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Program, folder or name.
    pub path: PathBuf,
    /// Its version, as it says it.
    pub version: String,
}

/// Everything that runs and builds need.
pub fn doctor() -> Vec<Check> {
    let mut checks = vec![check("postgres", find::postgres(), postgres::remedy())];
    let mut versions = Versions::load();
    for tool in [Tool::Minio, Tool::Mc, Tool::Toxiproxy] {
        let remedy = format!("geodrill setup (builds it, {}), or set {}", tool.build_time(), tool.variable());
        checks.push(check(tool.name(), find::tool(tool, &mut versions), remedy));
    }
    versions.keep();
    checks.push(service_user());
    let found = go::find()
        .filter(|(_, version)| *version >= go::NEEDED)
        .map(|(path, (major, minor))| Found { path, version: format!("{major}.{minor}") });
    let looked_in = ["PATH", "/usr/local/go/bin", "/usr/lib/go-*/bin"].map(str::to_owned).to_vec();
    checks.push(Check { name: "go".to_owned(), found, looked_in, remedy: go::remedy() });
    checks.push(program("cargo", "--version", "install Rust: https://rustup.rs"));
    checks.push(program("cc", "--version", "install a C compiler (apt-get install gcc)"));
    checks.push(program("pkg-config", "--version", "apt-get install pkg-config"));
    checks.push(openssl());
    checks
}

fn check(name: &str, search: find::Search, remedy: String) -> Check {
    let found = search.found.map(|(path, version)| Found { path, version });
    Check { name: name.to_owned(), found, looked_in: search.looked_in, remedy }
}

fn service_user() -> Check {
    let found =
        ServiceUser::current().map(|user| Found { path: user.name.into(), version: format!("uid {}", user.uid) });
    Check {
        name: "user that servers run as".to_owned(),
        found,
        looked_in: vec!["the system's users".to_owned()],
        remedy: format!("geodrill setup, or `useradd --system {SERVICE_USER}`"),
    }
}

fn program(name: &str, option: &str, remedy: &str) -> Check {
    let found = path_folders()
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .and_then(|path| first_line(Command::new(&path).arg(option)).map(|version| Found { path, version }));
    Check { name: name.to_owned(), found, looked_in: vec!["PATH".to_owned()], remedy: remedy.to_owned() }
}

/// The headers that building toxiproxy_rust's TLS library needs.
fn openssl() -> Check {
    let found = first_line(Command::new("pkg-config").args(["--modversion", "openssl"]))
        .map(|version| Found { path: "openssl".into(), version });
    Check {
        name: "libssl (headers)".to_owned(),
        found,
        looked_in: vec!["pkg-config openssl".to_owned()],
        remedy: "apt-get install libssl-dev".to_owned(),
    }
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_says_where_it_looked_and_what_to_do() {
        let checks = doctor();
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        for name in ["postgres", "minio", "mc", "toxiproxy", "go", "cargo", "cc"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for check in checks {
            assert!(!check.looked_in.is_empty() && !check.remedy.is_empty(), "{check:?}");
            // These tests were built, so these were found.
            assert!(check.name != "cargo" || check.found.is_some());
        }
    }
}
