//! Properties of schedules.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::model::{
    operation::{EnvironmentIndex, OpKind},
    plan::{Mix, Workload},
};

fn workload(rate_per_s: f64, writers: u16, mix: Mix, file_share: f64) -> Workload {
    Workload {
        rate_per_s,
        writers,
        mix,
        file_share,
        file_bytes: 100,
        prefill: 0,
        deadline: Duration::from_secs(1),
        probe_period: Duration::from_millis(100),
        warm_up: Duration::ZERO,
        settle: Duration::ZERO,
        min_acked: 0,
    }
}

fn mix() -> impl Strategy<Value = Mix> {
    (1..100u32, 0..100u32, 0..100u32, 0..100u32).prop_map(|(create, overwrite, delete, transfer)| Mix {
        create,
        overwrite,
        delete,
        transfer,
    })
}

#[test]
fn without_a_rate_nothing_is_due() {
    let workload = workload(0.0, 2, Mix { create: 1, overwrite: 0, delete: 0, transfer: 0 }, 0.0);
    assert_eq!((of(&workload, 1, 0).next(), of(&workload, 1, 1).next()), (None, None));
}

fn of(workload: &Workload, seed: u64, writer: u16) -> WriterSchedule {
    WriterSchedule::new(workload, seed, EnvironmentIndex(0), writer)
}

proptest! {
    #[test]
    fn a_seed_decides_everything(seed: u64, mix in mix(), writer in 0..8u16) {
        let workload = workload(200.0, 8, mix, 0.3);
        let first: Vec<Due> = of(&workload, seed, writer).take(50).collect();
        prop_assert_eq!(&first, &of(&workload, seed, writer).take(50).collect::<Vec<_>>());
        prop_assert_ne!(&first, &of(&workload, seed.wrapping_add(1), writer).take(50).collect::<Vec<_>>());
        let elsewhere = WriterSchedule::new(&workload, seed, EnvironmentIndex(1), writer);
        prop_assert_ne!(&first, &elsewhere.take(50).collect::<Vec<_>>());
    }

    #[test]
    fn writers_together_keep_the_rate_evenly(seed: u64, rate in 1.0..2000.0f64, writers in 1..32u16) {
        let workload = workload(rate, writers, Mix { create: 1, overwrite: 0, delete: 0, transfer: 0 }, 0.0);
        let second = |due: &Due| due.at < Duration::from_secs(1);
        let mut times: Vec<Duration> = (0..writers)
            .flat_map(|writer| of(&workload, seed, writer).take_while(second).map(|due| due.at))
            .collect();
        times.sort();
        prop_assert!((times.len() as f64 - rate).abs() <= 1.0, "{} at {rate}/s", times.len());
        for pair in times.windows(2) {
            let gap = (pair[1] - pair[0]).as_secs_f64();
            prop_assert!((gap * rate - 1.0).abs() < 1e-3, "{gap}");
        }
    }

    #[test]
    fn kinds_and_files_keep_their_shares(seed: u64, mix in mix(), file_share in 0.0..=1.0f64) {
        let draws = 4000;
        let workload = workload(100.0, 4, mix.clone(), file_share);
        let mut kinds = [0u32; 5];
        let mut files = 0u32;
        for due in of(&workload, seed, 0).take(draws) {
            files += u32::from(due.draw.file);
            kinds[match due.draw.what {
                What::Create => 0,
                What::OverwriteOwn => 1,
                What::OverwriteContended(_) => 2,
                What::Delete => 3,
                What::Transfer(_) => 4,
            }] += 1;
        }
        let total = f64::from(mix.create + mix.overwrite + mix.delete + mix.transfer);
        let half = f64::from(mix.overwrite) / 2.0;
        let wanted = [f64::from(mix.create), half, half, f64::from(mix.delete), f64::from(mix.transfer)];
        // Five standard deviations of a share of 4,000 draws are 0.04 at most.
        for (seen, wanted) in kinds.iter().zip(wanted) {
            prop_assert!((f64::from(*seen) / draws as f64 - wanted / total).abs() < 0.04);
        }
        prop_assert!((f64::from(files) / draws as f64 - file_share).abs() < 0.04);
    }

    #[test]
    fn transfers_move_something_between_two_accounts(seed: u64) {
        let workload = workload(100.0, 1, Mix { create: 0, overwrite: 0, delete: 0, transfer: 1 }, 0.0);
        for due in of(&workload, seed, 0).take(300) {
            let What::Transfer(transfer) = due.draw.what else { panic!("{due:?}") };
            prop_assert!(transfer.from != transfer.to && transfer.from < ACCOUNTS && transfer.to < ACCOUNTS);
            prop_assert!(transfer.amount > 0);
        }
    }

    /// Whatever is acknowledged, fails or ends in doubt: a key has one writer, a create a new key, an overwrite or delete
    /// a key that is there, and nothing writes a key of a stream that was retired.
    #[test]
    fn own_keys_have_one_writer(seed: u64, mix in mix(), told in prop::collection::vec(0..10u8, 300)) {
        let workload = workload(100.0, 3, mix, 0.5);
        let mut owner = BTreeMap::<Box<str>, u32>::new();
        let mut stream = 0;
        for writer in 0..3 {
            let (mut own, mut there, mut sequence) = (OwnKeys::default(), BTreeSet::<Box<str>>::new(), 0);
            stream += 1;
            for (due, told) in of(&workload, seed, writer).zip(&told) {
                let wanted = own.wanted(&due.draw, stream, sequence);
                sequence += 1;
                if wanted.contended || wanted.kind == OpKind::Transfer {
                    continue;
                }
                match wanted.kind {
                    OpKind::Create => prop_assert_eq!(owner.insert(wanted.key.clone(), stream), None),
                    _ => prop_assert!(owner[&wanted.key] == stream && there.contains(&wanted.key)),
                }
                match told {
                    0 => {
                        (own, there, sequence) = (OwnKeys::default(), BTreeSet::new(), 0);
                        stream += 1;
                    }
                    1 | 2 => {}
                    _ => {
                        own.acknowledged(&wanted, None);
                        if wanted.kind == OpKind::Delete {
                            there.remove(&wanted.key);
                        } else {
                            there.insert(wanted.key.clone());
                        }
                    }
                }
                prop_assert_eq!(own.len(), there.len());
            }
        }
    }

    #[test]
    fn objects_follow_from_their_token_alone(run: u32, stream in 0..0xff_ffffu32, sequence: u32, bytes in 0..5000u32) {
        let token = crate::model::Token { run, stream, sequence, epoch: 0 };
        let (file, body) = object::object(&token, bytes);
        prop_assert_eq!(&file, &object::object(&token, bytes).0);
        prop_assert_eq!(body.len(), file.bytes as usize);
        prop_assert_eq!(crate::model::Token::from_body(&body), Some(token));
        let (uuid, sha256) = file.object_key.split_once('/').unwrap();
        prop_assert!(uuid::Uuid::parse_str(uuid).is_ok());
        prop_assert_eq!(sha256, &*object::sha256(&body));
    }
}
