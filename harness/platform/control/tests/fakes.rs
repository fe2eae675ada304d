//! Two regions and an edge that only answer, around a real control plane on loopback.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::super::{ControlError, run_until};
use crate::{
    api::{
        EnvironmentId, Epoch, Region, Zone, compute,
        control::{FileReference, Notice, OperationView, Salvage, SalvagedRow, Subscription},
        node::{Action, Answer, Command, LogEnd, Rejoin},
        permit::{Holder, PermitReply, PermitRequest},
        role::{ControlConfig, DoorPorts, Policy, Timers},
        route::{EdgeReport, Route},
    },
    clients::http::{Http, HttpError},
};

pub const API_TOKEN: &str = "api-token";
pub const INTERNAL_TOKEN: &str = "internal-token";
pub const WITHIN: Duration = Duration::from_secs(10);

/// What the fakes have seen, and how they behave.
#[derive(Default)]
pub struct Seen {
    /// Region, action and epoch of every command carried out.
    pub commands: Vec<(String, &'static str, Epoch)>,
    pub routes: Vec<Route>,
    pub notices: Vec<Notice>,
    /// Regions that are lost: nobody there asks, and nodes fail.
    pub lost: BTreeSet<String>,
    /// Region and name of every command to a compute.
    pub computed: Vec<(String, &'static str)>,
    /// The standby does not reach the end of the log.
    pub is_stalled: bool,
    /// Promotions do not end.
    pub promotions_hang: bool,
    /// The webhook receiver answers after so long.
    pub receiver_takes: Duration,
    /// The webhook receiver answers 503.
    pub receiver_refuses: bool,
    /// Permits of the last answer, by region and holder's debug name.
    pub granted: Vec<(String, Holder, Epoch)>,
}

type Shared = Arc<Mutex<Seen>>;
type Running = JoinHandle<Result<(), ControlError>>;

pub struct Stage {
    pub folder: TempDir,
    pub config: ControlConfig,
    pub seen: Shared,
    pub api: Http,
    pub receiver: String,
    control: Option<(Running, oneshot::Sender<()>)>,
    _fakes: JoinSet<()>,
}

fn regions() -> [Region; 2] {
    ["east".parse().unwrap(), "west".parse().unwrap()]
}

async fn serve(fakes: &mut JoinSet<()>, router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    fakes.spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

pub async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

impl Stage {
    /// Everything up, both regions ready.
    pub async fn new(policy: Policy) -> Self {
        let seen = Shared::default();
        let mut fakes = JoinSet::new();
        let mut nodes = std::collections::BTreeMap::new();
        let mut all_computes = std::collections::BTreeMap::new();
        for region in regions() {
            let router = Router::new()
                .route("/internal/command", post(command))
                .route("/internal/salvage", get(salvage))
                .route("/internal/salvage/body", get(salvaged_body))
                .with_state((region.clone(), Arc::clone(&seen)));
            nodes.insert(region.clone(), vec![serve(&mut fakes, router).await.into()]);
            let router = Router::new()
                .route("/internal/command", post(computes))
                .with_state((region.clone(), Arc::clone(&seen)));
            all_computes.insert(region, vec![serve(&mut fakes, router).await.into()]);
        }
        let edge = Router::new().route("/internal/route", put(route)).with_state(Arc::clone(&seen));
        let edge = serve(&mut fakes, edge).await.into();
        let receiver = Router::new().route("/hook", post(notice)).with_state(Arc::clone(&seen));
        let receiver = format!("http://127.0.0.1:{}/hook", serve(&mut fakes, receiver).await);
        let folder = tempfile::tempdir().unwrap();
        let config = ControlConfig {
            listen: ([127, 0, 0, 1], free_port().await).into(),
            data: folder.path().join("control"),
            api_token: API_TOKEN.to_owned(),
            internal_token: INTERNAL_TOKEN.to_owned(),
            nodes,
            computes: all_computes,
            edge,
            doors: vec![DoorPorts { sql_rw: 1, sql_ro: 2, files_rw: 3, files_ro: 4 }; 2],
            timers: Timers {
                permit_ms: 300,
                poll_ms: 50,
                suspect_ms: 400,
                outage_grace_ms: 300,
                cut_ms: 20,
                notice_ms: 150,
                dwell_ms: 300,
                ..Timers::default()
            },
            policy,
            sabotage: None,
            webhook_hosts: ["127.0.0.1".to_owned()].into(),
            deploy_first: Vec::new(),
        };
        for region in regions() {
            for holder in [Holder::Node, Holder::Compute] {
                fakes.spawn(hold(config.listen.port(), region.clone(), holder, Arc::clone(&seen)));
            }
        }
        fakes.spawn(report(config.listen.port(), Arc::clone(&seen)));
        let api = Http::local(config.listen.port(), API_TOKEN);
        let mut stage = Self { folder, config, seen, api, receiver, control: None, _fakes: fakes };
        stage.start().await;
        stage
    }

    /// Starts control and waits until both regions are ready.
    pub async fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async move { drop(stopped.await) };
        self.control = Some((tokio::spawn(run_until(self.config.clone(), told)), stop));
        self.wait("both regions ready", |health: crate::api::control::Health| {
            health.regions_ready.len() == 2 && health.edge_ready
        })
        .await;
    }

    async fn wait<T: serde::de::DeserializeOwned>(&self, what: &str, is_enough: impl Fn(T) -> bool) {
        let attempt = || async {
            let seen: T = self.api.get("/v1/health", WITHIN).await.map_err(|error| error.to_string())?;
            if is_enough(seen) { Ok(()) } else { Err("not yet".to_owned()) }
        };
        crate::clients::poll::until(what, WITHIN, Duration::from_millis(20), attempt).await.unwrap();
    }

    /// Ends control as SIGTERM would.
    pub async fn stop(&mut self) -> Result<(), ControlError> {
        let (control, stop) = self.control.take().unwrap();
        stop.send(()).unwrap();
        control.await.unwrap()
    }

    /// Ends control in the middle of whatever it does.
    pub async fn kill(&mut self) {
        let (control, _stop) = self.control.take().unwrap();
        control.abort();
        let _ = control.await;
    }

    pub fn lose(&self, region: &str) {
        self.seen.lock().unwrap().lost.insert(region.to_owned());
    }

    pub async fn subscribe(&self) {
        let subscription = Subscription { url: self.receiver.clone() };
        let _: Subscription = self.api.put("/v1/subscriptions/ops", &subscription, WITHIN).await.unwrap();
    }

    /// Deploys environments in the east, and waits for their ends.
    pub async fn deploy(&self, names: &[&str]) {
        let tenant = serde_json::json!({"licences": ["dataverse"]});
        let _: Value = self.api.put("/v1/tenants/contoso", &tenant, WITHIN).await.unwrap();
        for name in names {
            let order = order(name, "dataverse-production");
            let begun: OperationView = self.api.post("/v1/environments", &order, WITHIN).await.unwrap();
            let ended = self.end_of(begun.id).await;
            assert_eq!(ended.state, crate::api::control::OperationState::Completed, "{ended:?}");
        }
    }

    pub async fn end_of(&self, operation: u64) -> OperationView {
        self.api.get(&format!("/v1/operations/{operation}?wait_ms=9000"), WITHIN).await.unwrap()
    }

    /// Waits for an event of an environment; all events up to then, by name.
    pub async fn event(&self, name: &str, environment: &str) -> Vec<crate::api::control::PlatformEvent> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/v1/events?after={after}&wait_ms=8000");
            let more: crate::api::control::Events = self.api.get(&path, WITHIN).await.unwrap();
            assert!(!more.events.is_empty(), "{name} of {environment} does not come; last: {:?}", all.last());
            after = more.events.last().map_or(after, |event| event.number);
            all.extend(more.events);
            let is_it = |event: &crate::api::control::PlatformEvent| {
                event.name == name && event.environment.as_ref().is_some_and(|id| id.as_str() == environment)
            };
            if all.iter().any(is_it) {
                return all;
            }
        }
    }
}

