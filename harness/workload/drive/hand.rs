//! A hand sends one operation at a time: one stream, one client of each store.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    desk::{Desk, Stream},
    files::Files,
    pulse::Heartbeat,
    sides::side_of,
    sql::{Answer, Sql},
};
use crate::{
    clients::{door::Entrance, postgres::Failure},
    model::{
        RunTime, Token,
        operation::{Access, Connection, FileAck, FileIntent, Intent, Lane, OpKind, Outcome, Store, Told},
        token::Seen,
    },
    workload::schedule::{
        Wanted,
        object::{object, sha256},
    },
};

/// One hand of a lane.
pub(super) struct Hand {
    /// What its lanes share.
    pub desk: Arc<Desk>,
    /// Its stream; another one after an operation in doubt.
    pub stream: Stream,
    lane: Lane,
    sql: Sql,
    files: Files,
    /// The outcome that goes into the ledger with the next intent.
    held: Option<Outcome>,
}

/// What became of an operation that was sent.
pub(super) struct Done {
    /// What the client was told.
    pub told: Told,
    /// The object it wrote.
    pub object_key: Option<Box<str>>,
}

impl Hand {
    /// A hand of `lane`, on a new stream.
    pub fn new(desk: &Arc<Desk>, lane: Lane, sql: Sql, files: Files) -> Self {
        let stream = Stream::new(desk.house.stream());
        Self { desk: desk.clone(), stream, lane, sql, files, held: None }
    }

    /// From now on its clients go in by these doors, to rows and to objects.
    pub fn enter_by(&mut self, sql: Entrance, files: Entrance) {
        self.sql.enter_by(sql);
        self.files.enter_by(files);
    }

    /// Sends a write and waits for its end. An object is put before its row is written, and deleted after it. `None`: it
    /// could not be recorded, and the load ends.
    pub async fn write(&mut self, wanted: &Wanted, file_bytes: u32) -> Option<Done> {
        let done = self.write_and_hold(wanted, file_bytes).await?;
        self.settle()?;
        Some(done)
    }

    /// As [`Self::write`], for a hand that may have its next write ready: then both records go to the kernel in one call. The
    /// caller sends the next one or calls [`Self::settle`] before it awaits anything else, so that nothing but the making of the
    /// next intent stands between an answer and its record.
    pub async fn write_and_hold(&mut self, wanted: &Wanted, file_bytes: u32) -> Option<Done> {
        if wanted.file {
            // A large body takes its time to make.
            self.settle()?;
        }
        let token = self.token();
        let with_file = wanted.file.then(|| object(&token, file_bytes));
        let (file, body) =
            with_file.map_or((None, Bytes::new()), |(file, body)| (Some(Box::new(file)), Bytes::from(body)));
        let intent = Intent {
            token,
            environment: self.desk.environment(),
            sent: self.desk.now(),
            kind: wanted.kind,
            lane: self.lane,
            key: (*wanted.key).into(),
            contended: wanted.contended,
            file,
            transfer: wanted.transfer,
        };
        let until = self.intend(&intent)?;
        let mut file_acked = None;
        let answer = match &intent.file {
            None => self.sql.send(&intent, None, until).await,
            Some(file) => match self.files.put(&file.object_key, body, until).await {
                Err(failure) => Err(failure),
                Ok(version_id) => {
                    let ack = file_acked.insert(Box::new(FileAck { at: self.desk.now(), version_id }));
                    self.sql.send(&intent, Some(&ack.version_id), until).await
                }
            },
        };
        let told = self.told(answer, intent.sent, true);
        self.beat(&intent, file_acked.is_some(), told.is_ok());
        self.finish(token, file_acked, &told);
        if let (Some(object_key), true) = (&wanted.object_key, told.is_ok()) {
            self.settle()?;
            // The row is gone and that is acknowledged: an object that stays behind waits for clean-up.
            if let Err(failure) = self.files.delete(object_key, Instant::now() + self.desk.house.deadline).await {
                tracing::debug!(%token, object_key, %failure, "object of a deleted row stays behind");
            }
        }
        Some(Done { told, object_key: intent.file.map(|file| file.object_key) })
    }

    /// Reads a row. `None` as in [`Self::write`].
    pub async fn read_row(&mut self, key: Box<str>, contended: bool) -> Option<Told> {
        let token = self.token();
        let intent = self.read(token, OpKind::ReadSql, key, contended, None);
        let until = self.intend(&intent)?;
        let answer = self.sql.send(&intent, None, until).await;
        let told = self.told(answer, intent.sent, false);
        self.finish(token, None, &told);
        self.settle()?;
        Some(told)
    }

