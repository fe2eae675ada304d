//! A journal in memory, and what it must have in common with what is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Mutex,
};

use crate::{
    model::{
        Token,
        observation::{Content, FilesSnapshot, SqlSnapshot},
        operation::{Intent, Lane, OpKind, Outcome, Told},
        token::Seen,
    },
    workload::{
        Journal,
        schedule::{ACCOUNT_BALANCE, ACCOUNTS},
    },
};

/// Every intent in order, and every outcome.
#[derive(Default)]
pub struct Books {
    pub intents: Mutex<Vec<Intent>>,
    pub outcomes: Mutex<BTreeMap<Token, Outcome>>,
}

impl Journal for Books {
    fn intent(&self, intent: &Intent) -> io::Result<()> {
        self.intents.lock().unwrap().push(intent.clone());
        Ok(())
    }

    fn outcome(&self, outcome: &Outcome) -> io::Result<()> {
        let before = self.outcomes.lock().unwrap().insert(outcome.token, outcome.clone());
        assert_eq!(before, None, "one outcome each");
        Ok(())
    }

    fn turn(&self, outcome: &Outcome, next: &Intent) -> io::Result<()> {
        self.outcome(outcome)?;
        self.intent(next)
    }
}

/// How many operations of a lane came to what.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Count {
    pub ok: usize,
    pub fail: usize,
    pub in_doubt: usize,
}

impl Books {
    pub fn pairs(&self) -> Vec<(Intent, Option<Outcome>)> {
        let outcomes = self.outcomes.lock().unwrap();
        self.intents
            .lock()
            .unwrap()
            .iter()
            .map(|intent| (intent.clone(), outcomes.get(&intent.token).cloned()))
            .collect()
    }

    pub fn counts(&self) -> BTreeMap<String, Count> {
        let mut counts = BTreeMap::<String, Count>::new();
        for (intent, outcome) in self.pairs() {
            let lane = match intent.lane {
                Lane::Writer(_) => "writer".to_owned(),
                Lane::Probe { store, access, connection } => format!("{store:?} {access:?} {connection:?}"),
                Lane::OldSide { store, access, .. } => format!("old side {store:?} {access:?}"),
            };
            let count = counts.entry(lane).or_default();
            match outcome.expect("stopped, so every operation has ended").told {
                Told::Ok { .. } => count.ok += 1,
                Told::Fail { .. } => count.fail += 1,
                Told::InDoubt { .. } => count.in_doubt += 1,
            }
        }
        counts
    }

    /// Codes of what was not acknowledged, each once.
    pub fn codes(&self) -> BTreeSet<String> {
        let told = |(_, outcome): (Intent, Option<Outcome>)| match outcome?.told {
            Told::Ok { .. } => None,
            Told::Fail { code } => Some(format!("fail: {code}")),
            Told::InDoubt { code } => Some(format!("in doubt: {code}")),
        };
        self.pairs().into_iter().filter_map(told).collect()
    }

