//! Customers whose receivers fail: a switch waits for none of them, and each is told once its receiver is well.

use geodrill::{
    api::control::NoticeKind,
    conduct::Drill,
    model::{
        RunTime,
        event::{Event, What},
        fault::WebhookMode,
    },
};

use crate::{support::drill, turn::alone};

/// What a switch may take longer than one with a receiver that is well: the platform's first attempt has 0.2 s, and no two
/// failovers on a shared machine take the same time.
const TOLERANCE_S: f64 = 1.0;

/// Failovers there and back, each once the other side follows again: first with a receiver that is well, then with each way of
/// failing.
const SCENARIO: &str = r#"
geodrill: 1
name: webhooks
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { dwell: 100ms } }
workload: { rate: 40/s, writers: 4, warm_up: 2s, settle: 2s, min_acked: 40 }
timeline:
  - { id: plain, within: 60s, operate: { failover: { scope: environment, environments: [sales] } } }
  - { id: follows-1, when: { event: environment.protected }, within: 120s, pause: 1s }
  - { id: erring, inject: { webhook.fail: { mode: error } } }
  - { id: error, within: 60s, operate: { failover: { scope: environment, environments: [sales] } } }
  - { heal: erring }
  - { id: follows-2, when: { event: environment.protected }, within: 120s, pause: 1s }
  - { id: slowing, inject: { webhook.fail: { mode: slow } } }
  - { id: slow, within: 60s, operate: { failover: { scope: environment, environments: [sales] } } }
  - { heal: slowing }
  - { id: follows-3, when: { event: environment.protected }, within: 120s, pause: 1s }
  - { id: downing, inject: { webhook.fail: { mode: down } } }
  - { id: down, within: 60s, operate: { failover: { scope: environment, environments: [sales] } } }
  - { heal: downing }
  - { id: follows-4, when: { event: environment.protected }, within: 120s, pause: 6s }
expect:
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: plain }
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: error }
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: slow }
  - { guarantee: dataverse.unplanned.notice, environment: sales, step: down }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_delays_no_failover_and_gets_its_notice_later() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished =
        drill(Drill::from_text("webhooks.yaml", SCENARIO, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let text = std::fs::read_to_string(finished.folder.join("events.ndjson"))?;
    let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Event>, _>>()?;
    let switch = |id: &str| {
        let event = finished.measures.events.iter().find(|event| event.id == id).expect("it was ordered");
        (event.began, event.switched.expect("it switched"))
    };
    let took = |id: &str| switch(id).1.since(switch(id).0).as_secs_f64();
    let plain = took("plain");
    println!("plain: {plain:.3} s from the order to the first write on the other side");
    for (id, mode) in [("error", WebhookMode::Error), ("slow", WebhookMode::Slow), ("down", WebhookMode::Down)] {
        let (began, switched) = switch(id);
        let first = |is_it: &dyn Fn(&What) -> bool| -> RunTime {
            let found = events.iter().find(|event| event.at >= began && is_it(&event.what));
            found.unwrap_or_else(|| panic!("{id}: nothing of the kind\n{told}")).at
        };
        let tried = first(&|what| match what {
            What::NoticeAttempt { kind, mode: of, .. } => *kind == NoticeKind::UnplannedFailover && *of == mode,
            _ => false,
        });
        let received = first(&|what| match what {
            What::NoticeReceived { kind, .. } => *kind == NoticeKind::UnplannedFailover,
            _ => false,
        });
        println!(
            "{id}: {:.3} s; tried {:.3} s before the switch, told {:.3} s after it",
            took(id),
            switched.since(tried).as_secs_f64(),
            received.since(switched).as_secs_f64()
        );
        assert!(tried < switched && switched < received, "{id}\n{told}");
        assert!(took(id) <= plain + TOLERANCE_S, "{id} took {:.3} s, without {plain:.3} s\n{told}", took(id));
    }
    Ok(())
}
