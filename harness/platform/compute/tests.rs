//! Edge and compute together: an echo server stands for Postgres, the file store is real, control and node say what the
//! test makes them say.

mod reports;
mod stop;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

use super::serve::run_until;
use crate::{
    api::{
        EnvironmentId, Epoch, Region, Zone,
        compute::{AccountEntry, AccountMark, AccountPush},
        control::{Dangling, FileReference},
        environment::Login,
        guard::Stamp,
        permit::{Grant, PermitReply, PermitRequest},
        role::{ComputeConfig, ComputeDoors, DoorPorts, EdgeConfig, Timers},
        route::{EdgeReport, Route},
    },
    clients::{http::Http, poll, s3},
    platform::{
        actor::{
            locked,
            trial::{TrialStore, folder, free_port, show_logs},
        },
        edge,
    },
};

const TOKEN: &str = "internal-token";
const PERMIT: Duration = Duration::from_millis(400);
const CUT: Duration = Duration::from_millis(100);

/// What control and node say.
#[derive(Default)]
struct Word {
    epoch: u64,
    grants: bool,
    exposure_ok: bool,
    pace_ms: u64,
    marks_revision: u64,
    marks: Dangling,
    report: Option<EdgeReport>,
    /// What was pushed of the running account.
    account: Vec<AccountEntry>,
    /// What of it the other region is said to have.
    verified: u64,
}

type Shared = Arc<Mutex<Word>>;

struct Stage {
    word: Shared,
    edge: Http,
    doors: DoorPorts,
    compute: ComputeConfig,
    running: Option<oneshot::Sender<()>>,
    _store: Option<TrialStore>,
    _folder: tempfile::TempDir,
}

fn sales() -> EnvironmentId {
    "sales".parse().unwrap()
}

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

fn key() -> Login {
    Login { user: "customer".to_owned(), secret: "customer-secret".to_owned() }
}

impl Stage {
    async fn open(with_store: bool) -> Self {
        Self::on(with_store, None, folder()).await
    }

