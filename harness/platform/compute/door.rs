//! Who comes in: the preamble, checked against the permits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::{
    gate::{Gated, Pass},
    holder::Holder,
};
use crate::{
    api::{
        EnvironmentId,
        route::{DoorStore, Preamble},
    },
    platform::actor::{lease::Terms, preamble},
};

/// How long a connection may take to say who it is for.
const PREAMBLE_WITHIN: Duration = Duration::from_secs(10);

/// A connection that may be served once its store has been reached.
pub struct Visitor {
    stream: TcpStream,
    pass: Pass,
    /// The environment it is for.
    pub environment: EnvironmentId,
    /// The terms under which it came.
    pub terms: Terms,
}

/// Reads the preamble and checks it; a health check is answered, and a connection without a permit refused, here.
pub async fn admit(holder: &Arc<Holder>, mut stream: TcpStream, store: DoorStore) -> Option<Visitor> {
    let preamble = match preamble::read(&mut stream, PREAMBLE_WITHIN).await {
        Ok(preamble) => preamble,
        Err(error) => {
            tracing::debug!(%error, "no preamble");
            return None;
        }
    };
    let Some(environment) = preamble.environment.clone() else {
        let _ = preamble::accept(&mut stream).await;
        return None;
    };
    match check(holder, &preamble, &environment, store) {
        Ok((pass, terms)) => Some(Visitor { stream, pass, environment, terms }),
        Err(why) => {
            tracing::debug!(%environment, epoch = preamble.epoch.0, why, "refused");
            let _ = preamble::refuse(&mut stream, &why).await;
            None
        }
    }
}

fn check(
    holder: &Arc<Holder>,
    preamble: &Preamble,
    environment: &EnvironmentId,
    store: DoorStore,
) -> Result<(Pass, Terms), String> {
    if preamble.store != store {
        return Err("this port leads to the other store".to_owned());
    }
    let watched = holder.watch(environment).ok_or("no permit: unknown environment")?;
    let terms = watched.borrow().clone();
    terms.allow(preamble.epoch, preamble.door, Instant::now()).map_err(|denied| denied.to_string())?;
    let inside = holder.doors.enter(environment, preamble.epoch).ok_or("the environment is being switched")?;
    Ok((Pass { terms: watched, epoch: preamble.epoch, door: preamble.door, inside }, terms))
}

impl Visitor {
    /// What it was let in for.
    pub fn pass(&self) -> &Pass {
        &self.pass
    }

    /// Tells the edge that traffic may flow, and puts the gate in front of it.
    pub async fn welcome(mut self) -> Option<Gated> {
        preamble::accept(&mut self.stream).await.ok()?;
        Some(Gated::new(self.stream, self.pass))
    }

    /// Sends it away.
    pub async fn turn_away(mut self, why: &str) {
        let _ = preamble::refuse(&mut self.stream, why).await;
    }
}