pub fn order(name: &str, kind: &str) -> Value {
    serde_json::json!({"id": name, "kind": kind, "tenant": "contoso", "region": "east"})
}

pub fn status<T>(result: Result<T, HttpError>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.status().unwrap_or_else(|| panic!("{error}")),
    }
}

async fn command(
    State((region, seen)): State<(Region, Shared)>,
    Json(command): Json<Command>,
) -> Result<Json<Answer>, StatusCode> {
    if seen.lock().unwrap().lost.contains(region.as_str()) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let (name, answer) = match command.action {
        Action::CreatePrimary(_) => ("create-primary", Answer::Done),
        Action::CreateReplica(_) => ("create-replica", Answer::Done),
        Action::ReplicateFiles(_) => ("replicate-files", Answer::Done),
        Action::PrepareReplica(_) => ("prepare-replica", Answer::Done),
        Action::WithdrawReplica(_) => ("withdraw-replica", Answer::Done),
        Action::DropReplica(_) => ("drop-replica", Answer::Done),
        Action::AllowGranting { .. } => ("allow-granting", Answer::Done),
        Action::StopGranting => ("stop-granting", Answer::Stopped { wait_ms: 10 }),
        Action::Fence => ("fence", Answer::Done),
        Action::Promote => ("promote", Answer::Promoted { timeline: 2, fork_lsn: 100 }),
        Action::RevokeFilesReplication { .. } => ("revoke", Answer::Done),
        Action::ReconcileReferences => {
            let reference = FileReference { object_key: "a/b".to_owned(), version_id: "v".to_owned() };
            ("reconcile", Answer::Marked { references: vec![reference], orphans: 1 })
        }
        Action::HandOver => {
            let end = LogEnd { system_id: "7".to_owned(), timeline: 1, lsn: 100 };
            ("hand-over", Answer::HandedOver(end))
        }
        Action::AwaitLog { .. } if seen.lock().unwrap().is_stalled => {
            ("await-log", Answer::Unmet { why: "the standby stands at 90 of 100".to_owned() })
        }
        Action::Secure { .. } => ("secure", Answer::Secured { diverged: true, rows: 2, objects: 1 }),
        Action::Rejoin { .. } => ("rejoin", Answer::Rejoined(Rejoin::Rewound)),
        Action::ReturnFiles { .. } => {
            ("return-files", Answer::FilesReturned { removed: 1, copied: 2, gaps: Vec::new() })
        }
        other => (other.name(), Answer::Done),
    };
    while name == "promote" && seen.lock().unwrap().promotions_hang {
        sleep(Duration::from_millis(10)).await;
    }
    seen.lock().unwrap().commands.push((region.to_string(), name, command.epoch));
    Ok(Json(answer))
}

