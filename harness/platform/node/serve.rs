//! The node's life, and its HTTP server.

use std::{future::Future, io, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{
    commands::{CommandError, execute},
    evidence::{self, salvage},
    files,
    shared::Node,
    supervisor::{stop_all, supervise_all},
};
use crate::{
    api::{
        EnvironmentId,
        compute::{AccountMark, AccountPush},
        control::{Dangling, Salvage},
        node::{Answer, Command},
        permit::{PermitReply, PermitRequest},
        role::NodeConfig,
    },
    clients::http::Http,
    platform::actor::{
        connection::listen,
        internal::{self, Refused},
        lease::Grantor,
        locked,
        renewal::keep_asking,
        shutdown::Shutdown,
    },
};

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A port, a signal handler, the data folder or the state could not be had.
    #[error("run the node: {0}")]
    Io(#[from] io::Error),
}

/// Runs a node until SIGTERM; its clusters are then stopped.
///
/// # Errors
/// [`NodeError`].
pub async fn run(config: NodeConfig) -> Result<(), NodeError> {
    let shutdown = Shutdown::listen()?;
    run_until(config, shutdown.asked()).await
}

pub(super) async fn run_until(
    config: NodeConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let listener = listen(config.listen).await?;
    let node = Arc::new(Node::open(config)?);
    let config = &node.config;
    let token = config.internal_token.clone();
    let mut tasks = JoinSet::new();
    for (grantor, at) in Grantor::all(&config.control, &config.peer_nodes) {
        let (node, http, timers) = (Arc::clone(&node), Http::at(at, token.clone()), config.timers.clone());
        tasks.spawn(async move { keep_asking(node, grantor, http, timers).await });
    }
    tasks.spawn(supervise_all(Arc::clone(&node)));
    tasks.spawn(files::run(Arc::clone(&node)));
    tracing::info!(region = %config.region, "node is up");

    let router = Router::new()
        .route("/internal/command", post(command))
        .route("/internal/permits", post(permits))
        .route("/internal/account", post(account))
        .route("/internal/marks", get(marks))
        .route("/internal/salvage", get(salvaged))
        .route("/internal/salvage/body", get(salvaged_body))
        .with_state(Arc::clone(&node));
    let served = internal::serve(listener, router, &token, stop).await;
    // Nobody starts what is being stopped.
    tasks.shutdown().await;
    stop_all(&node).await;
    tracing::info!(region = %config.region, "node ends");
    Ok(served?)
}

async fn command(State(node): State<Arc<Node>>, Json(command): Json<Command>) -> Result<Json<Answer>, Refused> {
    let (operation, environment, epoch) = (command.operation, command.environment.clone(), command.epoch);
    let action = command.action.name();
    // A task of its own: a sender that gives up may not leave a step half done.
    let done = tokio::spawn(async move { execute(&node, command).await }).await;
    let done = done.map_err(|error| Refused::failed(format!("the command broke: {error}")))?;
    match done {
        Ok(answer) => {
            tracing::info!(operation, %environment, epoch = epoch.0, action, "done");
            Ok(Json(answer))
        }
        Err(error) => {
            tracing::warn!(operation, %environment, epoch = epoch.0, action, %error, "not done");
            Err(match error {
                CommandError::Old { .. } | CommandError::NotNow(_) => Refused::conflict(error.to_string()),
                _ => Refused::failed(error.to_string()),
            })
        }
    }
}

async fn account(State(node): State<Arc<Node>>, Json(push): Json<AccountPush>) -> Result<Json<AccountMark>, Refused> {
    files::take(&node, push).map(Json)
}

async fn permits(State(node): State<Arc<Node>>, Json(request): Json<PermitRequest>) -> Json<PermitReply> {
    // The state is read under the lock of the grants: a stop that comes after has then seen this grant.
    let mut grants = locked(&node.grants);
    let received = |environment: &EnvironmentId| node.received(environment);
    let reply = grants.answer(&node.durable.read(), &node.config.peer, &request, received, Instant::now());
    Json(reply)
}

#[derive(Deserialize)]
struct Of {
    environment: EnvironmentId,
}

async fn salvaged(State(node): State<Arc<Node>>, Query(of): Query<Of>) -> Result<Json<Salvage>, Refused> {
    let data = node.config.data.clone();
    let none = format!("nothing of {} was ever secured here", of.environment);
    let read = tokio::task::spawn_blocking(move || salvage(&data, &of.environment)).await;
    let read = read.map_err(|error| Refused::failed(format!("the reading broke: {error}")))?;
    let found = read.map_err(|error| Refused::failed(format!("cannot read the evidence: {error}")))?;
    found.map(Json).ok_or_else(|| Refused::unknown(none))
}

#[derive(Deserialize)]
struct Body {
    environment: EnvironmentId,
    file: String,
}

async fn salvaged_body(State(node): State<Arc<Node>>, Query(of): Query<Body>) -> Result<Bytes, Refused> {
    let data = node.config.data.clone();
    let none = format!("nothing called {} of {} was salvaged here", of.file, of.environment);
    let find = tokio::task::spawn_blocking(move || {
        evidence::body(&data, &of.environment, &of.file)?.map(std::fs::read).transpose()
    });
    let found = find.await.map_err(|error| Refused::failed(format!("the reading broke: {error}")))?;
    let found = found.map_err(|error| Refused::failed(format!("cannot read the evidence: {error}")))?;
    found.map(Bytes::from).ok_or_else(|| Refused::unknown(none))
}

async fn marks(State(node): State<Arc<Node>>, Query(of): Query<Of>) -> Json<Dangling> {
    Json(Dangling { references: node.durable.record(&of.environment).marks })
}
