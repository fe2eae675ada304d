//! Verification is linear: a hot key, many foreign rows or many objects must not make it square.

use std::time::{Duration, Instant};

use super::world::*;
use crate::model::{observation::*, operation::*, token::Seen};

/// A run made without the model's own slow replay.
pub fn long_run(count: u32) -> Finished {
    let mut world = World::new();
    let (mut rows, mut versions) = (SqlSnapshot::default(), FilesSnapshot::default());
    let mut hot: Option<Seen> = None;
    for number in 0..count {
        let token = world.token(number % 64);
        let is_hot = number % 4 == 0;
        let key: Box<str> = if is_hot { "hot".into() } else { format!("key-{number}").into() };
        let file = (number % 4 == 1).then(|| {
            let sha256 = format!("{number:064x}");
            Box::new(FileIntent {
                object_key: format!("{number:032x}/{sha256}").into(),
                sha256: sha256.into(),
                bytes: 4096,
            })
        });
        let object = file.as_ref().map(|file| ObjectReference {
            object_key: file.object_key.clone(),
            version_id: format!("v-{number}").into(),
            sha256: file.sha256.clone(),
        });
        let sent = ms(u64::from(number));
        world.intents.push(Intent {
            token,
            environment: EnvironmentIndex(0),
            sent,
            kind: if is_hot { OpKind::Overwrite } else { OpKind::Create },
            lane: Lane::Writer(0),
            key: (*key).into(),
            contended: is_hot,
            file,
            transfer: None,
        });
        let at = sent.plus(Duration::from_micros(500));
        let told = Told::Ok { side: Some(Side(0)), local_only: false, found: None };
        let file_acked = object.as_ref().map(|object| Box::new(FileAck { at, version_id: object.version_id.clone() }));
        world.outcomes.push(Outcome { token, at, file_acked, told });
        let prev = if is_hot { hot.replace(Seen::Token(token)) } else { None };
        rows.history.push(HistoryRow { token: Seen::Token(token), key: key.clone(), prev });
        if !is_hot || number + 4 >= count {
            let row = DataRow { key, token: Seen::Token(token), value: token.value().into(), object: object.clone() };
            rows.data.push(row);
        }
        if let Some(object) = object {
            let content = Content::Body { token: Some(Seen::Token(token)), sha256: object.sha256, bytes: 4096 };
            versions.versions.push(ObjectVersion {
                object_key: object.object_key,
                version_id: object.version_id,
                content,
            });
        }
    }
    world.now = u64::from(count) + 10;
    let mut run = world.finish();
    for observation in &mut run.observations {
        observation.sql = Reading::Whole(rows.clone());
        observation.files = Reading::Whole(versions.clone());
    }
    run
}

#[test]
fn two_hundred_thousand_writes_take_seconds_at_most() {
    let run = long_run(200_000);
    let began = Instant::now();
    let measures = run.verify();
    let took = began.elapsed();
    assert_eq!(measures.findings, []);
    let end = event(&measures, "end");
    assert_eq!((end.sql.lost(), end.files.lost(), end.sql.superseded), (0, 0, 49_999));
    assert!(measures.books.iter().all(|books| books.balanced));
    // A tenth of this on the slowest machine seen; what is square takes minutes.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
