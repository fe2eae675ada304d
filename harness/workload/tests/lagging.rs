//! Lag, sampled on a secondary that has everything and on one that has nothing.

use std::{sync::Arc, time::Duration};

use super::{
    direct::{start, workload},
    servers::{Servers, auditor},
};
use crate::workload::lag::{LagProbe, LagSample, LagSampler};

async fn samples(servers: &Servers, database: &str, bucket: &str) -> Vec<LagSample> {
    let (load, _, clock) = start(servers, workload(20.0, 1)).await;
    let (database, bucket) = (database.to_owned(), bucket.to_owned());
    let (sql_port, files_port) = (Some(servers.sql_port), Some(servers.files_port));
    let secondary = move |environment, _| {
        Some(LagProbe {
            environment,
            sql_port,
            files_port,
            database: database.clone(),
            bucket: bucket.clone(),
            sql: auditor(),
            files: auditor(),
        })
    };
    let (sampler, mut receiver) = LagSampler::start(&load, clock, Arc::new(secondary));
    let mut samples = Vec::new();
    while samples.len() < 9 {
        samples.push(tokio::time::timeout(Duration::from_secs(5), receiver.recv()).await.unwrap().unwrap());
    }
    sampler.stop().await;
    let _ = load.stop().await;
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_has_everything_has_no_lag() {
    let servers = Servers::start(true).await;
    for sample in samples(&servers, "sales", "sales").await {
        assert_eq!((sample.sql_s, sample.files_s), (Some(0.0), Some(0.0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_of_a_secondary_that_gets_nothing_grows_with_time() {
    let servers = Servers::start(true).await;
    let mut open = servers.auditor_connection("postgres").await;
    sqlx::raw_sql("CREATE TABLE public.geodrill_data (key text, token text)").execute(&mut open).await.unwrap();
    let samples = samples(&servers, "postgres", "sales").await;
    let (early, late) = (samples[3], samples[8]);
    // The same heartbeat is the oldest all the time.
    let grown = late.sql_s.unwrap() - early.sql_s.unwrap();
    assert!((grown - late.at.since(early.at).as_secs_f64()).abs() < 1e-6 && grown > 1.0, "{samples:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_does_not_answer_has_no_figure() {
    let servers = Servers::start(true).await;
    for sample in samples(&servers, "nowhere", "nowhere").await.split_off(4) {
        assert_eq!(sample.sql_s, None);
        assert!(sample.files_s.is_none_or(|lag| lag > 0.0), "{sample:?}");
    }
}
