//! The edge's life.

use std::{future::Future, io, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::put};
use tokio::task::JoinSet;

use super::{
    doors::{self, DoorOf},
    report::{Health, keep_reporting},
    routes::{RouteError, Routes},
};
use crate::{
    api::{
        Zone,
        role::EdgeConfig,
        route::{Door, DoorStore, Route},
    },
    clients::http::Http,
    os::files,
    platform::actor::{
        connection::listen,
        internal::{self, Refused},
        shutdown::Shutdown,
    },
};

/// Why an edge ended.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A port, a signal handler or the data folder could not be had.
    #[error("run the edge: {0}")]
    Io(#[from] io::Error),
}

/// Runs the edge until SIGTERM.
///
/// # Errors
/// [`EdgeError`].
pub async fn run(config: EdgeConfig) -> Result<(), EdgeError> {
    let shutdown = Shutdown::listen()?;
    run_until(config, shutdown.asked()).await
}

pub(crate) async fn run_until(
    config: EdgeConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), EdgeError> {
    files::private_folder(&config.data)?;
    let routes = Arc::new(Routes::open(config.data.join("routes.json"), config.doors.len(), config.sabotage)?);
    let computes = Arc::new(config.computes);
    let mut tasks = JoinSet::new();
    for (slot, ports) in config.doors.iter().enumerate() {
        for (port, store, door) in [
            (ports.sql_rw, DoorStore::Sql, Door::Rw),
            (ports.sql_ro, DoorStore::Sql, Door::Ro),
            (ports.files_rw, DoorStore::Files, Door::Rw),
            (ports.files_ro, DoorStore::Files, Door::Ro),
        ] {
            let Some(route) = routes.watch(slot) else { continue };
            let door = DoorOf { store, door, route, computes: Arc::clone(&computes) };
            tasks.spawn(doors::serve(door, listen((config.listen.ip(), port).into()).await?));
        }
    }
    let zones = || {
        computes.iter().flat_map(|(region, zones)| {
            zones.iter().zip((1..).map(Zone)).map(move |(doors, zone)| (region.clone(), zone, doors))
        })
    };
    let health = Arc::new(Health::new(zones().map(|(region, zone, _)| (region, zone))));
    for (region, zone, doors) in zones() {
        tasks.spawn(Arc::clone(&health).keep_checking(region, zone, doors.sql.clone(), config.timers.clone()));
    }
    let control = Http::at(&config.control, config.internal_token.clone());
    tasks.spawn(keep_reporting(health, Arc::clone(&routes), control, config.timers));
    let internal = listen(config.listen).await?;
    tracing::info!(slots = config.doors.len(), "edge is up");

    let router = Router::new().route("/internal/route", put(take_route)).with_state(routes);
    // The tasks end with their set.
    internal::serve(internal, router, &config.internal_token, stop).await?;
    tracing::info!("edge ends");
    Ok(())
}

async fn take_route(State(routes): State<Arc<Routes>>, Json(route): Json<Route>) -> Result<StatusCode, Refused> {
    let (environment, epoch, region) = (route.environment.clone(), route.epoch, route.region.clone());
    routes.take(route).map_err(|error| match error {
        RouteError::Old { .. } | RouteError::Contradicts(_) => Refused::conflict(error.to_string()),
        RouteError::Unknown(_) => Refused::unknown(error.to_string()),
        RouteError::Io(_) => Refused::failed(error.to_string()),
    })?;
    tracing::info!(%environment, epoch = epoch.0, %region, "route");
    Ok(StatusCode::NO_CONTENT)
}
