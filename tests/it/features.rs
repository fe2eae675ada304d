//! Features of Finance and Operations, on real servers: what customers are answered at their own door, and by hand in a lab.

use geodrill::{
    api::reports::Feature,
    conduct::{Drill, Finished},
    model::{feature::FeaturePeriod, operation::Side},
};

use crate::{lab::status, stage::Stage, support::drill, turn::beside};

#[tokio::test(flavor = "multi_thread")]
async fn features_are_gone_in_the_secondary_one_comes_by_ticket_and_all_are_back_at_home() -> anyhow::Result<()> {
    let _turn = beside().await;
    let finished = drill(Drill::shipped("finops-features")?).run().await?.assert_held();
    let told = finished.human();
    let figures = |period: &FeaturePeriod| (period.right, period.wrong);
    let all: Vec<&FeaturePeriod> = finished.measures.features.iter().collect();
    let given = |feature: Feature, side: u8, ticket: bool| {
        let of =
            |period: &&&FeaturePeriod| (period.feature, period.side, period.ticket) == (feature, Side(side), ticket);
        let found: Vec<&FeaturePeriod> = all.iter().filter(of).copied().collect();
        assert!(!found.is_empty(), "{feature} on side {side}, ticket {ticket}\n{told}");
        found
    };
    for feature in Feature::ALL {
        for period in given(feature, 0, false) {
            assert!(figures(period).0 >= 2 && figures(period).1 == 0, "{period:?}\n{told}");
        }
        for period in given(feature, 1, false) {
            let why = period.why.as_deref().unwrap_or_default();
            assert!(period.given == 0 && why.contains("secondary region west"), "{period:?}\n{told}");
        }
    }
    let by_ticket = given(Feature::FinancialReporting, 1, true);
    assert!(figures(by_ticket[0]).0 >= 2 && by_ticket[0].unavailable == 0, "{told}");
    assert!(given(Feature::PowerBi, 1, true).iter().all(|period| period.given == 0), "{told}");
    assert!(told.contains("support ticket done"), "{told}");
    Ok(())
}

const KILLED: &str = r#"
geodrill: 1
name: ticket-beside-a-crash
about: The control plane dies while a ticket is open and while features come back; either is done all the same.
environments: [ { id: books, kind: finops-production } ]
platform: { reference: { outage_grace: 30s, dwell: 1s } }
workload: { rate: 40/s, writers: 4, mix: { create: 45, overwrite: 20, delete: 5, transfer: 30 }, warm_up: 4s, settle: 2s, min_acked: 40 }
timeline:
  - { id: move, within: 60s, operate: { planned_failover: { scope: environment, environments: [books] } } }
  - { id: in-step, when: { event: environment.protected }, within: 60s, pause: 1s }
  - { id: unheard, inject: { link.partition: { link: "witness -> west / compute", mode: refuse } } }
  - id: beside
    within: 60s
    parallel:
      - { id: ticket, within: 60s, operate: { support_ticket: { environment: books } } }
      - { id: crash, delay: 1s, inject: { control.crash: { down_for: 2s } } }
      - { id: heard, delay: 4s, heal: unheard }
  - { id: reported, pause: 3s }
  - { id: back, within: 60s, operate: { failback: { scope: environment, environments: [books] } } }
  - { id: crash-again, inject: { control.crash: { down_for: 2s } } }
  - { id: home, pause: 4s }
expect:
  - { guarantee: finops.secondary.features }
  - { guarantee: finops.secondary.support-ticket }
  - { measure: loss.operations, at_most: 0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_outlives_the_control_plane() -> anyhow::Result<()> {
    let _turn = beside().await;
    let text = Drill::from_text("ticket.yaml", KILLED, &std::env::temp_dir())?;
    let finished: Finished = drill(text).run().await?.assert_held();
    let last = |feature: Feature| {
        let mut all = finished.measures.features.iter().rev();
        all.find(|period| period.feature == feature && period.side == Side(0)).and_then(|period| period.last_given)
    };
    assert_eq!(Feature::ALL.map(last), [Some(true), Some(true)], "{}", finished.human());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_opened_by_hand() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    let environments = ["--environment", "books:finops-production", "--environment", "sales:dataverse-production"];
    stage.expect(0, &[&["up", "--load", "10/s"][..], &environments].concat());
    let order = ["ticket", "--environment", "books", "--wait"];
    assert!(stage.expect(64, &order).contains("is at home in east"));
    let refused = stage.expect(64, &["ticket", "--environment", "sales"]);
    assert!(refused.contains("has no feature to restore"), "{refused}");
    stage.expect(0, &["failover", "--planned", "--environment", "books", "--wait"]);
    let done = stage.expect(0, &order);
    assert!(done.contains("(support-ticket) is completed"), "{done}");
    let shown = stage.expect(0, &["status"]);
    assert!(shown.contains("Financial Reporting: available"), "{shown}");
    assert!(
        shown.contains("Power BI reporting: NOT available  (Power BI reporting is not available in the secondary"),
        "{shown}"
    );
    let environments = status(&stage)["platform"]["environments"].clone();
    assert_eq!(environments[0]["features"][1]["feature"], "power-bi");
    assert_eq!(environments[1]["features"].as_array().map(Vec::len), Some(0));
    stage.expect(0, &["down"]);
}
