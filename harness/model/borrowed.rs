//! Readings that are in memory, in the form of those that are decoded where their file's bytes lie; and what is kept of
//! these.

use super::{
    observation::{
        Content, DataRow, FilesSnapshot, HistoryRow, Leg, ObjectReference, ObjectVersion, Observation, SqlSnapshot,
    },
    token::Seen,
};

impl Observation {
    /// The same, its texts borrowed.
    pub fn borrowed(&self) -> Observation<&str> {
        let Self { environment, side, boundary, began, ended, sql, files } = self;
        Observation {
            environment: *environment,
            side: *side,
            boundary: boundary.clone(),
            began: *began,
            ended: *ended,
            sql: sql.map(SqlSnapshot::borrowed),
            files: files.map(FilesSnapshot::borrowed),
        }
    }
}

impl SqlSnapshot {
    fn borrowed(&self) -> SqlSnapshot<&str> {
        SqlSnapshot {
            history: self.history.iter().map(HistoryRow::borrowed).collect(),
            data: self.data.iter().map(DataRow::borrowed).collect(),
            accounts: self.accounts.clone(),
            legs: self.legs.iter().map(Leg::borrowed).collect(),
        }
    }
}

impl FilesSnapshot {
    fn borrowed(&self) -> FilesSnapshot<&str> {
        FilesSnapshot {
            versions: self.versions.iter().map(ObjectVersion::borrowed).collect(),
            marked: self.marked.iter().map(ObjectReference::borrowed).collect(),
        }
    }
}

impl HistoryRow {
    fn borrowed(&self) -> HistoryRow<&str> {
        HistoryRow { token: self.token.borrowed(), key: &self.key, prev: self.prev.as_ref().map(Seen::borrowed) }
    }
}

impl DataRow {
    fn borrowed(&self) -> DataRow<&str> {
        let Self { key, token, value, object } = self;
        DataRow { key, token: token.borrowed(), value, object: object.as_ref().map(ObjectReference::borrowed) }
    }
}

impl Leg {
    fn borrowed(&self) -> Leg<&str> {
        Leg { token: self.token.borrowed(), account: self.account, amount: self.amount }
    }
}

impl ObjectReference {
    fn borrowed(&self) -> ObjectReference<&str> {
        ObjectReference { object_key: &self.object_key, version_id: &self.version_id, sha256: &self.sha256 }
    }
}

impl ObjectVersion {
    fn borrowed(&self) -> ObjectVersion<&str> {
        let content = match &self.content {
            Content::DeleteMarker => Content::DeleteMarker,
            Content::Body { token, sha256, bytes } => {
                Content::Body { token: token.as_ref().map(Seen::borrowed), sha256: &**sha256, bytes: *bytes }
            }
            Content::Unreadable(why) => Content::Unreadable(&**why),
            Content::Withheld(why) => Content::Withheld(&**why),
        };
        ObjectVersion { object_key: &self.object_key, version_id: &self.version_id, content }
    }
}

impl Seen<&str> {
    /// The same, its text its own.
    pub fn owned(self) -> Seen {
        match self {
            Self::Token(token) => Seen::Token(token),
            Self::Foreign(text) => Seen::Foreign(text.into()),
        }
    }
}

impl ObjectReference<&str> {
    /// The same, its texts its own.
    pub fn owned(self) -> ObjectReference {
        let Self { object_key, version_id, sha256 } = self;
        ObjectReference { object_key: object_key.into(), version_id: version_id.into(), sha256: sha256.into() }
    }
}
