//! The way there and back, and what an operator sees of it, over real HTTP and real time.

use serde_json::{Value, json};

use super::{
    fakes::{Stage, WITHIN, status},
    names,
};
use crate::{
    api::{
        Epoch,
        control::{OperationState, OperationView, Salvage, Status},
        environment::{EnvironmentPhase, EnvironmentView},
        guard::Guard,
        role::Policy,
    },
    clients::http::HttpError,
};

const RETURNING: Policy = Policy { automatic: false, automatic_return: true, at_once: 2, guard: Guard::DOCUMENTED };

async fn order(stage: &Stage, kind: &str, scope: Value) -> Result<OperationView, HttpError> {
    stage.api.post("/v1/failovers", &json!({"kind": kind, "scope": scope}), WITHIN).await
}

fn sales() -> Value {
    json!({"environments": ["sales"]})
}

#[tokio::test]
async fn there_and_back_with_a_replica_after_each_switch() {
    let mut stage = Stage::new(RETURNING).await;
    stage.deploy(&["sales"]).await;
    let begun = order(&stage, "planned", sales()).await.unwrap();
    assert_eq!(begun.kind, "planned-failover");
    let second = order(&stage, "planned", sales()).await;
    let why = second.as_ref().unwrap_err().to_string();
    assert!(why.contains(&format!("operation {} (planned-failover) is under way", begun.id)), "{why}");
    assert_eq!(status(second), 409);
    assert_eq!(stage.end_of(begun.id).await.state, OperationState::Completed);
    stage.event("environment.protected", "sales").await;
    assert_eq!(
        stage.seen.lock().unwrap().computed[..],
        [("east".to_owned(), "renew"), ("east".to_owned(), "stop"), ("west".to_owned(), "renew"),]
    );
    let status_seen: Status = stage.api.get("/v1/status", WITHIN).await.unwrap();
    let seen = &status_seen.environments[0];
    assert_eq!((seen.phase, seen.active.as_str(), seen.salvaged), (EnvironmentPhase::Protected, "west", 3));
    assert!(status_seen.regions.iter().all(|region| region.unfit.is_none()), "{status_seen:?}");
    assert!(!serde_json::to_string(&status_seen).unwrap().contains("secret"));
    let salvage: Salvage = stage.api.get("/v1/environments/sales/salvage", WITHIN).await.unwrap();
    assert_eq!((salvage.folder.as_str(), salvage.rows.len()), ("/at/east", 1));
    let body =
        async |number: &str| stage.api.bytes(&format!("/v1/environments/sales/salvage/objects/{number}"), WITHIN).await;
    assert_eq!(&body("000001").await.unwrap()[..], b"the first of sales");
    for unknown in ["000002", "x", "1%26environment=other", "..%2F000001"] {
        assert_eq!(body(unknown).await.unwrap_err().status(), Some(404), "{unknown}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(status(order(&stage, "planned", sales()).await), 422);
    let back = order(&stage, "failback", sales()).await.unwrap();
    assert_eq!(stage.end_of(back.id).await.state, OperationState::Completed);
    let view: EnvironmentView = stage.api.get("/v1/environments/sales", WITHIN).await.unwrap();
    assert_eq!((view.active.as_str(), view.epoch), ("east", Epoch(3)));
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_stalled_receiver_aborts_the_switch_and_the_old_side_serves_again() {
    let mut stage = Stage::new(RETURNING).await;
    stage.deploy(&["sales"]).await;
    assert_eq!(status(stage.api.get::<Salvage>("/v1/environments/sales/salvage", WITHIN).await), 404);
    stage.seen.lock().unwrap().is_stalled = true;
    let begun = order(&stage, "planned", sales()).await.unwrap();
    let ended = stage.end_of(begun.id).await;
    assert_eq!(ended.state, OperationState::Aborted, "{ended:?}");
    assert!(ended.why.unwrap().contains("catching-up: the standby stands at 90 of 100"));
    let events = names(&stage.event("failover.aborted", "sales").await, "sales");
    assert_eq!(events.iter().filter(|name| *name == "failover.retried").count(), 1);
    let view: EnvironmentView = stage.api.get("/v1/environments/sales", WITHIN).await.unwrap();
    assert_eq!((view.phase, view.active.as_str(), view.epoch), (EnvironmentPhase::Protected, "east", Epoch(1)));
    {
        let seen = stage.seen.lock().unwrap();
        assert_eq!(seen.computed.iter().filter(|(at, what)| at == "east" && *what == "resume").count(), 2);
        assert_eq!(seen.commands.iter().filter(|(at, what, _)| at == "east" && *what == "take-back").count(), 2);
        assert!(!seen.commands.iter().any(|(_, what, _)| *what == "promote"));
    }
    stage.stop().await.unwrap();
}