    /// Reads an object. `None` as in [`Self::write`].
    pub async fn read_file(&mut self, file: FileIntent) -> Option<Told> {
        let token = self.token();
        let intent = self.read(token, OpKind::ReadFile, Box::default(), false, Some(Box::new(file.clone())));
        let until = self.intend(&intent)?;
        let told = match self.files.get(&file.object_key, until).await {
            Ok(body) => Told::Ok { side: None, local_only: false, found: Some(token_of(&body, &file)) },
            Err(failure) => untold(failure),
        };
        self.finish(intent.token, None, &told);
        self.settle()?;
        Some(told)
    }

    fn token(&mut self) -> Token {
        self.stream.token(self.desk.house.run, self.desk.sides.epoch())
    }

    /// Records the intent, and the outcome that is held; the deadline counts from when it is sent.
    fn intend(&mut self, intent: &Intent) -> Option<Instant> {
        let (house, held) = (&self.desk.house, self.held.take());
        house.recorded(match &held {
            Some(outcome) => house.journal.turn(outcome, intent),
            None => house.journal.intent(intent),
        })?;
        if let Some(outcome) = held {
            self.desk.told(self.lane, &outcome.told);
        }
        Some(Instant::from_std(house.clock.instant(intent.sent.plus(house.deadline))))
    }

    fn read(
        &self,
        token: Token,
        kind: OpKind,
        key: Box<str>,
        contended: bool,
        file: Option<Box<FileIntent>>,
    ) -> Intent {
        let (environment, sent) = (self.desk.environment(), self.desk.now());
        Intent { token, environment, sent, kind, lane: self.lane, key: key.into(), contended, file, transfer: None }
    }

    /// What the client was told by Postgres. Acknowledged writes alone show a change of side, since a standby may answer
    /// reads; and what was asked of the old side past the edge shows nothing of where customers are served.
    fn told(&self, answer: Result<Answer, Failure>, sent: RunTime, write: bool) -> Told {
        match answer {
            Ok(Answer { server, found, local_only }) => {
                let side = side_of(&server, &self.desk.target.regions);
                let is_customers = !matches!(self.lane, Lane::OldSide { .. });
                if let (Some(side), true) = (side, write && is_customers) {
                    self.desk.sides.acknowledged(side, sent, self.desk.now());
                }
                Told::Ok { side, local_only, found }
            }
            Err(failure) => untold(failure),
        }
    }

    /// Holds the outcome. After one in doubt, the hand goes on with a new stream.
    fn finish(&mut self, token: Token, file_acked: Option<Box<FileAck>>, told: &Told) {
        self.held = Some(Outcome { token, at: self.desk.now(), file_acked, told: told.clone() });
        if matches!(told, Told::InDoubt { .. }) {
            self.stream = Stream::new(self.desk.house.stream());
        }
    }

    /// Records the outcome that is held, if any. `None` as in [`Self::write`].
    pub fn settle(&mut self) -> Option<()> {
        if let Some(outcome) = self.held.take() {
            self.desk.house.recorded(self.desk.house.journal.outcome(&outcome))?;
            self.desk.told(self.lane, &outcome.told);
        }
        Some(())
    }

    fn beat(&self, intent: &Intent, file_acked: bool, row_acked: bool) {
        let Lane::Probe { store, access: Access::Write, connection: Connection::LongLived } = self.lane else { return };
        let heartbeat = |key: &str| Heartbeat { token: intent.token, sent: intent.sent, key: key.into() };
        match (store, &intent.file) {
            (Store::Sql, _) if row_acked => self.desk.pulse.row(heartbeat(&intent.key)),
            (Store::Files, Some(file)) if file_acked => self.desk.pulse.object(heartbeat(&file.object_key)),
            _ => {}
        }
    }
}

/// The token that a body starts with; a body that is not what was written is nobody's.
fn token_of(body: &[u8], file: &FileIntent) -> Seen {
    match Token::from_body(body) {
        Some(token) if sha256(body) == file.sha256 => Seen::Token(token),
        _ => Seen::Foreign("body with another hash".into()),
    }
}

fn untold(failure: Failure) -> Told {
    match failure {
        Failure::NoEffect(code) => Told::Fail { code: code.into() },
        Failure::InDoubt(code) => Told::InDoubt { code: code.into() },
    }
}
