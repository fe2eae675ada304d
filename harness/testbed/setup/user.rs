//! The user that servers run as, made where root starts us: Postgres refuses to run as root, and nothing else needs to.

use tokio::process::Command;

use super::progress::{Progress, run};
use crate::os::spawn::{SERVICE_USER, ServiceUser};

/// Whether there is a user for servers to run as.
pub(super) fn exists() -> bool {
    ServiceUser::current().is_some()
}

/// Makes it.
///
/// # Errors
/// What the system's tools said.
pub(super) async fn make(progress: &dyn Progress) -> Result<(), String> {
    if exists() {
        return Ok(());
    }
    let usual = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
    let mut useradd = Command::new("useradd");
    useradd.args(usual).args(["--shell", "/usr/sbin/nologin", SERVICE_USER]);
    let shown = format!("useradd {} --shell /usr/sbin/nologin {SERVICE_USER}", usual.join(" "));
    let first = run(progress, &mut useradd, &shown).await;
    if first.is_err() && !exists() {
        // BusyBox has no useradd.
        let arguments = ["-S", "-D", "-H", "-s", "/sbin/nologin", SERVICE_USER];
        let _ = run(progress, Command::new("addgroup").args(["-S", SERVICE_USER]), "addgroup -S geodrill").await;
        let shown = format!("adduser {}", arguments.join(" "));
        run(progress, Command::new("adduser").args(arguments).args(["-G", SERVICE_USER]), &shown).await?;
    }
    if exists() { Ok(()) } else { first.and(Err(format!("no user {SERVICE_USER} after `{shown}`"))) }
}
