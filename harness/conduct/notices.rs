//! The examiner's own webhook receiver: what customers would have been told, and when.

use std::{io, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use tokio::{net::TcpListener, task::JoinHandle};

use super::recorder::Recorder;
use crate::{
    api::control::Notice,
    model::{event::What, operation::EnvironmentIndex, plan::Plan},
};

/// A receiver that runs until it is dropped.
pub(super) struct Receiver {
    /// Its port on 127.0.0.1.
    pub(super) port: u16,
    task: JoinHandle<()>,
}

struct Desk {
    recorder: Recorder,
    environments: Vec<String>,
}

impl Receiver {
    /// Starts one on a free port.
    pub(super) async fn start(plan: &Plan, recorder: Recorder) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let environments = plan.environments.iter().map(|environment| environment.id.to_string()).collect();
        let desk = Arc::new(Desk { recorder, environments });
        let router = Router::new().route("/notices", post(receive)).with_state(desk);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the webhook receiver ended");
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(desk): State<Arc<Desk>>, Json(notice): Json<Notice>) -> StatusCode {
    let place = desk.environments.iter().position(|id| id == notice.environment.as_str());
    let Some(index) = place.and_then(|place| u16::try_from(place).ok()) else {
        return StatusCode::NOT_FOUND;
    };
    desk.recorder.say(What::NoticeReceived {
        environment: EnvironmentIndex(index),
        kind: notice.kind,
        operation: notice.operation,
    });
    StatusCode::NO_CONTENT
}
