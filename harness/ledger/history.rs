//! The ledger as it is read back: intents in the order of the file, each with its outcome.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

use super::{
    LEDGER_FILE, LedgerError,
    frame::{Frames, MAGIC, Next, Record},
};
use crate::model::{
    Token,
    operation::{Intent, Outcome},
};

/// No outcome: the client never knew. (A ledger of 2³² outcomes does not fit a run.)
const NONE: u32 = u32::MAX;

/// Every operation of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// In the order of the file, which for one stream is the order of sending.
    pub intents: Vec<Intent>,
    /// Where the last frame was torn by a crash, if it was: whatever stood there is not known.
    pub torn_at: Option<u64>,
    outcomes: Vec<Outcome>,
    /// For each intent its place in `outcomes`, or [`NONE`].
    outcome_of: Vec<u32>,
    streams: Streams,
}

/// Of each run's stream the sequences, sorted. Nobody chooses streams to collide: they are counted.
type Streams = HashMap<(u32, u32), Vec<Place>, foldhash::fast::FixedState>;

/// Where the intent of a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sequence: u32,
    intent: u32,
    epoch: u32,
}

impl History {
    /// Brings outcomes to their intents.
    ///
    /// # Errors
    /// [`LedgerError::Twice`] and [`LedgerError::NoIntent`].
    pub fn new(intents: Vec<Intent>, outcomes: Vec<Outcome>) -> Result<Self, LedgerError> {
        let mut streams = Streams::default();
        for (place, intent) in (0..NONE).zip(&intents) {
            let Token { run, stream, sequence, epoch } = intent.token;
            streams.entry((run, stream)).or_default().push(Place { sequence, intent: place, epoch });
        }
        // In the order of the file they are all but sorted.
        streams.values_mut().for_each(|places| places.sort_unstable());
        let outcome_of = vec![NONE; intents.len()];
        let mut history = Self { intents, torn_at: None, outcomes, outcome_of, streams };
        for places in history.streams.values() {
            if let Some(pair) = places.windows(2).find(|pair| pair[0].sequence == pair[1].sequence) {
                return Err(LedgerError::Twice(history.intents[pair[1].intent as usize].token));
            }
        }
        for (place, outcome) in (0..NONE).zip(&history.outcomes) {
            let intent = history.find(&outcome.token).ok_or(LedgerError::NoIntent(outcome.token))?;
            if std::mem::replace(&mut history.outcome_of[intent], place) != NONE {
                return Err(LedgerError::Twice(outcome.token));
            }
        }
        Ok(history)
    }

    /// The place of the intent of this name.
    pub fn find(&self, token: &Token) -> Option<usize> {
        let places = self.streams.get(&(token.run, token.stream))?;
        // Sequences count from 0 without gaps, unless streams are shared out otherwise one day.
        let guess = places.get(token.sequence as usize).filter(|place| place.sequence == token.sequence);
        let search =
            || places.binary_search_by_key(&token.sequence, |place| place.sequence).ok().map(|found| &places[found]);
        guess.or_else(search).filter(|place| place.epoch == token.epoch).map(|place| place.intent as usize)
    }

    /// The outcome of the intent at this place; `None`: the client never knew.
    pub fn outcome(&self, intent: usize) -> Option<&Outcome> {
        self.outcome_of.get(intent).and_then(|place| self.outcomes.get(*place as usize))
    }

    /// All outcomes, in the order of the file.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Each intent with its outcome.
    pub fn operations(&self) -> impl Iterator<Item = (&Intent, Option<&Outcome>)> {
        self.intents.iter().enumerate().map(|(index, intent)| (intent, self.outcome(index)))
    }
}

/// Reads the ledger in this folder. A torn last frame is what a crash leaves and is told in [`History::torn_at`].
///
/// # Errors
/// Damage anywhere else, with its offset; a file that is none of ours; the system's.
pub fn read(folder: &Path) -> Result<History, LedgerError> {
    let path = folder.join(LEDGER_FILE);
    let refuse = |source| LedgerError::Io { path: path.clone(), source };
    let mut input = File::open(&path).map_err(refuse)?;
    let length = input.metadata().map_err(refuse)?.len();
    let mut magic = [0; MAGIC.len()];
    if length < MAGIC.len() as u64 || input.read_exact(&mut magic).is_err() || magic != MAGIC.as_bytes() {
        return Err(LedgerError::Stranger { path, expected: MAGIC });
    }
    let mut frames = Frames::new(input, MAGIC.len() as u64, length);
    let (mut intents, mut outcomes) = (Vec::new(), Vec::new());
    let torn_at = loop {
        match frames.next().map_err(refuse)? {
            Next::Record(Record::Intent(intent)) => intents.push(intent),
            Next::Record(Record::Outcome(outcome)) => outcomes.push(outcome),
            Next::End => break None,
            Next::Torn => break Some(frames.offset),
            Next::Damaged(why) => return Err(LedgerError::Damaged { path, offset: frames.offset, why }),
        }
    };
    Ok(History { torn_at, ..History::new(intents, outcomes)? })
}
