//! The durable table of routes.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Mutex};

use tokio::sync::watch;

use crate::{
    api::{EnvironmentId, Epoch, route::Route, sabotage::Sabotage},
    os::files,
    platform::actor::locked,
};

/// Why a route was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A greater epoch has been seen.
    #[error("epoch {asked} is over: epoch {seen} has been seen")]
    Old {
        /// Of the route refused.
        asked: Epoch,
        /// The greatest seen.
        seen: Epoch,
    },
    /// Another route of the same epoch stands.
    #[error("another route of epoch {0} stands: a new route needs a new epoch")]
    Contradicts(Epoch),
    /// There is no such slot or region.
    #[error("{0}")]
    Unknown(String),
    /// It could not be made durable.
    #[error("cannot write the routes: {0}")]
    Io(#[from] io::Error),
}

/// Every environment's route, on disk and as each slot's doors see it.
pub struct Routes {
    file: PathBuf,
    table: Mutex<BTreeMap<EnvironmentId, Route>>,
    slots: Vec<watch::Sender<Option<Route>>>,
    sabotage: Option<Sabotage>,
}

impl Routes {
    /// The routes as they were left.
    ///
    /// # Errors
    /// The system's, or that the file cannot be read.
    pub fn open(file: PathBuf, slots: usize, sabotage: Option<Sabotage>) -> io::Result<Self> {
        let table: BTreeMap<EnvironmentId, Route> = match files::read_json(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            other => other?,
        };
        let senders: Vec<watch::Sender<Option<Route>>> = (0..slots).map(|_| watch::Sender::new(None)).collect();
        for route in table.values().filter(|route| !route.withdrawn) {
            if let Some(sender) = senders.get(usize::from(route.slot)) {
                sender.send_replace(Some(route.clone()));
            }
        }
        Ok(Self { file, table: Mutex::new(table), slots: senders, sabotage })
    }

    /// Takes a route: durably first, then the slot's doors follow it. One that is withdrawn is kept for its epoch alone, and takes its
    /// slot from nobody else.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn take(&self, route: Route) -> Result<(), RouteError> {
        let slot = usize::from(route.slot);
        let sender = self.slots.get(slot).ok_or_else(|| RouteError::Unknown(format!("there is no slot {slot}")))?;
        let mut table = locked(&self.table);
        match table.get(&route.environment) {
            Some(known) if *known == route => return Ok(()),
            Some(known) if known.epoch > route.epoch => {
                return Err(RouteError::Old { asked: route.epoch, seen: known.epoch });
            }
            Some(_) if self.sabotage == Some(Sabotage::KeepOldRoute) => return Ok(()),
            Some(known) if known.epoch == route.epoch => return Err(RouteError::Contradicts(route.epoch)),
            _ => {}
        }
        let mut fresh = table.clone();
        fresh.insert(route.environment.clone(), route.clone());
        files::write_json(&self.file, &fresh)?;
        *table = fresh;
        if route.withdrawn {
            sender.send_if_modified(|now| now.take_if(|now| now.environment == route.environment).is_some());
        } else {
            sender.send_replace(Some(route));
        }
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Route> {
        locked(&self.table).values().cloned().collect()
    }

    /// A slot's route, kept up to date.
    pub fn watch(&self, slot: usize) -> Option<watch::Receiver<Option<Route>>> {
        self.slots.get(slot).map(watch::Sender::subscribe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Zone;

    fn route(epoch: u64, region: &str) -> Route {
        Route {
            environment: "sales".parse().unwrap(),
            epoch: Epoch(epoch),
            slot: 1,
            region: region.parse().unwrap(),
            zone: Zone::FIRST,
            withdrawn: false,
        }
    }

    #[test]
    fn a_route_that_is_withdrawn_frees_its_slot_and_comes_back_under_a_later_epoch_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes.json");
        let routes = Routes::open(file.clone(), 2, None).unwrap();
        let watched = routes.watch(1).unwrap();
        routes.take(route(1, "east")).unwrap();
        let withdrawn = Route { withdrawn: true, ..route(2, "east") };
        for _ in 0..2 {
            routes.take(withdrawn.clone()).unwrap();
            assert_eq!(*watched.borrow(), None);
        }
        assert!(matches!(routes.take(route(1, "east")), Err(RouteError::Old { .. })));
        assert!(matches!(routes.take(route(2, "east")), Err(RouteError::Contradicts(_))));
        // Another environment has the slot now; a repeat, and a restart, leave it there.
        let other = Route { environment: "books".parse().unwrap(), ..route(1, "west") };
        routes.take(other.clone()).unwrap();
        routes.take(withdrawn).unwrap();
        assert_eq!(*watched.borrow(), Some(other.clone()));
        let routes = Routes::open(file, 2, None).unwrap();
        assert_eq!(*routes.watch(1).unwrap().borrow(), Some(other));
        routes.take(Route { slot: 0, ..route(3, "west") }).unwrap();
        assert!(routes.watch(0).unwrap().borrow().is_some());
    }

    #[test]
    fn routes_only_go_forward_and_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes.json");
        let routes = Routes::open(file.clone(), 2, None).unwrap();
        let watched = routes.watch(1).unwrap();
        routes.take(route(1, "east")).unwrap();
        routes.take(route(1, "east")).unwrap();
        assert!(matches!(routes.take(route(1, "west")), Err(RouteError::Contradicts(_))));
        routes.take(route(2, "west")).unwrap();
        assert!(matches!(routes.take(route(1, "east")), Err(RouteError::Old { .. })));
        assert_eq!(*watched.borrow(), Some(route(2, "west")));
        assert!(matches!(routes.take(Route { slot: 9, ..route(3, "east") }), Err(RouteError::Unknown(_))));

        let reopened = Routes::open(file, 2, None).unwrap();
        assert_eq!(reopened.all(), [route(2, "west")]);
        assert_eq!(*reopened.watch(1).unwrap().borrow(), Some(route(2, "west")));
        assert_eq!(*reopened.watch(0).unwrap().borrow(), None);
    }
}