    /// Asserts that one region without replication, read after the load has stopped, holds what its clients were told.
    pub fn agree(&self, sql: &SqlSnapshot, files: Option<&FilesSnapshot>) {
        let pairs = self.pairs();
        let tokens: BTreeSet<_> = pairs.iter().map(|(intent, _)| intent.token).collect();
        assert_eq!(tokens.len(), pairs.len(), "tokens are unique");
        let history: BTreeMap<&Seen, _> = sql.history.iter().map(|row| (&row.token, row)).collect();
        assert_eq!(history.len(), sql.history.len(), "no row of the history is there twice");
        let data: BTreeMap<_, _> = sql.data.iter().map(|row| (&*row.key, row)).collect();
        let tips = tips(sql);

        let mut known = 0;
        for (intent, outcome) in pairs.iter().filter(|(intent, _)| intent.kind.is_write()) {
            let row = history.get(&Seen::Token(intent.token));
            known += usize::from(row.is_some());
            match &outcome.as_ref().unwrap().told {
                Told::Ok { found, side, .. } => {
                    let row = row.unwrap_or_else(|| panic!("acknowledged and not there: {intent:?}"));
                    assert_eq!((&row.prev, &*row.key), (found, &*intent.key));
                    assert_eq!(side.map(|side| side.0), Some(0));
                }
                Told::Fail { code } => assert!(row.is_none(), "failed ({code}) and there: {intent:?}"),
                Told::InDoubt { .. } => {}
            }
        }
        assert_eq!(known, sql.history.len(), "nobody else wrote");

        let kinds: BTreeMap<_, _> = pairs.iter().map(|(intent, _)| (intent.token, intent)).collect();
        for (key, tip) in &tips {
            let intent = kinds[tip];
            match (intent.kind, data.get(key)) {
                (OpKind::Delete, row) => assert_eq!(row, None),
                (_, row) => {
                    let row = row.unwrap_or_else(|| panic!("{key} is missing"));
                    assert_eq!((&row.token, &*row.value), (&Seen::Token(*tip), &*tip.value()));
                    let referred = row.object.as_ref().map(|object| (&object.object_key, &object.sha256));
                    assert_eq!(referred, intent.file.as_ref().map(|file| (&file.object_key, &file.sha256)));
                }
            }
        }
        assert!(data.keys().all(|key| tips.contains_key(key)));

        assert_eq!(sql.accounts.len(), ACCOUNTS as usize);
        assert_eq!(sql.accounts.iter().map(|(_, held)| held).sum::<i64>(), i64::from(ACCOUNTS) * ACCOUNT_BALANCE);
        let mut legs = BTreeMap::<&Seen, Vec<i64>>::new();
        for leg in &sql.legs {
            legs.entry(&leg.token).or_default().push(leg.amount);
        }
        assert!(legs.values().all(|legs| legs.len() == 2 && legs.iter().sum::<i64>() == 0));
        let transfers = sql.history.iter().filter(|row| row.key.is_empty()).count();
        assert_eq!(transfers, legs.len());
        for (account, balance) in &sql.accounts {
            let moved: i64 = sql.legs.iter().filter(|leg| leg.account == *account).map(|leg| leg.amount).sum();
            assert_eq!(*balance, ACCOUNT_BALANCE + moved, "account {account}");
        }

        let Some(files) = files else { return };
        let versions: BTreeMap<_, _> = files
            .versions
            .iter()
            .filter(|version| version.content != Content::DeleteMarker)
            .map(|version| (&*version.object_key, version))
            .collect();
        let mut known = 0;
        for (intent, outcome) in &pairs {
            let (Some(file), true, Some(outcome)) = (&intent.file, intent.kind.is_write(), outcome) else { continue };
            let version = versions.get(&*file.object_key);
            known += usize::from(version.is_some());
            if let Some(ack) = &outcome.file_acked {
                let version = version.unwrap_or_else(|| panic!("acknowledged and not there: {intent:?}"));
                assert_eq!(version.version_id, ack.version_id);
                let (token, sha256, bytes) = (Some(Seen::Token(intent.token)), file.sha256.clone(), file.bytes.into());
                assert_eq!(version.content, Content::Body { token, sha256, bytes });
            }
        }
        assert_eq!(known, versions.len(), "nobody else put an object");
        for version in files.versions.iter().filter(|version| version.content == Content::DeleteMarker) {
            assert!(versions.contains_key(&*version.object_key));
            assert!(sql.data.iter().all(|row| row.object.as_ref().is_none_or(|o| o.object_key != version.object_key)));
        }
    }
}

/// The last token of each key's chain; panics where a chain forks, has a gap or two beginnings.
fn tips(sql: &SqlSnapshot) -> BTreeMap<&str, Token> {
    let mut after = BTreeMap::<(&str, Option<&Seen>), &Seen>::new();
    let mut keys = BTreeMap::<&str, usize>::new();
    for row in sql.history.iter().filter(|row| !row.key.is_empty()) {
        let fork = after.insert((&row.key, row.prev.as_ref()), &row.token);
        assert_eq!(fork, None, "{} forks after {:?}", row.key, row.prev);
        *keys.entry(&row.key).or_default() += 1;
    }
    keys.into_iter()
        .map(|(key, links)| {
            let mut tip = None;
            for _ in 0..links {
                tip = Some(*after.get(&(key, tip)).unwrap_or_else(|| panic!("{key} has a gap after {tip:?}")));
            }
            match tip {
                Some(Seen::Token(token)) => (key, *token),
                other => panic!("{key} ends with {other:?}"),
            }
        })
        .collect()
}
