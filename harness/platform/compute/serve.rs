//! The compute's life.

use std::{future::Future, io, sync::Arc};

use axum::{Router, routing::post};
use tokio::task::JoinSet;

use super::{account, command::command, files, holder::Holder, reports, sql};
use crate::{
    api::role::ComputeConfig,
    clients::http::Http,
    platform::actor::{connection::listen, internal, lease::Grantor, renewal::keep_asking, shutdown::Shutdown},
};

/// Why a compute ended.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// A port, a signal handler or the data folder could not be had.
    #[error("run the compute: {0}")]
    Io(#[from] io::Error),
}

/// Runs a compute until SIGTERM.
///
/// # Errors
/// [`ComputeError`].
pub async fn run(config: ComputeConfig) -> Result<(), ComputeError> {
    let shutdown = Shutdown::listen()?;
    run_until(config, shutdown.asked()).await
}

pub(super) async fn run_until(
    config: ComputeConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ComputeError> {
    let holder = Arc::new(Holder::open(config)?);
    let config = &holder.config;
    let timers = config.timers.clone();
    let sql = listen(config.listen_sql).await?;
    let files = listen(config.listen_files).await?;
    let internal = listen(config.listen).await?;
    tracing::info!(region = %config.region, "compute is up");

    let mut tasks = JoinSet::new();
    for (grantor, address) in Grantor::all(&config.control, &config.peer_nodes) {
        let http = Http::at(address, config.internal_token.clone());
        let (holder, timers) = (Arc::clone(&holder), timers.clone());
        tasks.spawn(async move { keep_asking(holder, grantor, http, timers).await });
    }
    tasks.spawn(Arc::clone(&holder).keep_marks());
    tasks.spawn(account::push_all(Arc::clone(&holder)));
    tasks.spawn(reports::keep_copies(Arc::clone(&holder)));
    tasks.spawn(sql::serve(Arc::clone(&holder), sql));
    tasks.spawn(files::serve(Arc::clone(&holder), files));
    let router = Router::new().route("/internal/command", post(command)).with_state(Arc::clone(&holder));
    // The tasks end with their set.
    internal::serve(internal, router, &config.internal_token, stop).await?;
    tracing::info!(region = %config.region, "compute ends");
    Ok(())
}
