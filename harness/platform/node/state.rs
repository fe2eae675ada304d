//! What a node must not forget: epochs, roles, what it may grant, marked references.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

use crate::{
    api::{
        EnvironmentId, Epoch, Region, Zone,
        control::FileReference,
        guard::Limits,
        node::{Rejoin, Spec},
    },
    os::files,
    platform::actor::locked,
};

/// What this zone's cluster of an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Role {
    /// There is none.
    #[default]
    None,
    /// The primary since this epoch, and the owner while no greater one has been seen.
    Primary(Epoch),
    /// The standby of the other region.
    Standby,
}

/// Leave to grant permits to the other region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granting {
    /// To whom.
    pub primary: Region,
    /// Under which epoch.
    pub epoch: Epoch,
    /// The operation that gave it: of two under one epoch the later one's holds.
    #[serde(default)]
    pub operation: u64,
    /// The limits by which writes are slowed and withheld.
    #[serde(default)]
    pub guard: Option<Limits>,
}

/// The end of granting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Of this epoch and all smaller ones.
    pub epoch: Epoch,
    /// The operation that stopped it: only this or a later one may allow granting of the same epoch again, so that a
    /// command delayed on its way cannot.
    pub operation: u64,
}

/// A promotion that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Under this epoch.
    pub epoch: Epoch,
    /// To this timeline.
    pub timeline: u32,
    /// Forked here, in bytes of log.
    pub fork_lsn: u64,
}

/// A primary that was, or is being, handed over: it is not started here, and not opened, while this stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handing {
    /// The epoch under which it was the primary.
    pub epoch: Epoch,
    /// The operation that asked for it.
    pub operation: u64,
}

/// A primary in another zone of the same region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Following {
    /// Its zone.
    pub zone: Zone,
    /// Its epoch: under a greater one it may follow another, and what is here may have gone past where that one forked.
    pub epoch: Epoch,
}

/// Whose standby a primary waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synchronous {
    /// The zone's; `None`: nobody's.
    pub zone: Option<Zone>,
    /// The epoch under which it was said.
    pub epoch: Epoch,
    /// The operation that said so: of two under one epoch the later one's holds.
    pub operation: u64,
}

/// The way of an old primary back to being a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returning {
    /// The epoch of the live side.
    pub epoch: Epoch,
    /// Its folder may be half changed: it can only be built anew.
    pub spoilt: bool,
    /// How it came back, once it did.
    pub how: Option<Rejoin>,
}

/// All a node knows of one environment.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The greatest epoch seen.
    pub epoch: Epoch,
    /// What it was made from.
    pub spec: Option<Spec>,
    /// What the cluster here is.
    pub role: Role,
    /// The last operation that made a replica or unmade one, here or of what is served here: an order that was delayed on its
    /// way may not undo what a later one did.
    #[serde(default)]
    pub replica_by: u64,
    /// The zone of the other region in which its side there is.
    #[serde(default)]
    pub peer_zone: Zone,
    /// Of a standby: the primary in another zone of this region that it follows, and under which epoch. `None`: it follows the
    /// other region.
    #[serde(default)]
    pub follows: Option<Following>,
    /// Of a primary: the zone without whose standby nothing is acknowledged, and the operation that said so.
    #[serde(default)]
    pub synchronous: Option<Synchronous>,
    /// The last operation that put a back-up, or a copy, in the place of what it held: an order of it, or of one before, changes
    /// nothing any more.
    #[serde(default)]
    pub replaced_by: u64,
    /// Leave to grant.
    pub granting: Option<Granting>,
    /// Its end.
    pub stopped: Option<Stopped>,
    /// The last promotion here.
    pub promotion: Option<Promotion>,
    /// The hand-over in force.
    pub handing: Option<Handing>,
    /// The last operation whose hand-over was taken back; 0 if none. An order to hand over that was delayed on its way
    /// may not stop the primary again.
    #[serde(default)]
    pub taken_back: u64,
    /// The last way back.
    pub returning: Option<Returning>,
    /// Rows whose object version this region does not have.
    pub marks: Vec<FileReference>,
}

impl Record {
    /// The epoch under which permits may be granted to `region`, if any.
    pub fn may_grant_to(&self, region: &Region) -> Option<Epoch> {
        let granting = self.granting.as_ref().filter(|granting| granting.primary == *region)?;
        let stopped = self.stopped.is_some_and(|stopped| granting.epoch <= stopped.epoch);
        (!stopped && granting.epoch == self.epoch).then_some(granting.epoch)
    }

    /// Which cluster is followed from `region`, whose peer is `peer`, if this one is a standby.
    pub fn followed(&self, region: &Region, peer: &Region) -> (Region, Zone) {
        match self.follows {
            Some(following) => (region.clone(), following.zone),
            None => (peer.clone(), self.peer_zone),
        }
    }

    /// Whose standby the owner here waits for.
    pub fn awaited(&self) -> Option<Zone> {
        self.synchronous.filter(|said| self.owned() == Some(said.epoch))?.zone
    }

    /// Whether the owner here is being handed over, or was.
    pub fn is_handed_over(&self) -> bool {
        self.handing.is_some_and(|handing| self.owned() == Some(handing.epoch))
    }

    /// The epoch under which this zone's cluster is the owner, if it is.
    pub fn owned(&self) -> Option<Epoch> {
        match self.role {
            Role::Primary(epoch) if epoch >= self.epoch => Some(epoch),
            _ => None,
        }
    }
}

/// Every environment.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// By name.
    pub environments: BTreeMap<EnvironmentId, Record>,
}

/// The state, on disk whenever it is seen.
pub struct Durable {
    file: PathBuf,
    state: Mutex<State>,
}

impl Durable {
    /// As it was left.
    ///
    /// # Errors
    /// The system's, or that the file cannot be read: to go on without would be to forget a fence.
    pub fn open(file: PathBuf) -> io::Result<Self> {
        let state = match files::read_json(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            other => other?,
        };
        Ok(Self { file, state: Mutex::new(state) })
    }

    /// Looks at it.
    pub fn read(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// An environment's record; empty if there is none.
    pub fn record(&self, environment: &EnvironmentId) -> Record {
        self.read().environments.get(environment).cloned().unwrap_or_default()
    }

    /// Changes an environment's record; it is on disk when this returns, and unchanged if that failed.
    ///
    /// # Errors
    /// The system's.
    pub fn change(&self, environment: &EnvironmentId, edit: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut state = locked(&self.state);
        let mut fresh = state.clone();
        edit(fresh.environments.entry(environment.clone()).or_default());
        if fresh != *state {
            files::write_json(&self.file, &fresh)?;
            *state = fresh;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.json");
        let sales: EnvironmentId = "sales".parse().unwrap();
        let durable = Durable::open(file.clone()).unwrap();
        durable.change(&sales, |record| record.role = Role::Primary(Epoch(2))).unwrap();
        durable.change(&sales, |record| record.epoch = Epoch(3)).unwrap();
        let again = Durable::open(file).unwrap();
        assert!(*again.read() == *durable.read());
        assert_eq!(again.record(&sales).owned(), None);
    }
}
