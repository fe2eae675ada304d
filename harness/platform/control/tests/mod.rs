//! The role over real HTTP on loopback, with fakes around it.

mod fakes;
mod openapi;
mod planned;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use self::fakes::{API_TOKEN, INTERNAL_TOKEN, Stage, WITHIN, free_port, order, status};
use super::{ControlError, credentials, outbox, run_until};
use crate::{
    api::{
        Epoch, Region,
        control::{Dangling, Notice, NoticeKind, OperationState, OperationView},
        environment::{EnvironmentPhase, EnvironmentView},
        guard::Guard,
        permit::Holder,
        role::Policy,
    },
    clients::http::Http,
};

const MANUAL: Policy = Policy { automatic: false, automatic_return: false, at_once: 2, guard: Guard::DOCUMENTED };
const AUTOMATIC: Policy = Policy { automatic: true, automatic_return: false, at_once: 2, guard: Guard::DOCUMENTED };

fn names(events: &[crate::api::control::PlatformEvent], environment: &str) -> Vec<String> {
    let of = events.iter().filter(|event| event.environment.as_ref().is_some_and(|id| id.as_str() == environment));
    of.map(|event| event.name.clone()).collect()
}

#[tokio::test]
async fn a_wrong_token_is_refused_everywhere_but_at_the_sign_of_life() {
    let mut stage = Stage::new(MANUAL).await;
    let port = stage.config.listen.port();
    for (token, path) in [
        ("wrong", "/v1/health"),
        ("", "/v1/environments"),
        (INTERNAL_TOKEN, "/v1/health"),
        ("api-toke", "/v1/health"),
        ("api-token2", "/v1/health"),
    ] {
        let result = Http::local(port, token).get::<Value>(path, WITHIN).await;
        let why = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("wrong token"), "{token} {path}: {why}");
        assert_eq!(status(result), 401);
    }
    for token in [API_TOKEN, "wrong"] {
        assert_eq!(status(Http::local(port, token).post::<Value>("/internal/permits", &json!({}), WITHIN).await), 401);
    }
    assert_eq!(status(Http::local(port, "wrong").get::<()>("/internal/ready", WITHIN).await), 200);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_unknown_or_malformed_is_refused_with_the_reason() {
    let mut stage = Stage::new(MANUAL).await;
    let api = stage.api.clone();
    for (path, expected) in [
        ("/v1/environments/nobody", 404),
        ("/v1/environments/No%20Name", 404),
        ("/v1/environments/nobody/dangling", 404),
        ("/v1/environments/nobody/salvage", 404),
        ("/v1/environments/nobody/salvage/objects/000001", 404),
        ("/v1/operations/77", 404),
        ("/v1/operations/none", 404),
        ("/v1/nothing", 404),
        ("/v1/failovers", 405),
        ("/v1/events?before=3", 400),
        ("/v1/events?after=x", 400),
    ] {
        assert_eq!(status(api.get::<Value>(path, WITHIN).await), expected, "{path}");
    }
    let post = async |path: &str, body: Value| status(api.post::<Value>(path, &body, WITHIN).await);
    assert_eq!(post("/v1/failovers", json!({"kind": "unplanned"})).await, 400);
    assert_eq!(post("/v1/environments", json!({"id": "UPPER"})).await, 400);
    let unknown = json!({"kind": "unplanned", "scope": {"environments": ["nobody"]}});
    assert_eq!(post("/v1/failovers", unknown).await, 404);
    let planned = json!({"kind": "planned", "scope": {"region": "east"}});
    assert_eq!(post("/v1/failovers", planned).await, 409);
    let put = async |path: &str, body: Value| status(api.put::<Value>(path, &body, WITHIN).await);
    assert_eq!(put("/v1/environments/nobody/exposure", json!({"granted": true})).await, 404);
    assert_eq!(put("/v1/environments/nobody/exposure", json!({"granted": "yes"})).await, 400);
    assert_eq!(put("/v1/tenants/Not%20Valid", json!({"licences": []})).await, 400);
    assert_eq!(put("/v1/subscriptions/ops", json!({"url": "http://example.com/x"})).await, 400);
    assert_eq!(put("/v1/subscriptions/Ops", json!({"url": "http://127.0.0.1:1/x"})).await, 400);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_deployment_needs_a_licence_and_ends_with_endpoints() {
    let mut stage = Stage::new(MANUAL).await;
    let refused = stage.api.post::<Value>("/v1/environments", &order("sales", "dataverse-production"), WITHIN).await;
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("no licence")));
    assert_eq!(status(refused), 422);
    stage.deploy(&["sales"]).await;
    for (name, kind, expected) in [("books", "finops-production", 422), ("sales", "dataverse-production", 409)] {
        assert_eq!(status(stage.api.post::<Value>("/v1/environments", &order(name, kind), WITHIN).await), expected);
    }
    let view: EnvironmentView = stage.api.get("/v1/environments/sales", WITHIN).await.unwrap();
    let endpoints = view.endpoints.unwrap();
    assert_eq!((view.phase, view.epoch), (EnvironmentPhase::Protected, Epoch(1)));
    assert_eq!((endpoints.database.as_str(), endpoints.bucket.as_str()), ("sales", "sales-files"));
    assert!(endpoints.app.secret.len() == 40 && endpoints.s3.secret.len() == 40);
    assert!(endpoints.app.secret != endpoints.reader.secret);
    let all: Vec<EnvironmentView> = stage.api.get("/v1/environments", WITHIN).await.unwrap();
    assert_eq!(all.len(), 1);
    let commands: Vec<_> =
        stage.seen.lock().unwrap().commands.iter().map(|(at, what, _)| (at.clone(), *what)).collect();
    let of = |at: &str, what| (at.to_owned(), what);
    assert_eq!(commands[0], of("east", "create-primary"));
    assert!(commands[1..3].contains(&of("west", "create-replica")));
    assert!(commands[1..3].contains(&of("east", "replicate-files")));
    assert_eq!(commands[3], of("west", "allow-granting"));
    assert_eq!(stage.seen.lock().unwrap().routes[0].region.as_str(), "east");
    // The journal holds secrets: it is its owner's alone.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(stage.config.data.join("control.db")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn what_has_no_replica_is_not_switched_until_it_is_converted() {
    let mut stage = Stage::new(MANUAL).await;
    stage.deploy(&["sales"]).await;
    let before = stage.seen.lock().unwrap().commands.len();
    let post = async |path: &str, body: Value| stage.api.post::<OperationView>(path, &body, WITHIN).await;
    let begun = post("/v1/environments", order("talk", "dataverse-teams")).await.unwrap();
    assert_eq!(stage.end_of(begun.id).await.state, OperationState::Completed);
    let failover = json!({"kind": "planned", "scope": {"environments": ["talk"]}});
    let refused = post("/v1/failovers", failover).await.unwrap_err();
    assert!(refused.status() == Some(409) && refused.to_string().contains("until they are converted"), "{refused}");
    for (name, expected) in [("nobody", 404), ("sales", 422), ("UPPER", 400)] {
        let refused = post("/v1/conversions", json!({"environment": name})).await.unwrap_err();
        assert_eq!(refused.status(), Some(expected), "{refused}");
    }
    let begun = post("/v1/conversions", json!({"environment": "talk"})).await.unwrap();
    assert_eq!((begun.kind.as_str(), begun.state), ("convert", OperationState::Running));
    assert_eq!(stage.end_of(begun.id).await.state, OperationState::Completed);
    let view: EnvironmentView = stage.api.get("/v1/environments/talk", WITHIN).await.unwrap();
    assert_eq!((view.kind.as_str(), view.phase), ("dataverse-production", EnvironmentPhase::Protected));
    let commands: Vec<_> =
        stage.seen.lock().unwrap().commands[before..].iter().map(|(at, what, _)| format!("{at} {what}")).collect();
    assert_eq!(commands[..2], ["east create-primary", "east prepare-replica"]);
    assert_eq!(commands[4..], ["west return-files", "west allow-granting"]);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_is_led_to_no_more_removed_in_both_regions_and_unknown_then() {
    let mut stage = Stage::new(MANUAL).await;
    stage.deploy(&["sales"]).await;
    let before = stage.seen.lock().unwrap().commands.len();
    for (name, expected) in [("nobody", 404), ("UPPER", 404)] {
        let refused = stage.api.delete::<OperationView>(&format!("/v1/environments/{name}"), WITHIN).await;
        assert_eq!(status(refused), expected, "{name}");
    }
    let begun: OperationView = stage.api.delete("/v1/environments/sales", WITHIN).await.unwrap();
    assert_eq!((begun.kind.as_str(), begun.state), ("delete", OperationState::Running));
    assert_eq!(stage.end_of(begun.id).await.state, OperationState::Completed);
    assert_eq!(status(stage.api.get::<EnvironmentView>("/v1/environments/sales", WITHIN).await), 404);
    assert_eq!(status(stage.api.delete::<OperationView>("/v1/environments/sales", WITHIN).await), 404);
    {
        let seen = stage.seen.lock().unwrap();
        let mut deleted: Vec<_> =
            seen.commands[before..].iter().filter(|(_, what, _)| *what == "delete").cloned().collect();
        deleted.sort();
        let expected = ["east", "west"].map(|region| (region.to_owned(), "delete", Epoch(2)));
        assert_eq!(deleted, expected);
        let route = seen.routes.last().unwrap();
        assert!(route.withdrawn && route.epoch == Epoch(2));
    }
    stage.deploy(&["sales"]).await;
    let view: EnvironmentView = stage.api.get("/v1/environments/sales", WITHIN).await.unwrap();
    assert_eq!((view.phase, view.epoch), (EnvironmentPhase::Protected, Epoch(3)));
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_lost_region_is_failed_over_and_customers_are_told_before() {
    let mut stage = Stage::new(AUTOMATIC).await;
    stage.subscribe().await;
    stage.deploy(&["sales", "books"]).await;
    stage.lose("east");
    let events = stage.event("failover.completed", "sales").await;
    let events = [events, stage.event("failover.completed", "books").await].concat();
    for name in ["sales", "books"] {
        let named = names(&events, name);
        let begin = named.iter().position(|name| name == "failover.started").unwrap();
        assert_eq!(
            named[begin..begin + 8],
            ["started", "notified", "fenced", "switched", "promoted", "reconciled", "routed", "completed"]
                .map(|name| format!("failover.{name}"))
        );
    }
    let view: EnvironmentView = stage.api.get("/v1/environments/sales", WITHIN).await.unwrap();
    assert_eq!((view.phase, view.epoch, view.active.as_str()), (EnvironmentPhase::Unprotected, Epoch(2), "west"));
    let dangling: Dangling = stage.api.get("/v1/environments/sales/dangling", WITHIN).await.unwrap();
    assert_eq!((view.dangling, dangling.references.len()), (1, 1));
    let again = json!({"kind": "unplanned", "scope": {"environments": ["sales"]}});
    assert_eq!(status(stage.api.post::<Value>("/v1/failovers", &again, WITHIN).await), 422);
    tokio::time::sleep(Duration::from_millis(300)).await;
    {
        let seen = stage.seen.lock().unwrap();
        let kinds: Vec<NoticeKind> = seen.notices.iter().map(|notice| notice.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == NoticeKind::UnplannedFailover).count(), 2);
        assert_eq!(kinds.iter().filter(|kind| **kind == NoticeKind::Completed).count(), 2);
        assert!(seen.commands.contains(&("west".to_owned(), "promote", Epoch(2))));
        assert!(seen.commands.contains(&("west".to_owned(), "revoke", Epoch(2))));
        assert!(seen.granted.contains(&("west".to_owned(), Holder::Compute, Epoch(2))));
    }
    let notices: Vec<Notice> = stage.api.get("/v1/notices", WITHIN).await.unwrap();
    assert_eq!(notices.len(), 4);
    assert!(notices.iter().all(|notice| notice.delivered && notice.attempts == 1));
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_slow_or_refuses_delays_nothing_and_is_told_in_the_end() {
    let mut stage = Stage::new(MANUAL).await;
    stage.subscribe().await;
    stage.deploy(&["sales"]).await;
    stage.seen.lock().unwrap().receiver_takes = Duration::from_millis(1_500);
    stage.seen.lock().unwrap().receiver_refuses = true;
    let begun = std::time::Instant::now();
    let order = json!({"kind": "unplanned", "scope": {"region": "east"}});
    let operation: OperationView = stage.api.post("/v1/failovers", &order, WITHIN).await.unwrap();
    assert_eq!(operation.state, OperationState::Running);
    assert_eq!(status(stage.api.post::<Value>("/v1/failovers", &order, WITHIN).await), 409);
    let ended = stage.end_of(operation.id).await;
    assert_eq!(ended.state, OperationState::Completed, "{ended:?}");
    assert!(begun.elapsed() < Duration::from_millis(1_400), "{:?}", begun.elapsed());
    // An outbox outlives its process.
    stage.kill().await;
    stage.seen.lock().unwrap().receiver_takes = Duration::ZERO;
    stage.seen.lock().unwrap().receiver_refuses = false;
    stage.start().await;
    let attempt = || async {
        let notices: Vec<Notice> = stage.api.get("/v1/notices", WITHIN).await.unwrap();
        let are_delivered = notices.len() == 2 && notices.iter().all(|notice| notice.delivered);
        if are_delivered { Ok(()) } else { Err(format!("{notices:?}")) }
    };
    crate::clients::poll::until("delivery", WITHIN, Duration::from_millis(50), attempt).await.unwrap();
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn killed_in_the_middle_control_goes_on_where_it_was() {
    let mut stage = Stage::new(MANUAL).await;
    stage.deploy(&["sales"]).await;
    stage.seen.lock().unwrap().promotions_hang = true;
    let order = json!({"kind": "unplanned", "scope": {"environments": ["sales"]}});
    let operation: OperationView = stage.api.post("/v1/failovers", &order, WITHIN).await.unwrap();
    stage.event("failover.switched", "sales").await;
    stage.kill().await;
    stage.start().await;
    let view: OperationView = stage.api.get(&format!("/v1/operations/{}", operation.id), WITHIN).await.unwrap();
    assert_eq!((view.state, view.environments[0].step.as_str()), (OperationState::Running, "promoting"));
    stage.seen.lock().unwrap().promotions_hang = false;
    assert_eq!(stage.end_of(operation.id).await.state, OperationState::Completed);
    let events = stage.event("failover.completed", "sales").await;
    assert!(events.windows(2).all(|pair| pair[0].number + 1 == pair[1].number && pair[0].at_ms <= pair[1].at_ms));
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn two_control_planes_never_share_a_journal_nor_a_port() {
    let mut stage = Stage::new(MANUAL).await;
    let mut config = stage.config.clone();
    config.listen.set_port(free_port().await);
    let second = run_until(config.clone(), std::future::pending()).await;
    assert!(matches!(second, Err(ControlError::Journal(_))));
    config.data = stage.folder.path().join("other");
    config.listen = stage.config.listen;
    let second = run_until(config.clone(), std::future::pending()).await;
    assert!(matches!(second, Err(ControlError::Listen { .. })));
    config.nodes.pop_first();
    let second = run_until(config, std::future::pending()).await;
    assert!(matches!(second, Err(ControlError::Config(_))));
    stage.stop().await.unwrap();
}

#[test]
fn webhooks_go_to_the_hosts_that_are_named_and_nowhere_else() {
    let hosts = ["127.0.0.1", "links-common"].map(str::to_owned).into();
    let check = |url: &str, expected: bool| assert_eq!(outbox::is_accepted(url, &hosts), expected, "{url}");
    check("http://links-common:8080/notices", true);
    check("http://127.0.0.1:8080/hook", true);
    check("http://127.0.0.1:8080", true);
    check("http://127.0.0.1:8080/a/b?c=d", true);
    check("http://127.0.0.1", false);
    check("http://127.0.0.1:0/", false);
    check("http://127.0.0.1:80@example.com/", false);
    check("http://127.0.0.1:+80/", false);
    check("http://127.0.0.1.example.com:80/", false);
    check("https://127.0.0.1:80/", false);
    check("http://localhost:80/", false);
    check("http://127.0.0.1:80/a b", false);
}

#[test]
fn credentials_fit_the_stores_and_are_never_the_same() {
    let regions: [Region; 2] = ["east".parse().unwrap(), "west".parse().unwrap()];
    let (one, other) = (credentials::make(&regions), credentials::make(&regions));
    assert!(one != other);
    assert!(one.s3.user.len() <= 20 && one.s3.secret.len() <= 40);
    assert!(one.files_replication[&regions[0]].user != one.files_replication[&regions[1]].user);
    assert!(Path::new(&one.s3.secret).components().count() == 1);
}
