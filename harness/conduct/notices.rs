//! The examiner's own webhook receiver: what customers would have been told, and when. It can be made to fail as a customer's
//! may (`webhook.fail`); what is sent to it meanwhile is noted, since a platform has to try before it switches.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
    serve::Listener,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::recorder::Recorder;
use crate::{
    api::control::Notice,
    fault,
    model::{event::What, fault::WebhookMode, operation::EnvironmentIndex, plan::Plan},
};

/// How long a slow receiver takes to answer: longer than anybody should wait.
const SLOW: Duration = Duration::from_secs(15);
/// How long a request may take to arrive, of one that is then hung up on.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// Longest request that is read so.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A receiver that runs until it is dropped.
pub(super) struct Receiver {
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

struct Desk {
    port: u16,
    recorder: Recorder,
    environments: Vec<String>,
    fails: Mutex<Option<WebhookMode>>,
}

impl Receiver {
    /// Starts one on a free port.
    pub(super) async fn start(plan: &Plan, recorder: Recorder) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let environments = plan.environments.iter().map(|environment| environment.id.to_string()).collect();
        let desk = Arc::new(Desk { port, recorder, environments, fails: Mutex::default() });
        let router =
            Router::new().route("/notices", post(receive)).route("/trial", get(try_out)).with_state(Arc::clone(&desk));
        let door = Door { listener, desk: Arc::clone(&desk) };
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(door, router).await {
                tracing::warn!(%error, "the webhook receiver ended");
            }
        });
        Ok(Self { desk, task })
    }

    /// Its port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.desk.port
    }

    /// What a fault acts on.
    pub(super) fn patient(&self) -> Arc<dyn fault::Receiver> {
        Arc::clone(&self.desk) as Arc<dyn fault::Receiver>
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fault::Receiver for Desk {
    fn port(&self) -> u16 {
        self.port
    }

    fn fail(&self, mode: Option<WebhookMode>) {
        *self.fails.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

impl Desk {
    fn fails(&self) -> Option<WebhookMode> {
        *self.fails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn environment(&self, notice: &Notice) -> Option<EnvironmentIndex> {
        let place = self.environments.iter().position(|id| id == notice.environment.as_str())?;
        u16::try_from(place).ok().map(EnvironmentIndex)
    }

    fn tried(&self, environment: EnvironmentIndex, notice: &Notice, mode: WebhookMode) {
        let (kind, operation) = (notice.kind, notice.operation);
        self.recorder.say(What::NoticeAttempt { environment, kind, operation, mode });
    }

    /// Reads what somebody sends, and leaves it at that.
    async fn hang_up_on(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let read = async {
            while notice_in(&request).is_none() && request.len() < REQUEST_BYTES_MAX {
                if stream.read_buf(&mut request).await? == 0 || request.starts_with(b"GET ") {
                    break;
                }
            }
            io::Result::Ok(())
        };
        // Whatever has come by then is all there is to see.
        let _ = timeout(READ_WITHIN, read).await;
        if let Some(notice) = notice_in(&request)
            && let Some(environment) = self.environment(&notice)
        {
            self.tried(environment, &notice, WebhookMode::Down);
        }
    }
}

/// The notice that a request brings, once all of it is there.
fn notice_in(request: &[u8]) -> Option<Notice> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    serde_json::from_slice(&request[end + 4..]).ok()
}

/// Where connections come in; while the receiver is down none gets any further.
struct Door {
    listener: TcpListener,
    desk: Arc<Desk>,
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            if self.desk.fails() != Some(WebhookMode::Down) {
                return (stream, from);
            }
            let desk = Arc::clone(&self.desk);
            tokio::spawn(async move { desk.hang_up_on(stream).await });
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn receive(State(desk): State<Arc<Desk>>, Json(notice): Json<Notice>) -> StatusCode {
    let Some(environment) = desk.environment(&notice) else { return StatusCode::NOT_FOUND };
    match desk.fails() {
        None => {}
        Some(mode) => {
            desk.tried(environment, &notice, mode);
            if mode != WebhookMode::Slow {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            // Whoever does not wait for it hangs up, and this goes no further.
            sleep(SLOW).await;
        }
    }
    let (kind, operation) = (notice.kind, notice.operation);
    desk.recorder.say(What::NoticeReceived { environment, kind, operation });
    StatusCode::NO_CONTENT
}

async fn try_out(State(desk): State<Arc<Desk>>) -> StatusCode {
    match desk.fails() {
        None => return StatusCode::NO_CONTENT,
        Some(WebhookMode::Slow) => sleep(SLOW).await,
        Some(WebhookMode::Down | WebhookMode::Error) => {}
    }
    StatusCode::INTERNAL_SERVER_ERROR
}
