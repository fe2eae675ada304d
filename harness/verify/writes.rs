//! The writes of one environment as the ledger has them, in compact arrays. Everything else speaks of a write by its
//! place here.

use std::sync::OnceLock;

use super::hash::{Table, table};
use crate::{
    ledger::History,
    model::{
        RunTime, Token,
        operation::{EnvironmentIndex, FileIntent, Intent, OpKind, Outcome, Side, Told},
        token::Seen,
    },
};

/// No write, no row.
pub(super) const NONE: u32 = u32::MAX;

/// Something is there, but it names no write of this environment.
pub(super) const STRANGE: u32 = u32::MAX - 1;

/// What the client was told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Acked,
    Failed,
    Doubt,
}

/// One write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    /// Its place in the ledger.
    pub intent: u32,
    /// Its key, by number; [`NONE`] for a transfer.
    pub key: u32,
    pub kind: OpKind,
    pub class: Class,
    pub epoch: u32,
    pub side: Option<Side>,
    /// It writes an object.
    pub file: bool,
    pub sent: RunTime,
    /// When the answer came; the end of time if none did.
    pub at: RunTime,
}

/// The writes of one environment.
pub(super) struct Writes<'a> {
    pub history: &'a History,
    pub ops: Vec<Op>,
    pub transfers: Vec<u32>,
    /// The write of each intent; [`NONE`] for reads and for other environments.
    of_intent: Vec<u32>,
    keys: Table<&'a str, u32>,
    /// Made when it is first asked for.
    objects: OnceLock<Table<&'a str, u32>>,
    /// Writes of key `k`, in the order of the ledger, are `of_key[first[k]..first[k + 1]]`.
    first: Vec<u32>,
    of_key: Vec<u32>,
}

impl<'a> Writes<'a> {
    pub fn new(history: &'a History, environment: EnvironmentIndex) -> Self {
        let mine = |intent: &Intent| intent.environment == environment && intent.kind.is_write();
        // Memory that is reserved and not needed is never touched.
        let count = history.intents.len();
        let mut writes = Self {
            history,
            ops: Vec::with_capacity(count),
            transfers: Vec::new(),
            of_intent: vec![NONE; history.intents.len()],
            keys: table(count / 4),
            objects: OnceLock::new(),
            first: Vec::new(),
            of_key: Vec::new(),
        };
        for (place, intent) in history.intents.iter().enumerate().filter(|(_, intent)| mine(intent)) {
            writes.add(place as u32, intent, history.outcome(place));
        }
        writes.group();
        writes
    }

    fn add(&mut self, place: u32, intent: &'a Intent, outcome: Option<&Outcome>) {
        let number = self.ops.len() as u32;
        let key = if intent.kind == OpKind::Transfer {
            self.transfers.push(number);
            NONE
        } else {
            let fresh = self.keys.len() as u32;
            *self.keys.entry(&intent.key).or_insert(fresh)
        };
        let file = matches!(intent.kind, OpKind::Create | OpKind::Overwrite) && intent.file.is_some();
        let (class, side) = match outcome.map(|outcome| &outcome.told) {
            Some(Told::Ok { side, .. }) => (Class::Acked, *side),
            Some(Told::Fail { .. }) => (Class::Failed, None),
            Some(Told::InDoubt { .. }) | None => (Class::Doubt, None),
        };
        self.of_intent[place as usize] = number;
        self.ops.push(Op {
            intent: place,
            key,
            kind: intent.kind,
            class,
            epoch: intent.token.epoch,
            side,
            file,
            sent: intent.sent,
            at: outcome.map_or(RunTime(u64::MAX), |outcome| outcome.at),
        });
    }

    fn group(&mut self) {
        let mut first = vec![0u32; self.keys.len() + 1];
        for op in self.ops.iter().filter(|op| op.key != NONE) {
            first[op.key as usize + 1] += 1;
        }
        for key in 1..first.len() {
            first[key] += first[key - 1];
        }
        let mut next = first.clone();
        let mut of_key = vec![0; first.last().map_or(0, |last| *last as usize)];
        for (number, op) in self.ops.iter().enumerate().filter(|(_, op)| op.key != NONE) {
            of_key[next[op.key as usize] as usize] = number as u32;
            next[op.key as usize] += 1;
        }
        (self.first, self.of_key) = (first, of_key);
    }

    pub fn len(&self) -> usize {
        self.ops.len()
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    pub fn op(&self, number: u32) -> &Op {
        &self.ops[number as usize]
    }

    pub fn intent(&self, number: u32) -> &'a Intent {
        &self.history.intents[self.ops[number as usize].intent as usize]
    }

    pub fn outcome(&self, number: u32) -> Option<&'a Outcome> {
        self.history.outcome(self.ops[number as usize].intent as usize)
    }

    pub fn token(&self, number: u32) -> Token {
        self.intent(number).token
    }

    /// Writes of a key, in the order of the ledger.
    pub fn of_key(&self, key: usize) -> &[u32] {
        &self.of_key[self.first[key] as usize..self.first[key + 1] as usize]
    }

    /// The write of this name, if this environment has it.
    pub fn find(&self, token: &Token) -> Option<u32> {
        let number = self.of_intent[self.history.find(token)?];
        (number != NONE).then_some(number)
    }

    /// The write that a token as found names, if it is one of ours.
    pub fn seen<S>(&self, seen: &Seen<S>) -> Option<u32> {
        match seen {
            Seen::Token(token) => self.find(token),
            Seen::Foreign(_) => None,
        }
    }

    /// The number of a key that some write names; quicker if `guess` is one of them.
    pub fn key(&self, key: &str, guess: Option<u32>) -> Option<u32> {
        match guess {
            Some(number) if self.op(number).key != NONE && *self.intent(number).key == *key => {
                Some(self.op(number).key)
            }
            _ => self.keys.get(key).copied(),
        }
    }

    /// The write whose object has this key; quicker if it is `guess`.
    pub fn object(&self, object_key: &str, guess: Option<u32>) -> Option<u32> {
        let is_own = |number: &u32| self.file(*number).is_some_and(|file| *file.object_key == *object_key);
        guess.filter(is_own).or_else(|| self.objects.get_or_init(|| self.all_objects()).get(object_key).copied())
    }

    /// The object that a write wrote.
    pub fn file(&self, number: u32) -> Option<&'a FileIntent> {
        if self.op(number).file { self.intent(number).file.as_deref() } else { None }
    }

    /// The version that the client was told of a write's object.
    pub fn version(&self, number: u32) -> Option<&'a str> {
        self.outcome(number).and_then(|outcome| outcome.file_acked.as_ref()).map(|acked| &*acked.version_id)
    }

    fn all_objects(&self) -> Table<&'a str, u32> {
        let mut objects = table(self.ops.iter().filter(|op| op.file).count());
        for number in (0..self.len() as u32).filter(|number| self.op(*number).file) {
            if let Some(file) = self.file(number) {
                objects.entry(&*file.object_key).or_insert(number);
            }
        }
        objects
    }
}
