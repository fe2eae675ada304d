//! Building the pinned servers with Go, and getting a Go that can.
//!
//! Go 1.21 and newer fetch the newer toolchain that a module asks for by themselves. An older one cannot, but toolchains are
//! published as modules, so it can still download one, checked against the checksum database like any module.

use std::{
    env,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    pins::Tool,
    places::{cache, numbered, path_folders},
    postgres::{apt_candidate, apt_install},
    progress::{Progress, run},
};

/// From this version on, Go gets a newer toolchain by itself.
const FETCHES_ITSELF: (u32, u32) = (1, 21);

/// The oldest Go that builds MinIO.
pub(super) const NEEDED: (u32, u32) = (1, 24);

/// The toolchain fetched as a module where Go is too old to do so itself.
const TOOLCHAIN: &str = "1.24.13";

/// A Go: its program, and its version.
pub(super) type Go = (PathBuf, (u32, u32));

/// The best Go found: the first that is new enough, else the newest.
pub(super) fn find() -> Option<Go> {
    let mut folders = vec![cache().join("go/bin")];
    folders.extend(path_folders());
    folders.push("/usr/local/go/bin".into());
    folders.extend(numbered("/usr/lib", "go-", "bin"));
    folders.extend(["/snap/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    let mut best: Option<Go> = None;
    for program in folders.into_iter().map(|folder| folder.join("go")).filter(|program| program.is_file()) {
        let Some(version) = version(&program) else { continue };
        if version >= NEEDED {
            return Some((program, version));
        }
        if best.as_ref().is_none_or(|(_, other)| version > *other) {
            best = Some((program, version));
        }
    }
    best
}

/// What a person can do where there is no Go.
pub(super) fn remedy() -> String {
    let (major, minor) = NEEDED;
    format!(
        "install Go {major}.{minor} or newer (https://go.dev/dl, or the distribution's package if it is new enough)"
    )
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let output = std::process::Command::new(program).arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
    parse(&String::from_utf8(output.stdout).ok()?)
}

/// `go version go1.26.8 linux/amd64`, `go version go1.24rc1 …`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some((digits(parts.next()?)?, digits(parts.next()?)?))
}

/// Builds a tool and puts it in the cache.
///
/// # Errors
/// What is missing and how to get it, or what Go said.
pub(super) async fn build(progress: &dyn Progress, tool: Tool) -> Result<(), String> {
    let go = usable(progress).await?;
    let folder = cache().join("bin");
    let scratch = cache().join(format!(".build-{}-{}", tool.name(), std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let target = format!("{}{}@{}", tool.module(), tool.package(), tool.pin());
    progress.line(&format!("building {} {} ({})", tool.name(), tool.pin(), tool.build_time()));
    let mut command = go_command(&go);
    command.args(["install", "-trimpath", &target]).env("GOBIN", &scratch).env("CGO_ENABLED", "0");
    let shown = format!(
        "GOBIN={} CGO_ENABLED=0 GOTOOLCHAIN=auto {} install -trimpath {target}",
        scratch.display(),
        go.display()
    );
    let built = run(progress, &mut command, &shown).await.and_then(|()| put(&scratch, &folder.join(tool.program())));
    let _ = std::fs::remove_dir_all(&scratch);
    built
}

/// Moves the one program of a folder to its place, for everybody to execute.
fn put(scratch: &Path, place: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let said = |error: std::io::Error| format!("{}: {error}", place.display());
    let program = std::fs::read_dir(scratch).map_err(said)?.next().ok_or("go install built nothing")?.map_err(said)?;
    std::fs::set_permissions(program.path(), std::fs::Permissions::from_mode(0o755)).map_err(said)?;
    std::fs::rename(program.path(), place).map_err(said)
}

fn go_command(go: &Path) -> Command {
    let mut command = Command::new(go);
    // Images of Go pin GOTOOLCHAIN to `local`, and flags such as -mod=vendor would break a build by version.
    command.env("GOTOOLCHAIN", "auto").env_remove("GOFLAGS").current_dir(cache());
    if env::var_os("HOME").is_none_or(|home| home.is_empty()) {
        command.env("GOPATH", cache().join("gopath")).env("GOCACHE", cache().join("gocache"));
    }
    command
}

/// A Go that can build everything, fetched if need be.
async fn usable(progress: &dyn Progress) -> Result<PathBuf, String> {
    let (program, version) = match find() {
        Some(found) => found,
        None => installed(progress).await?,
    };
    if version >= FETCHES_ITSELF {
        return Ok(program);
    }
    toolchain(progress, &program).await
}

/// The distribution's Go, whatever its age.
async fn installed(progress: &dyn Progress) -> Result<Go, String> {
    let is_debian_root = nix::unistd::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists();
    if !is_debian_root {
        return Err(format!("Go is needed to build servers and was not found: {}", remedy()));
    }
    run(progress, Command::new("apt-get").arg("update"), "apt-get update").await?;
    let package = "golang-go";
    if apt_candidate(package).await.is_none() {
        return Err(format!("Go is needed to build servers, and apt has no {package}: {}", remedy()));
    }
    apt_install(progress, package).await?;
    find().ok_or_else(|| format!("{package} is installed, and yet there is no `go`: {}", remedy()))
}

/// A toolchain from the module registry, for a Go too old to get one by itself.
async fn toolchain(progress: &dyn Progress, old: &Path) -> Result<PathBuf, String> {
    let machine = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => return Err(format!("Go is too old, and there is no toolchain for {other}: {}", remedy())),
    };
    let module = format!("golang.org/toolchain@v0.0.1-go{TOOLCHAIN}.{}-{machine}", env::consts::OS);
    let scratch = cache().join(format!(".go-{}", std::process::id()));
    let mut command = go_command(old);
    command.args(["mod", "download", &module]).env("GOPATH", &scratch).env("GOMODCACHE", scratch.join("mod"));
    command.env("GOFLAGS", "-modcacherw");
    let shown = format!("GOMODCACHE={} {} mod download {module}", scratch.join("mod").display(), old.display());
    let done = run(progress, &mut command, &shown).await.and_then(|()| {
        let place = cache().join("go");
        let fetched = scratch.join("mod").join(&module);
        let said = |error: std::io::Error| format!("{}: {error}", place.display());
        make_executable(&fetched).map_err(said)?;
        let _ = std::fs::remove_dir_all(&place);
        std::fs::rename(&fetched, &place).map_err(said)?;
        Ok(place.join("bin/go"))
    });
    let _ = std::fs::remove_dir_all(&scratch);
    done
}

/// Modules hold no executables, so the toolchain's programs come without that right.
fn make_executable(toolchain: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut folders = vec![toolchain.join("bin")];
    for tools in std::fs::read_dir(toolchain.join("pkg/tool"))? {
        folders.push(tools?.path());
    }
    for folder in folders {
        for program in std::fs::read_dir(folder)? {
            std::fs::set_permissions(program?.path(), std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_of_go_are_read() {
        for (text, version) in [
            ("go version go1.26.8 linux/amd64", Some((1, 26))),
            ("go version go1.24rc1 linux/arm64", Some((1, 24))),
            ("go version go1.19.8 linux/amd64", Some((1, 19))),
            ("go version devel +abc linux/amd64", None),
            ("", None),
        ] {
            assert_eq!(parse(text), version, "{text}");
        }
    }
}