async fn computes(
    State((region, seen)): State<(Region, Shared)>,
    Json(command): Json<compute::Command>,
) -> Result<Json<Answer>, StatusCode> {
    let mut seen = seen.lock().unwrap();
    if seen.lost.contains(region.as_str()) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let (name, answer) = match command.action {
        compute::Action::Stop { .. } => ("stop", Answer::Sealed { account: 9, cut: 0 }),
        compute::Action::Resume => ("resume", Answer::Done),
        compute::Action::Renew => ("renew", Answer::Done),
        compute::Action::Provide(_) => ("provide", Answer::Done),
        compute::Action::Forget => ("forget", Answer::Done),
    };
    seen.computed.push((region.to_string(), name));
    Ok(Json(answer))
}

async fn salvage(State((region, _)): State<(Region, Shared)>) -> Json<Salvage> {
    let row = SalvagedRow { table: "public.orders".to_owned(), row: serde_json::json!({"token": 7}) };
    Json(Salvage { folder: format!("/at/{region}"), rows: vec![row], objects: Vec::new() })
}

async fn salvaged_body(Query(asked): Query<BTreeMap<String, String>>) -> (StatusCode, String) {
    match asked["file"].as_str() {
        "objects/000001" => (StatusCode::OK, format!("the first of {}", asked["environment"])),
        other => (StatusCode::NOT_FOUND, format!("no {other}")),
    }
}

async fn route(State(seen): State<Shared>, Json(route): Json<Route>) -> StatusCode {
    seen.lock().unwrap().routes.push(route);
    StatusCode::NO_CONTENT
}

async fn notice(State(seen): State<Shared>, Json(notice): Json<Notice>) -> (StatusCode, &'static str) {
    let takes = seen.lock().unwrap().receiver_takes;
    sleep(takes).await;
    let mut seen = seen.lock().unwrap();
    seen.notices.push(notice);
    // A receiver may answer whatever it likes.
    if seen.receiver_refuses { (StatusCode::SERVICE_UNAVAILABLE, "later") } else { (StatusCode::OK, "thanks") }
}

async fn hold(control: u16, region: Region, holder: Holder, seen: Shared) {
    let control = Http::local(control, INTERNAL_TOKEN);
    let mut known: Vec<(EnvironmentId, Epoch)> = Vec::new();
    loop {
        sleep(Duration::from_millis(50)).await;
        let is_other_lost = seen.lock().unwrap().lost.iter().any(|lost| lost != region.as_str());
        if seen.lock().unwrap().lost.contains(region.as_str()) {
            continue;
        }
        let silent = if is_other_lost { 60_000 } else { 10 };
        let peer_silent_ms = (holder == Holder::Node).then_some(silent);
        let request = PermitRequest {
            holder,
            region: region.clone(),
            zone: Zone::FIRST,
            known: known.clone(),
            peer_silent_ms,
            states: Vec::new(),
            files_ok: (holder == Holder::Node).then_some(true),
            processors: None,
            after: None,
            files: Vec::new(),
        };
        let reply: Result<PermitReply, HttpError> = control.post("/internal/permits", &request, WITHIN).await;
        let Ok(reply) = reply else { continue };
        known = reply.grants.iter().map(|grant| (grant.environment.clone(), grant.epoch)).collect();
        let mut seen = seen.lock().unwrap();
        seen.granted.retain(|(from, by, _)| from != region.as_str() || *by != holder);
        let granted = reply.grants.iter().map(|grant| (region.to_string(), holder, grant.epoch));
        seen.granted.extend(granted);
    }
}

async fn report(control: u16, seen: Shared) {
    let control = Http::local(control, INTERNAL_TOKEN);
    loop {
        sleep(Duration::from_millis(50)).await;
        let report = {
            let seen = seen.lock().unwrap();
            let silent = |region: &Region| if seen.lost.contains(region.as_str()) { 60_000 } else { 10 };
            let silent_ms =
                regions().into_iter().map(|region| (region.clone(), Zone::FIRST, Some(silent(&region)))).collect();
            EdgeReport { silent_ms, routes: seen.routes.clone() }
        };
        let _: Result<(), HttpError> = control.post("/internal/edge", &report, WITHIN).await;
    }
}
