//! What every adapter offers.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    api::{
        EnvironmentId, Region,
        control::{FileReference, OperationState, PlatformEvent, Salvage},
        environment::{Endpoints, EnvironmentKind},
    },
    model::{claim::PlatformSays, plan::Order},
};

/// Why an order was not carried out, or a question not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlaneError {
    /// The platform refused, with its reason: wrong token, unknown environment, not now, ...
    #[error("the platform refused: {0}")]
    Refused(String),
    /// No answer in time, or one that makes no sense.
    #[error("the platform did not answer: {0}")]
    Silent(String),
    /// It tried and failed, with its reason.
    #[error("the platform failed: {0}")]
    Failed(String),
}

/// An environment that was deployed.
#[derive(Clone)]
pub struct Deployed {
    /// The environment.
    pub id: EnvironmentId,
    /// Where customers reach it.
    pub endpoints: Endpoints,
}

/// A platform under test.
pub trait Plane: Send + Sync {
    /// Name and version, for `run.json`.
    fn version<'a>(&'a self) -> BoxFuture<'a, Result<String, PlaneError>>;

    /// Waits until the platform can deploy in both regions.
    fn ready<'a>(&'a self, within: Duration) -> BoxFuture<'a, Result<(), PlaneError>>;

    /// Gives the tenant of all drills its licences.
    fn license<'a>(&'a self, kinds: &'a [EnvironmentKind]) -> BoxFuture<'a, Result<(), PlaneError>>;

    /// Deploys an environment and waits until the platform says that it is done.
    fn deploy<'a>(
        &'a self,
        id: &'a EnvironmentId,
        kind: EnvironmentKind,
        region: &'a Region,
        within: Duration,
    ) -> BoxFuture<'a, Result<Deployed, PlaneError>>;

    /// Which region serves the environment now, as the platform says.
    fn active<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Region, PlaneError>>;

    /// Whether the platform says that the environment is served *and* has a replica.
    fn protected<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<bool, PlaneError>>;

    /// What the platform says of how far each environment's replica is behind, for every environment at once.
    fn behind<'a>(&'a self, within: Duration) -> BoxFuture<'a, Result<Vec<(EnvironmentId, PlatformSays)>, PlaneError>>;

    /// What the platform says it salvaged when a region came back last; `None`: it says that there was nothing of the kind.
    fn salvage<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Option<Salvage>, PlaneError>>;

    /// Has notices sent to this address.
    fn subscribe<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), PlaneError>>;

    /// What the platform says has happened after the event of this number; waits up to `wait` for the first.
    fn events<'a>(&'a self, after: u64, wait: Duration) -> BoxFuture<'a, Result<Vec<PlatformEvent>, PlaneError>>;

    /// Gives an order; the number of the operation comes back.
    fn order<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Orders the upgrade of an environment to production; the number of the operation comes back.
    fn convert<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Opens a support ticket for an environment; the number of the operation comes back.
    fn ticket<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Orders a back-up of an environment; the number of the operation comes back.
    fn back_up<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Orders that an environment be restored from its last back-up; the number of the operation comes back.
    fn restore<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Orders that a copy of a production environment be put into a sandbox; the number of the operation comes back.
    fn copy<'a>(&'a self, from: &'a EnvironmentId, to: &'a EnvironmentId) -> BoxFuture<'a, Result<u64, PlaneError>>;

    /// Waits up to `within` for an operation's end: its state and the platform's reason.
    fn outcome<'a>(
        &'a self,
        operation: u64,
        within: Duration,
    ) -> BoxFuture<'a, Result<(OperationState, Option<String>), PlaneError>>;

    /// References that the platform says are dangling.
    fn marked<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, Result<Vec<FileReference>, PlaneError>>;
}
