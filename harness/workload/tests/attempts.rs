//! S3 clients send a request once, whatever comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use super::servers::{auditor, free_port};
use crate::{
    api::{control::FileReference, environment::Endpoints},
    clients::{
        postgres::Failure,
        s3::{self, classify},
        s3_fresh,
    },
    model::observation::ObjectReference,
    workload::read::marked,
};

type Answers = &'static [Option<&'static str>];

const OK: Answers = &[Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")];
const CONFLICT: Answers = &[Some("HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n")];
const NOT_FOUND: Answers = &[Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")];

const ONCE_OK: Answers = &[OK[0], Some("")];

/// Answers each request on a connection with the next of `answers` (nothing: hangs up; `None`: stays silent), and counts
/// requests and connections.
async fn store(answers: Answers) -> (u16, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (requests.clone(), connections.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.1.fetch_add(1, SeqCst);
            let requests = counted.0.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                let mut answers = answers.iter();
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    requests.fetch_add(1, SeqCst);
                    match answers.next().unwrap() {
                        None => std::future::pending().await,
                        Some("") => return,
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    }
                }
            });
        }
    });
    (port, requests, connections)
}

async fn check(answer: Answers, expected: &str) {
    for fresh in [false, true] {
        let (port, requests, connections) = store(answer).await;
        let client = s3::client(port, &auditor(), Duration::from_millis(300));
        let put = client.put_object().bucket("sales").key("key");
        let told = if fresh {
            let signed = put.presigned(s3_fresh::presigning().unwrap()).await.unwrap();
            let until = Instant::now() + Duration::from_millis(300);
            s3_fresh::send(port, &signed, Bytes::from("body"), until).await.map(drop)
        } else {
            let body = ByteStream::from(Bytes::from("body"));
            put.body(body).send().await.map(drop).map_err(|error| classify(&error))
        };
        let told = match told {
            Ok(()) => "ok",
            Err(Failure::NoEffect(_)) => "fail",
            Err(Failure::InDoubt(_)) => "in doubt",
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(told, expected, "{answer:?}, fresh {fresh}");
        assert_eq!((requests.load(SeqCst), connections.load(SeqCst)), (1, 1), "{answer:?}, fresh {fresh}");
    }
}

#[tokio::test]
async fn one_request_whatever_comes_back() {
    check(OK, "ok").await;
    check(&[Some("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")], "in doubt").await;
    check(&[Some("HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n")], "in doubt").await;
    check(&[Some("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")], "in doubt").await;
    check(CONFLICT, "fail").await;
    check(&[Some("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")], "fail").await;
    check(&[Some("")], "in doubt").await;
    check(&[None], "in doubt").await;
}

#[tokio::test]
async fn a_refused_connection_is_a_failure() {
    let port = free_port();
    let client = s3::client(port, &auditor(), Duration::from_secs(1));
    let get = client.get_object().bucket("sales").key("key");
    let signed = get.clone().presigned(s3_fresh::presigning().unwrap()).await.unwrap();
    let fresh = s3_fresh::send(port, &signed, Bytes::new(), Instant::now() + Duration::from_secs(1)).await;
    assert!(matches!(fresh, Err(Failure::NoEffect(_))), "{fresh:?}");
    let kept = get.send().await.map_err(|error| classify(&error));
    assert!(matches!(kept, Err(Failure::NoEffect(_))), "{kept:?}");
}

#[tokio::test]
async fn a_kept_connection_that_is_hung_up_on_is_not_tried_again() {
    let (port, requests, connections) = store(ONCE_OK).await;
    let client = s3::client(port, &auditor(), Duration::from_millis(300));
    let put = || client.put_object().bucket("sales").key("key").body(ByteStream::from_static(b"body")).send();
    put().await.unwrap();
    let told = put().await.map_err(|error| classify(&error));
    assert!(matches!(told, Err(Failure::InDoubt(_))), "{told:?}");
    assert_eq!((requests.load(SeqCst), connections.load(SeqCst)), (2, 1));
}

#[tokio::test]
async fn a_missing_object_is_marked_if_the_platform_lists_it_and_answers_409() {
    let reference =
        |name: &str| ObjectReference { object_key: name.into(), version_id: "v".into(), sha256: "0".into() };
    let references = [reference("listed"), reference("not-listed")];
    let listed = [FileReference { object_key: "listed".into(), version_id: "v".into() }];
    for (status, expected) in [(CONFLICT, &references[..1]), (NOT_FOUND, &[]), (OK, &[])] {
        let (port, _, _) = store(status).await;
        let endpoints = Endpoints {
            sql_rw_port: 0,
            sql_ro_port: 0,
            files_rw_port: 0,
            files_ro_port: port,
            database: "sales".into(),
            app: auditor(),
            reader: auditor(),
            s3: auditor(),
            bucket: "sales".into(),
        };
        let marked = marked(&references, &endpoints, &listed, Duration::from_secs(5)).await;
        assert_eq!(marked.as_deref(), Ok(expected), "{status:?}");
    }
}
