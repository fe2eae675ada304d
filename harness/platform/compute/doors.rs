//! Which environments are stopped, durably, and who is inside: a stop lets nobody in, lets what is under way end, and then
//! cuts.
//!
//! On disk: `<data>/stops.json`. A stop holds for its epoch and smaller ones; stops and resumptions are ordered by their
//! operation's number, so that a delayed one undoes nothing.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    api::{EnvironmentId, Epoch},
    os::files,
    platform::actor::locked,
};

/// The last word on an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    /// Of this epoch and smaller ones.
    epoch: Epoch,
    /// The operation that gave it.
    operation: u64,
    /// It stops; else it resumes.
    stops: bool,
}

/// How far a stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stop {
    epoch: Epoch,
    cuts: bool,
}

/// Why a word was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    /// A later operation has spoken, or this one has gone on.
    #[error("operation {0} has had its say: this order comes late")]
    Late(u64),
    /// The word could not be made durable.
    #[error("cannot write the stop: {0}")]
    Io(#[from] io::Error),
}

struct Environment {
    stop: watch::Sender<Option<Stop>>,
    inside: watch::Sender<u64>,
    /// Connections cut since the last stop.
    cut: u64,
}

impl Default for Environment {
    fn default() -> Self {
        Self { stop: watch::Sender::new(None), inside: watch::Sender::new(0), cut: 0 }
    }
}

#[derive(Default)]
struct State {
    words: BTreeMap<EnvironmentId, Word>,
    environments: BTreeMap<EnvironmentId, Environment>,
}

/// The doors of every environment.
pub struct Doors {
    file: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Doors {
    /// As they were left.
    ///
    /// # Errors
    /// The system's, or that the file cannot be read: to go on without would be to forget a stop.
    pub fn open(file: PathBuf) -> io::Result<Self> {
        let words: BTreeMap<EnvironmentId, Word> = match files::read_json(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            other => other?,
        };
        let mut state = State::default();
        for (environment, word) in words.iter().filter(|(_, word)| word.stops) {
            let stop = Stop { epoch: word.epoch, cuts: true };
            state.environments.entry(environment.clone()).or_default().stop.send_replace(Some(stop));
        }
        state.words = words;
        Ok(Self { file, state: Arc::new(Mutex::new(state)) })
    }

    /// Lets in under an epoch; `None` while it is stopped.
    pub fn enter(&self, environment: &EnvironmentId, epoch: Epoch) -> Option<Inside> {
        let mut state = locked(&self.state);
        let entered = state.environments.entry(environment.clone()).or_default();
        if entered.stop.borrow().is_some_and(|stop| epoch <= stop.epoch) {
            return None;
        }
        entered.inside.send_modify(|inside| *inside += 1);
        let (stop, inside) = (entered.stop.subscribe(), entered.inside.clone());
        Some(Inside { environment: environment.clone(), epoch, stop, inside, state: Arc::clone(&self.state) })
    }

    /// Whether a stop is in force under some epoch.
    pub fn is_stopped(&self, environment: &EnvironmentId) -> bool {
        locked(&self.state).words.get(environment).is_some_and(|word| word.stops)
    }

    /// Stops: durable, and in force, when this returns. A repeat changes nothing.
    ///
    /// # Errors
    /// [`DoorsError`].
    pub fn stop(&self, environment: &EnvironmentId, epoch: Epoch, operation: u64) -> Result<(), DoorsError> {
        let mut state = locked(&self.state);
        let word = Word { epoch, operation, stops: true };
        let old = state.words.get(environment).copied();
        match old {
            Some(old) if old == word => return Ok(()),
            Some(old) if old.epoch > epoch => return Err(DoorsError::Late(old.operation)),
            // The resumption of an operation is its last word.
            Some(old) if old.epoch == epoch && old.operation >= operation => {
                return Err(DoorsError::Late(old.operation));
            }
            _ => {}
        }
        self.write(&mut state, environment, word)?;
        let entered = state.environments.entry(environment.clone()).or_default();
        // A stop that a later operation takes over goes on as it is.
        let cuts = old.is_some_and(|old| old.stops && old.epoch == epoch)
            && entered.stop.borrow().is_some_and(|stop| stop.cuts);
        if !cuts {
            entered.cut = 0;
        }
        entered.stop.send_replace(Some(Stop { epoch, cuts }));
        Ok(())
    }

    /// Cuts whoever is still inside.
    pub fn cut(&self, environment: &EnvironmentId) {
        if let Some(entered) = locked(&self.state).environments.get(environment) {
            entered.stop.send_modify(|stop| *stop = stop.map(|stop| Stop { cuts: true, ..stop }));
        }
    }

    /// Undoes a stop of this operation or an earlier one.
    ///
    /// # Errors
    /// [`DoorsError`].
    pub fn resume(&self, environment: &EnvironmentId, epoch: Epoch, operation: u64) -> Result<(), DoorsError> {
        let mut state = locked(&self.state);
        if let Some(old) = state.words.get(environment)
            && (old.epoch, old.operation) > (epoch, operation)
        {
            return Err(DoorsError::Late(old.operation));
        }
        // Also where nothing was stopped: a stop that was delayed on its way may not come after its end.
        self.write(&mut state, environment, Word { epoch, operation, stops: false })?;
        state.environments.entry(environment.clone()).or_default().stop.send_replace(None);
        Ok(())
    }

    /// Waits until nobody is inside.
    pub async fn emptied(&self, environment: &EnvironmentId) {
        let mut inside = locked(&self.state).environments.entry(environment.clone()).or_default().inside.subscribe();
        // The sender lives as long as this.
        let _ = inside.wait_for(|inside| *inside == 0).await;
    }

    /// Connections cut in the middle of something since the stop.
    pub fn cut_count(&self, environment: &EnvironmentId) -> u64 {
        locked(&self.state).environments.get(environment).map_or(0, |entered| entered.cut)
    }

    /// How many are inside.
    pub fn inside(&self, environment: &EnvironmentId) -> u64 {
        locked(&self.state).environments.get(environment).map_or(0, |entered| *entered.inside.borrow())
    }

    fn write(&self, state: &mut State, environment: &EnvironmentId, word: Word) -> io::Result<()> {
        let mut words = state.words.clone();
        if words.insert(environment.clone(), word) != Some(word) {
            files::write_json(&self.file, &words)?;
            state.words = words;
        }
        Ok(())
    }
}

/// Someone inside: a connection, or a write that a client has asked for. Its end is its drop.
pub struct Inside {
    environment: EnvironmentId,
    epoch: Epoch,
    stop: watch::Receiver<Option<Stop>>,
    inside: watch::Sender<u64>,
    state: Arc<Mutex<State>>,
}

impl Clone for Inside {
    fn clone(&self) -> Self {
        self.inside.send_modify(|inside| *inside += 1);
        Self {
            environment: self.environment.clone(),
            epoch: self.epoch,
            stop: self.stop.clone(),
            inside: self.inside.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.inside.send_modify(|inside| *inside -= 1);
    }
}

impl Inside {
    /// Nothing new may begin.
    pub fn is_draining(&self) -> bool {
        self.stop.borrow().is_some_and(|stop| self.epoch <= stop.epoch)
    }