    /// On a real Postgres at this port, if there is one.
    async fn on(with_store: bool, postgres: Option<u16>, folder: tempfile::TempDir) -> Self {
        show_logs();
        let word = Arc::new(Mutex::new(Word { epoch: 1, grants: true, exposure_ok: true, ..Word::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/internal/permits", post(permits))
            .route("/internal/marks", get(async |State(word): State<Shared>| Json(locked(&word).marks.clone())))
            .route("/internal/edge", post(report))
            .route("/internal/account", post(account))
            .with_state(Arc::clone(&word));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sql = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = echo.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        let timers = Timers { poll_ms: 50, permit_ms: 400, cut_ms: 100, ..Timers::default() };
        let files = free_port();
        let compute = ComputeConfig {
            region: region("east"),
            zone: Zone::FIRST,
            listen: local(free_port()),
            listen_sql: local(free_port()),
            listen_files: local(free_port()),
            data: folder.path().join("compute"),
            internal_token: TOKEN.to_owned(),
            sql: vec![postgres.unwrap_or(sql).into()],
            files: files.into(),
            node: control.into(),
            control: control.into(),
            peer_nodes: vec![free_port().into()],
            timers: timers.clone(),
            sabotage: None,
        };
        let nowhere = ComputeDoors { sql: free_port().into(), files: free_port().into() };
        let doors =
            DoorPorts { sql_rw: free_port(), sql_ro: free_port(), files_rw: free_port(), files_ro: free_port() };
        let east = ComputeDoors { sql: compute.listen_sql.port().into(), files: compute.listen_files.port().into() };
        let edge = EdgeConfig {
            listen: local(free_port()),
            data: folder.path().join("edge"),
            internal_token: TOKEN.to_owned(),
            doors: vec![doors],
            computes: [(region("east"), vec![east]), (region("west"), vec![nowhere])].into(),
            control: control.into(),
            timers,
            sabotage: None,
        };
        let edge_http = Http::local(edge.listen.port(), TOKEN);
        tokio::spawn(edge::run_until(edge, std::future::pending()));
        let store = with_store.then(|| TrialStore::start(&folder.path().join("files"), files, &key()));
        let mut stage = Self { word, edge: edge_http, doors, compute, running: None, _store: store, _folder: folder };
        ready(&stage.edge).await;
        stage.start().await;
        stage
    }

    async fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        self.running = Some(stop);
        tokio::spawn(run_until(self.compute.clone(), async { drop(stopped.await) }));
        ready(&Http::local(self.compute.listen.port(), TOKEN)).await;
    }

    async fn route(&self, epoch: u64, to: &str) -> Result<(), Option<u16>> {
        let route = Route {
            environment: sales(),
            epoch: Epoch(epoch),
            slot: 0,
            region: region(to),
            zone: Zone::FIRST,
            withdrawn: false,
        };
        self.edge.put("/internal/route", &route, Duration::from_secs(2)).await.map_err(|error| error.status())
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

async fn ready(http: &Http) {
    poll::until("the role", Duration::from_secs(5), Duration::from_millis(5), || {
        http.get::<()>("/internal/ready", Duration::from_secs(1))
    })
    .await
    .unwrap();
}

async fn permits(State(word): State<Shared>, Json(request): Json<PermitRequest>) -> Json<PermitReply> {
    let word = locked(&word);
    let mut reply = PermitReply { grants: vec![], refused: vec![], stamp: Stamp::default() };
    if word.grants {
        reply.grants.push(Grant {
            environment: sales(),
            epoch: Epoch(word.epoch),
            lifetime_ms: 400,
            exposure_ok: word.exposure_ok,
            pace_ms: word.pace_ms,
            slot: 0,
            bucket: "sales".to_owned(),
            s3_access_key: key().user,
            sql_reader: "reader".to_owned(),
            marks_revision: word.marks_revision,
        });
    } else if request.known.iter().any(|(_, epoch)| *epoch < Epoch(word.epoch)) {
        reply.refused.push((sales(), Epoch(word.epoch)));
    }
    Json(reply)
}

async fn account(State(word): State<Shared>, Json(push): Json<AccountPush>) -> Json<AccountMark> {
    let mut word = locked(&word);
    let next = word.account.last().map_or(push.kept_from, |last| last.number + 1);
    word.account.extend(push.entries.into_iter().filter(|entry| entry.number >= next));
    Json(AccountMark { verified: word.verified, next: word.account.last().map_or(next, |last| last.number + 1) })
}

async fn report(State(word): State<Shared>, Json(report): Json<EdgeReport>) -> StatusCode {
    locked(&word).report = Some(report);
    StatusCode::NO_CONTENT
}

async fn echo(stream: &mut TcpStream, text: &[u8]) -> io::Result<()> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text);
    Ok(())
}

async fn visit(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // The first packet of the reader, which the door for reading wants to see; the fake store sends it back like the rest.
    echo(&mut stream, b"\0\0\0\x15\0\x03\0\0user\0reader\0\0").await?;
    echo(&mut stream, b"hello").await?;
    Ok(stream)
}

async fn until_served(port: u16) -> TcpStream {
    poll::until("service", Duration::from_secs(5), Duration::from_millis(10), || visit(port)).await.unwrap()
}

/// Waits for the end of an idle connection.
async fn end_of(stream: &mut TcpStream) {
    let mut byte = [0];
    let ended = timeout(Duration::from_secs(5), stream.read(&mut byte)).await.expect("the connection stays open");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_needs_a_route_and_a_permit_and_ends_with_either() {
    let mut stage = Stage::open(false).await;
    let doors = stage.doors;
    visit(doors.sql_rw).await.unwrap_err();
    stage.route(1, "east").await.unwrap();
    let mut idle = until_served(doors.sql_rw).await;
    let mut large = until_served(doors.sql_ro).await;
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let (mut reader, mut writer) = large.split();
    let mut answer = vec![0; text.len()];
    let (sent, got) = tokio::join!(writer.write_all(&text), reader.read_exact(&mut answer));
    sent.and(got.map(drop)).unwrap();
    assert!(answer == text);

    // The permit ends: an idle connection is cut, in time, and nobody comes in.
    locked(&stage.word).grants = false;
    let ended = Instant::now();
    end_of(&mut idle).await;
    assert!(ended.elapsed() < PERMIT + CUT, "{:?}", ended.elapsed());
    visit(doors.sql_rw).await.unwrap_err();

    // Granted again, but the guard withholds writes: that door alone is closed.
    {
        let mut word = locked(&stage.word);
        (word.grants, word.exposure_ok) = (true, false);
    }
    let mut reading = until_served(doors.sql_ro).await;
    visit(doors.sql_rw).await.unwrap_err();
    locked(&stage.word).exposure_ok = true;
    let mut writing = until_served(doors.sql_rw).await;
    locked(&stage.word).exposure_ok = false;
    end_of(&mut writing).await;
    echo(&mut reading, b"still here").await.unwrap();
    locked(&stage.word).exposure_ok = true;

    // The guard slows writes: whatever begins at that door waits, and is not refused.
    drop(until_served(doors.sql_rw).await);
    locked(&stage.word).pace_ms = 300;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (door, expected) in [(doors.sql_rw, 300..5_000), (doors.sql_ro, 0..300)] {
        let began = Instant::now();
        visit(door).await.unwrap();
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        assert!(expected.contains(&took), "{took} ms, expected {expected:?}");
    }
    locked(&stage.word).pace_ms = 0;

    // A greater epoch: connections and routes of the old one are over, after a restart too.
    locked(&stage.word).epoch = 2;
    end_of(&mut reading).await;
    visit(doors.sql_rw).await.unwrap_err();
    stage.running.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    locked(&stage.word).epoch = 1;
    stage.start().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    visit(doors.sql_rw).await.unwrap_err();
    locked(&stage.word).epoch = 2;
    stage.route(2, "east").await.unwrap();
    let mut served = until_served(doors.sql_rw).await;

    // A new route closes what goes by the old one; an old route is refused.
    stage.route(3, "west").await.unwrap();
    end_of(&mut served).await;
    assert_eq!(stage.route(2, "east").await, Err(Some(409)));

    // The edge tells what it sees.
    let report = poll::until("a report", Duration::from_secs(5), Duration::from_millis(10), || async {
        let report = locked(&stage.word).report.clone();
        report.filter(|report| report.routes.iter().any(|route| route.epoch == Epoch(3))).ok_or("none yet")
    })
    .await
    .unwrap();
    let [(_, _, Some(east)), (_, _, None)] = report.silent_ms[..] else { panic!("{report:?}") };
    assert!(east < 1000, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_requests_pass_unchanged_and_what_may_not_pass_is_refused() {
    let stage = Stage::open(true).await;
    stage.route(1, "east").await.unwrap();
    let within = Duration::from_secs(5);
    let root = s3::client(stage.compute.files.clone(), &key(), within);
    poll::until("the store", Duration::from_secs(20), Duration::from_millis(50), || {
        root.create_bucket().bucket("sales").send()
    })
    .await
    .unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    root.put_bucket_versioning().bucket("sales").versioning_configuration(enabled).send().await.unwrap();
    let customer = s3::client(stage.doors.files_rw, &key(), within);
    let reader = s3::client(stage.doors.files_ro, &key(), within);
    poll::until("service", within, Duration::from_millis(20), || customer.head_bucket().bucket("sales").send())
        .await
        .unwrap();

    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let name = "a folder/ä+b=c~%41?.bin";
    customer.put_object().bucket("sales").key(name).body(body.clone().into()).send().await.unwrap();
    for client in [&customer, &reader] {
        let got = client.get_object().bucket("sales").key(name).send().await.unwrap();
        assert!(got.body.collect().await.unwrap().into_bytes() == body);
        let head = client.head_object().bucket("sales").key(name).send().await.unwrap();
        assert_eq!(head.content_length(), Some(3_000_000));
        let listed = client.list_objects_v2().bucket("sales").prefix("a folder/").send().await.unwrap();
        assert_eq!(listed.contents()[0].key(), Some(name));
    }
    let missing = customer.get_object().bucket("sales").key("nothing").send().await.unwrap_err();
    assert_eq!(missing.code(), Some("NoSuchKey"));

    // The reading door.
    let put = reader.put_object().bucket("sales").key("x").body(body.clone().into()).send().await.unwrap_err();
    assert_eq!(s3::classify(&put).to_string(), "405 MethodNotAllowed");
    reader.delete_object().bucket("sales").key(name).send().await.unwrap_err();
    // Other buckets, other keys, a wrong signature.
    let other = customer.get_object().bucket("books").key(name).send().await.unwrap_err();
    assert_eq!(s3::classify(&other).to_string(), "403 AccessDenied");
    let stranger = Login { user: "stranger".to_owned(), ..key() };
    refused_403(&s3::client(stage.doors.files_rw, &stranger, within)).await;
    let forger = Login { secret: "wrong-secret".to_owned(), ..key() };
    refused_403(&s3::client(stage.doors.files_rw, &forger, within)).await;

    // A marked reference, by key alone and by version.
    {
        let mut word = locked(&stage.word);
        word.marks.references = vec![FileReference { object_key: "lost/1".to_owned(), version_id: "v7".to_owned() }];
        word.marks_revision = 1;
    }
    let marked = poll::until("the mark", within, Duration::from_millis(20), || async {
        let error = customer.get_object().bucket("sales").key("lost/1").send().await.unwrap_err();
        let failure = s3::classify(&error).to_string();
        if failure == "409 ReferenceDangling" { Ok(failure) } else { Err(failure) }
    });
    marked.await.unwrap();
    let by_version = reader.get_object().bucket("sales").key("lost/1").version_id("v7").send().await.unwrap_err();
    assert_eq!(by_version.code(), Some("ReferenceDangling"));
    reader.get_object().bucket("sales").key(name).send().await.unwrap();

    // The permit ends in the middle of an answer: the rest does not come.
    let cut = customer.get_object().bucket("sales").key(name).send().await.unwrap();
    locked(&stage.word).grants = false;
    tokio::time::sleep(PERMIT + CUT).await;
    cut.body.collect().await.map(drop).unwrap_err();
    customer.head_bucket().bucket("sales").send().await.unwrap_err();
}

async fn refused_403(client: &Client) {
    let error = client.list_objects_v2().bucket("sales").send().await.unwrap_err();
    assert!(s3::classify(&error).to_string().starts_with("403"), "{error:?}");
}
