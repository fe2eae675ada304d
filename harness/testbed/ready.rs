//! "The port accepts" is not "ready": one look whether a service says that it is.

use std::time::Duration;

use super::{contract::LinkTrial, probe};

/// Where a role says that it is ready.
pub(super) const ROLE: &str = "/internal/ready";

/// Where a file store does. It says so before its admin API works.
pub(super) const FILES: &str = "/minio/health/ready";

/// Where a node of a file store says that the nodes that can be reached are enough to write.
pub(super) const FILES_TOGETHER: &str = "/minio/health/cluster";

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(1);

/// Looks once, at a port of 127.0.0.1.
///
/// # Errors
/// What it said instead.
pub(super) async fn look(port: u16, path: &'static str) -> Result<(), String> {
    match probe::status(port, path, LOOK).await {
        Ok(200) => Ok(()),
        Ok(status) => Err(format!("{path} answers {status}")),
        Err(LinkTrial::Refused) => Err("nothing listens yet".to_owned()),
        Err(other) => Err(format!("{path}: {other:?}")),
    }
}

/// Whether the role that listens on a port of 127.0.0.1 is ready.
///
/// # Errors
/// What it said instead.
pub async fn role(port: u16) -> Result<(), String> {
    look(port, ROLE).await
}
