//! A run's observations, each fetched when it is asked for: those of a long run do not fit into memory all at once.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

use super::{LedgerError, reads};
use crate::model::{
    RunTime,
    observation::{Boundary, Observation, Reading},
    operation::{EnvironmentIndex, Side},
};

/// Observations, wherever they are; several may be asked for at once.
pub trait Readings: fmt::Debug + Sync {
    /// The last one of an environment at a boundary that is wanted: a reading that failed may have been tried again.
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Fetched<'_>>;
}

impl Readings for Vec<Observation> {
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Fetched<'_>> {
        let found = self.iter().rev().find(|seen| seen.environment == environment && is_wanted(&seen.boundary));
        found.map(|observation| Fetched(Held::Whole(observation)))
    }
}

/// One observation as it was fetched. A long run's is large: lay it aside before the next one is fetched.
#[derive(Debug)]
pub struct Fetched<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Whole(&'a Observation),
    /// The bytes of a shelf's file, or why there are none.
    Bytes {
        shelf: &'a Shelf,
        place: usize,
        bytes: Result<Vec<u8>, String>,
    },
}

impl Fetched<'_> {
    /// Which boundary it was made at.
    pub fn boundary(&self) -> &Boundary {
        match &self.0 {
            Held::Whole(observation) => &observation.boundary,
            Held::Bytes { shelf, place, .. } => &shelf.kept[*place].head.boundary,
        }
    }

    /// What it says. One that cannot be read says so in place of what it holds, until [`Shelf::check`] tells the reason.
    pub fn observation(&self) -> Observation<&str> {
        match &self.0 {
            Held::Whole(observation) => observation.borrowed(),
            Held::Bytes { shelf, place, bytes } => match bytes {
                Ok(bytes) => shelf.decode(*place, bytes),
                Err(why) => shelf.kept[*place].head.unread(why),
            },
        }
    }
}

/// The observations in a folder. Of each, only what it begins with is kept.
#[derive(Debug)]
pub struct Shelf {
    /// In the order in which they began.
    kept: Vec<Kept>,
    /// What became of each file that was fetched.
    fetched: Mutex<Vec<Option<Result<(), LedgerError>>>>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    head: Head,
}

/// What an [`Observation`] begins with: the same fields in the same order.
#[derive(Debug, Clone, Deserialize)]
struct Head {
    environment: EnvironmentIndex,
    side: Side,
    boundary: Boundary,
    began: RunTime,
    ended: RunTime,
}

impl Shelf {
    /// Finds the observations in this folder. No folder, no observations.
    ///
    /// # Errors
    /// The system's, or a file that does not begin as an observation does. The rest of it is looked at when it is fetched,
    /// and at the latest by [`Shelf::check`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let mut kept = Vec::new();
        for path in reads::files(folder)? {
            let head = reads::beginning(&path)?;
            kept.push(Kept { path, head });
        }
        kept.sort_by_key(|kept| (kept.head.began, kept.head.environment, kept.head.side));
        let fetched = Mutex::new(kept.iter().map(|_| None).collect());
        Ok(Self { kept, fetched })
    }

    /// Whether everything that was fetched could be trusted, and what was not is whole too: what was made of the readings
    /// holds only then.
    ///
    /// # Errors
    /// As [`reads::read`]: one that cannot be trusted spoils all.
    pub fn check(self) -> Result<(), LedgerError> {
        let fetched = self.fetched.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (kept, fetched) in self.kept.iter().zip(fetched) {
            fetched.unwrap_or_else(|| reads::check(&kept.path))?;
        }
        Ok(())
    }
}

impl Readings for Shelf {
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Fetched<'_>> {
        let wanted = |kept: &Kept| kept.head.environment == environment && is_wanted(&kept.head.boundary);
        let place = self.kept.iter().rposition(wanted)?;
        let bytes = reads::payload(&self.kept[place].path).map_err(|error| {
            let why = error.to_string();
            self.became(place, Err(error));
            why
        });
        Some(Fetched(Held::Bytes { shelf: self, place, bytes }))
    }
}

impl Shelf {
    fn decode<'a>(&self, place: usize, bytes: &'a [u8]) -> Observation<&'a str> {
        let Kept { path, head } = &self.kept[place];
        let (found, became) = match reads::decode(path, bytes) {
            Ok(observation) => (observation, Ok(())),
            Err(error) => (head.unread(&error.to_string()), Err(error)),
        };
        self.became(place, became);
        found
    }

    fn became(&self, place: usize, became: Result<(), LedgerError>) {
        let known = &mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner)[place];
        if !matches!(known, Some(Err(_))) {
            *known = Some(became);
        }
    }
}

impl Head {
    fn unread<'a>(&self, why: &str) -> Observation<&'a str> {
        let Self { environment, side, boundary, began, ended } = self.clone();
        let (sql, files) = (Reading::Failed(why.to_owned()), Reading::Failed(why.to_owned()));
        Observation { environment, side, boundary, began, ended, sql, files }
    }
}
