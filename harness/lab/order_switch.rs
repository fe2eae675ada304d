//! Orders to the platform of a lab, over its control API, as an operator gives them.

use std::time::Duration;

use tokio::time::Instant;

use super::LabFile;
use crate::{
    api::{
        EnvironmentId,
        control::{
            BackUp, Conversion, Copy, Exposure, Failover, OperationState, OperationView, Restore, Scope, SupportTicket,
            SwitchKind,
        },
    },
    clients::http::{Http, HttpError},
};

/// A call that should be answered at once.
const PROMPT: Duration = Duration::from_secs(5);
/// The longest wait asked of the platform in one call.
const LONG_POLL: Duration = Duration::from_millis(500);

/// Why an order was not given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OrderError {
    /// The platform refused, with its reason.
    #[error("the platform refused: {0}")]
    Refused(String),
    /// It did not answer, or failed.
    #[error("{0}")]
    Other(String),
}

impl From<HttpError> for OrderError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused { status, why, .. } if (400..500).contains(&status) => Self::Refused(why),
            other => Self::Other(format!("the control plane did not carry it out: {other}")),
        }
    }
}

/// Orders a switch.
///
/// # Errors
/// [`OrderError`].
pub async fn order(
    lab: &LabFile,
    kind: SwitchKind,
    scope: Scope,
    accept_data_loss: bool,
) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/failovers", &Failover { kind, scope, accept_data_loss }, PROMPT).await?)
}

/// Orders an upgrade to production.
///
/// # Errors
/// [`OrderError`].
pub async fn convert(lab: &LabFile, environment: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/conversions", &Conversion { environment: environment.clone() }, PROMPT).await?)
}

/// Opens a support ticket for an environment.
///
/// # Errors
/// [`OrderError`].
pub async fn ticket(lab: &LabFile, environment: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/support-tickets", &SupportTicket { environment: environment.clone() }, PROMPT).await?)
}

/// Orders a back-up of an environment.
///
/// # Errors
/// [`OrderError`].
pub async fn back_up(lab: &LabFile, environment: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/backups", &BackUp { environment: environment.clone() }, PROMPT).await?)
}

/// Orders that an environment be restored from its last back-up.
///
/// # Errors
/// [`OrderError`].
pub async fn restore(lab: &LabFile, environment: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/restores", &Restore { environment: environment.clone() }, PROMPT).await?)
}

/// Orders that a copy of a production environment be put into a sandbox.
///
/// # Errors
/// [`OrderError`].
pub async fn copy(lab: &LabFile, from: &EnvironmentId, to: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).post("/v1/copies", &Copy { from: from.clone(), to: to.clone() }, PROMPT).await?)
}

/// Orders that an environment be deleted.
///
/// # Errors
/// [`OrderError`].
pub async fn delete(lab: &LabFile, environment: &EnvironmentId) -> Result<OperationView, OrderError> {
    Ok(http(lab).delete(&format!("/v1/environments/{environment}"), PROMPT).await?)
}

/// Grants exposure of an environment, or ends it.
///
/// # Errors
/// [`OrderError`].
pub async fn expose(lab: &LabFile, environment: &EnvironmentId, granted: bool) -> Result<Exposure, OrderError> {
    Ok(http(lab).put(&format!("/v1/environments/{environment}/exposure"), &Exposure { granted }, PROMPT).await?)
}

/// Waits `within` for an operation's end, telling each change of its steps; what it is then comes back. A control plane that
/// is silent for a while is waited for, since it may be on its way back.
///
/// # Errors
/// [`OrderError`].
pub async fn outcome(
    lab: &LabFile,
    operation: u64,
    within: Duration,
    mut changed: impl FnMut(&OperationView),
) -> Result<OperationView, OrderError> {
    let http = http(lab);
    let deadline = Instant::now() + within;
    let mut before = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = left.min(LONG_POLL);
        let path = format!("/v1/operations/{operation}?wait_ms={}", wait.as_millis());
        match http.get::<OperationView>(&path, wait + PROMPT).await {
            Ok(view) => {
                if view.environments != before {
                    changed(&view);
                    before.clone_from(&view.environments);
                }
                if view.state != OperationState::Running || left.is_zero() {
                    return Ok(view);
                }
            }
            Err(HttpError::NoAnswer { .. }) if !left.is_zero() => tokio::time::sleep(LONG_POLL.min(left)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn http(lab: &LabFile) -> Http {
    Http::local(lab.control_port, &lab.control_token)
}
