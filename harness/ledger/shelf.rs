//! A run's observations, each gone through when it is asked for, a part after another: those of a long run are larger than
//! the memory of the machine that judges it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    LedgerError,
    part::{Head, Part},
    reads,
};
use crate::model::{
    observation::{Boundary, Observation},
    operation::EnvironmentIndex,
};

/// Observations, wherever they are; several may be gone through at once.
pub trait Readings: fmt::Debug + Sync {
    /// The last one of an environment at a boundary that is wanted: a reading that failed may have been tried again.
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Found<'_>>;
}

impl Readings for Vec<Observation> {
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Found<'_>> {
        let found = self.iter().rev().find(|seen| seen.environment == environment && is_wanted(&seen.boundary))?;
        Some(Found { head: Head::of(found, 0), held: Held::Whole(found) })
    }
}

/// One observation.
#[derive(Debug)]
pub struct Found<'a> {
    head: Head,
    held: Held<'a>,
}

#[derive(Debug)]
enum Held<'a> {
    Whole(&'a Observation),
    /// On a shelf, at this place.
    Kept(&'a Shelf, usize),
}

impl Found<'_> {
    /// What it is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Goes through what it holds, a part after another.
    ///
    /// # Errors
    /// Why it cannot be read, in words; [`Shelf::check`] tells the reason once more. What was gone through before may not be
    /// trusted.
    pub fn parts(&self, take: &mut dyn FnMut(Part<&str>)) -> Result<(), String> {
        match self.held {
            Held::Whole(observation) => {
                Part::all(observation).into_iter().for_each(take);
                Ok(())
            }
            Held::Kept(shelf, place) => shelf.parts(place, take),
        }
    }
}

/// The observations in a folder. Of each, only what it begins with is kept.
#[derive(Debug)]
pub struct Shelf {
    /// In the order in which they began.
    kept: Vec<(PathBuf, Head)>,
    /// What became of each file that was gone through.
    gone_through: Mutex<Vec<Option<Result<(), LedgerError>>>>,
}

impl Shelf {
    /// Finds the observations in this folder. No folder, no observations.
    ///
    /// # Errors
    /// The system's, or a file that does not begin as an observation does. The rest of it is looked at when it is gone
    /// through, and at the latest by [`Shelf::check`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let mut kept = Vec::new();
        for path in reads::files(folder)? {
            let head = reads::head(&path)?;
            kept.push((path, head));
        }
        kept.sort_by_key(|(_, head)| (head.began, head.environment, head.side));
        let gone_through = Mutex::new(kept.iter().map(|_| None).collect());
        Ok(Self { kept, gone_through })
    }

    /// Whether everything that was gone through could be trusted, and what was not is whole too: what was made of the
    /// readings holds only then.
    ///
    /// # Errors
    /// As [`reads::read`]: one that cannot be trusted spoils all.
    pub fn check(self) -> Result<(), LedgerError> {
        let gone_through = self.gone_through.into_inner().unwrap_or_else(PoisonError::into_inner);
        for ((path, _), became) in self.kept.iter().zip(gone_through) {
            became.unwrap_or_else(|| reads::check(path))?;
        }
        Ok(())
    }

    fn parts(&self, place: usize, take: &mut dyn FnMut(Part<&str>)) -> Result<(), String> {
        let became = reads::parts(&self.kept[place].0, take);
        let told = became.as_ref().map_err(ToString::to_string).copied();
        let known = &mut self.gone_through.lock().unwrap_or_else(PoisonError::into_inner)[place];
        if !matches!(known, Some(Err(_))) {
            *known = Some(became);
        }
        told
    }
}

impl Readings for Shelf {
    fn last(&self, environment: EnvironmentIndex, is_wanted: &dyn Fn(&Boundary) -> bool) -> Option<Found<'_>> {
        let wanted = |(_, head): &(_, Head)| head.environment == environment && is_wanted(&head.boundary);
        let place = self.kept.iter().rposition(wanted)?;
        Some(Found { head: self.kept[place].1.clone(), held: Held::Kept(self, place) })
    }
}