    /// It must end here.
    pub fn is_cut(&self) -> bool {
        self.stop.borrow().is_some_and(|stop| self.epoch <= stop.epoch && stop.cuts)
    }

    /// Waits until nothing new may begin.
    pub async fn draining(&self) {
        self.until(|_| true).await;
    }

    /// Waits until it must end.
    pub async fn cut(&self) {
        self.until(|stop| stop.cuts).await;
    }

    /// Counts it as cut in the middle of something.
    pub fn note_cut(&self) {
        if let Some(entered) = locked(&self.state).environments.get_mut(&self.environment) {
            entered.cut += 1;
        }
    }

    async fn until(&self, enough: impl Fn(Stop) -> bool) {
        let mut stop = self.stop.clone();
        let epoch = self.epoch;
        // The sender lives as long as the doors do, and with them whoever is inside.
        let _ = stop.wait_for(|stop| stop.is_some_and(|stop| epoch <= stop.epoch && enough(stop))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sales() -> EnvironmentId {
        "sales".parse().unwrap()
    }

    #[tokio::test]
    async fn a_stop_holds_for_its_epoch_outlives_a_restart_and_is_undone_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stops.json");
        let doors = Doors::open(file.clone()).unwrap();
        let inside = doors.enter(&sales(), Epoch(1)).unwrap();
        doors.stop(&sales(), Epoch(1), 5).unwrap();
        doors.stop(&sales(), Epoch(1), 5).unwrap();
        assert!(inside.is_draining() && !inside.is_cut() && doors.is_stopped(&sales()));
        assert!(doors.enter(&sales(), Epoch(1)).is_none() && doors.enter(&sales(), Epoch(2)).is_some());
        doors.cut(&sales());
        assert!(inside.is_cut());
        inside.note_cut();
        assert_eq!((doors.cut_count(&sales()), doors.inside(&sales())), (1, 1));
        drop(inside);
        doors.emptied(&sales()).await;

        let doors = Doors::open(file.clone()).unwrap();
        assert!(doors.enter(&sales(), Epoch(1)).is_none());
        assert!(matches!(doors.resume(&sales(), Epoch(1), 4), Err(DoorsError::Late(5))));
        doors.resume(&sales(), Epoch(1), 5).unwrap();
        doors.resume(&sales(), Epoch(1), 5).unwrap();
        // The same operation's stop, delayed on its way, comes too late; the next operation's does not.
        assert!(matches!(doors.stop(&sales(), Epoch(1), 5), Err(DoorsError::Late(5))));
        assert!(doors.enter(&sales(), Epoch(1)).is_some());
        doors.stop(&sales(), Epoch(1), 6).unwrap();
        assert!(matches!(doors.resume(&sales(), Epoch(1), 5), Err(DoorsError::Late(6))));
        assert!(Doors::open(file).unwrap().enter(&sales(), Epoch(1)).is_none());
    }

    #[test]
    fn a_resumption_that_overtakes_its_stop_is_the_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let doors = Doors::open(folder.path().join("stops.json")).unwrap();
        doors.resume(&sales(), Epoch(1), 7).unwrap();
        assert!(matches!(doors.stop(&sales(), Epoch(1), 7), Err(DoorsError::Late(7))));
        assert!(matches!(doors.stop(&sales(), Epoch(1), 6), Err(DoorsError::Late(7))));
        doors.stop(&sales(), Epoch(2), 6).unwrap();
    }
}
