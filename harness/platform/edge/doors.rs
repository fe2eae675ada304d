//! The doors: a customer's connection is led to the compute of the route's region, or closed at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    api::{
        Region,
        role::ComputeDoors,
        route::{Door, DoorStore, Preamble, Route},
    },
    platform::actor::{
        connection::{BUFFER_BYTES, accept, dial, reset_on_close},
        preamble::introduce,
    },
};

/// How long a compute may take to accept a connection, and again to answer its preamble. Long, for the sake of slow links:
/// a new route ends the wait at once.
const COMPUTE_WITHIN: Duration = Duration::from_secs(5);

/// One door.
pub struct DoorOf {
    /// Store.
    pub store: DoorStore,
    /// For reading, or for writing too.
    pub door: Door,
    /// The slot's route.
    pub route: watch::Receiver<Option<Route>>,
    /// Where the computes are.
    pub computes: Arc<BTreeMap<Region, Vec<ComputeDoors>>>,
}

/// Serves one door for ever.
pub async fn serve(door: DoorOf, listener: TcpListener) {
    let door = Arc::new(door);
    loop {
        let client = accept(&listener).await;
        tokio::spawn(lead(Arc::clone(&door), client));
    }
}

async fn lead(door: Arc<DoorOf>, mut client: TcpStream) {
    let mut watched = door.route.clone();
    let Some(route) = watched.borrow_and_update().clone() else {
        return reset_on_close(&client);
    };
    let follow = async {
        let mut compute = reach(&door, &route).await?;
        let ended =
            copy_bidirectional_with_sizes(&mut client, &mut compute, BUFFER_BYTES, BUFFER_BYTES).await.map(drop);
        if ended.is_err() {
            // Whichever end broke, the other must learn of it, not read an orderly end.
            reset_on_close(&compute);
        }
        ended.map_err(|error| error.to_string())
    };
    let ended = tokio::select! {
        biased;
        () = replaced(&mut watched, &route) => Err("the route has changed".to_owned()),
        ended = follow => ended,
    };
    if let Err(why) = ended {
        tracing::debug!(environment = %route.environment, epoch = route.epoch.0, why, "connection closed");
        reset_on_close(&client);
    }
}

/// A connection to the route's compute, introduced and accepted.
async fn reach(door: &DoorOf, route: &Route) -> Result<TcpStream, String> {
    let computes = door.computes.get(&route.region).ok_or("the route names an unknown region")?;
    let compute = computes.get(route.zone.index()).ok_or("the route names an unknown zone")?;
    let address = match door.store {
        DoorStore::Sql => &compute.sql,
        DoorStore::Files => &compute.files,
    };
    let mut compute = dial(address, COMPUTE_WITHIN).await.map_err(|error| error.to_string())?;
    let preamble = Preamble {
        environment: Some(route.environment.clone()),
        epoch: route.epoch,
        store: door.store,
        door: door.door,
    };
    introduce(&mut compute, &preamble, COMPUTE_WITHIN).await.map_err(|error| error.to_string())?;
    Ok(compute)
}

/// Waits until the slot has another route.
async fn replaced(watched: &mut watch::Receiver<Option<Route>>, route: &Route) {
    // An error says that the edge ends.
    let _ = watched.wait_for(|now| now.as_ref() != Some(route)).await;
}
