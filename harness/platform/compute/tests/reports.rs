//! Features, on a real Postgres: asked for through the edge, by the door for reading files.

use super::{stop::Database, *};
use crate::{
    api::{
        compute::{Action, Provision},
        node::Answer,
        reports::{AccountFigures, Feature, FeatureStatus, PATH, Report},
    },
    clients::http::HttpError,
};

/// The reader is `app` here; nobody checks its password.
fn reader() -> Login {
    Login { user: "app".to_owned(), secret: "reader-secret".to_owned() }
}

/// A word that offers these, and nothing else.
fn word(offered: &[Feature]) -> Action {
    let status = |feature: Feature| FeatureStatus {
        feature,
        unavailable: (!offered.contains(&feature)).then(|| format!("{feature} is not available in the secondary")),
    };
    Action::Provide(Provision {
        features: Feature::ALL.map(status).to_vec(),
        database: "postgres".to_owned(),
        reader: reader(),
    })
}

impl Stage {
    async fn report_as(&self, secret: &str, name: &str) -> Result<Report, HttpError> {
        Http::local(self.doors.files_ro, secret).get(&format!("{PATH}{name}"), Duration::from_secs(5)).await
    }

    async fn report(&self, feature: Feature) -> Result<Report, HttpError> {
        self.report_as(&reader().secret, feature.as_str()).await
    }

    /// The status and the words of a question that brings no report.
    async fn no_report(&self, feature: Feature) -> (u16, String) {
        match self.report(feature).await.unwrap_err() {
            HttpError::Refused { status, why, .. } => (status, why),
            error => panic!("{error}"),
        }
    }
}

fn figures(account: i64, postings: u64, balance: i64) -> AccountFigures {
    AccountFigures { account, postings, balance }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_made_of_postings_where_they_are_offered_and_told_to_the_reader_alone() {
    use Feature::{FinancialReporting, PowerBi};
    let folder = folder();
    let port = free_port();
    let _database = Database::start(folder.path(), port);
    let mut stage = Stage::on(true, Some(port), folder).await;
    stage.route(1, "east").await.unwrap();
    let mut setup = stage.until_log_in().await;
    stop::run(
        &mut setup,
        "CREATE TABLE postings (token text, account int, amount bigint); CREATE SCHEMA other;
         CREATE TABLE other.\"More Postings\" (account bigint, amount int); CREATE TABLE accounts (account int);
         INSERT INTO postings VALUES ('a', 1, -5), ('a', 2, 5), ('b', 1, -7), ('b', 3, 7);
         INSERT INTO other.\"More Postings\" VALUES (3, 10)",
    )
    .await
    .unwrap();
    // Nothing is offered before it is said.
    let (status, why) = stage.no_report(FinancialReporting).await;
    assert!(status == 409 && why.contains("not available in region east under epoch 1"), "{status} {why}");

    assert_eq!(stage.order(1, 1, word(&Feature::ALL)).await.unwrap(), Answer::Done);
    let expected = [figures(1, 2, -12), figures(2, 1, 5), figures(3, 2, 17)];
    for feature in Feature::ALL {
        assert_eq!(stage.report(feature).await.unwrap().accounts, expected, "{feature}");
    }
    assert_eq!(stage.report_as("guessed", "power-bi").await.unwrap_err().status(), Some(401));
    assert_eq!(stage.report_as(&key().secret, "financial-reporting").await.unwrap_err().status(), Some(401));
    assert_eq!(stage.report_as(&reader().secret, "gossip").await.unwrap_err().status(), Some(404));
    // What is written is in the one at once, and in the other's copy soon.
    stop::run(&mut setup, "INSERT INTO postings VALUES ('c', 2, 1), ('c', 1, -1)").await.unwrap();
    let fresh = stage.report(FinancialReporting).await.unwrap();
    assert_eq!(fresh.accounts[0], figures(1, 3, -13));
    poll::until("the copy to be made anew", Duration::from_secs(10), Duration::from_millis(100), || async {
        let copy = stage.report(PowerBi).await.map_err(|error| error.to_string())?;
        if copy.accounts == fresh.accounts && copy.age_ms < 5_000 { Ok(()) } else { Err(format!("{copy:?}")) }
    })
    .await
    .unwrap();
    let copy = stage.compute.data.join("reporting/sales.json");
    assert!(copy.exists());

    // A later word takes away what an earlier one gave, outlives the process, and is not undone by one that comes late.
    assert_eq!(stage.order(5, 1, word(&[FinancialReporting])).await.unwrap(), Answer::Done);
    assert_eq!(stage.order(1, 1, word(&Feature::ALL)).await.unwrap_err().status(), Some(409));
    assert!(!copy.exists());
    stage.restart().await;
    stage.until_log_in().await;
    let (status, why) = stage.no_report(PowerBi).await;
    assert_eq!((status, why.as_str()), (409, "Power BI reporting is not available in the secondary"));
    assert_eq!(stage.report(FinancialReporting).await.unwrap().accounts, fresh.accounts);

    // Under a greater epoch nothing is offered until it is said again, and without a permit nothing is answered.
    locked(&stage.word).epoch = 2;
    stage.route(2, "east").await.unwrap();
    stage.until_log_in().await;
    let (status, why) = stage.no_report(FinancialReporting).await;
    assert!(status == 409 && why.contains("under epoch 2"), "{status} {why}");
    assert_eq!(stage.order(9, 1, word(&Feature::ALL)).await.unwrap_err().status(), Some(409));
    assert_eq!(stage.order(2, 2, word(&Feature::ALL)).await.unwrap(), Answer::Done);
    stage.report(PowerBi).await.unwrap();
    locked(&stage.word).grants = false;
    tokio::time::sleep(PERMIT + CUT).await;
    let error = stage.report(FinancialReporting).await.unwrap_err();
    assert!(matches!(error, HttpError::NoAnswer { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_is_not_taken_before_what_it_offers_can_be_made() {
    // The echo server is no database.
    let stage = Stage::open(true).await;
    stage.route(1, "east").await.unwrap();
    poll::until("a permit", Duration::from_secs(5), Duration::from_millis(20), || async {
        match stage.report(Feature::PowerBi).await {
            Err(HttpError::Refused { status: 409, .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let error = stage.order(1, 1, word(&[Feature::FinancialReporting])).await.unwrap_err();
    assert_eq!(error.status(), Some(500), "{error}");
    let (status, why) = stage.no_report(Feature::FinancialReporting).await;
    assert!(status == 409 && why.contains("nothing offers it here yet"), "{status} {why}");
    // One that offers nothing needs nothing.
    assert_eq!(stage.order(1, 1, word(&[])).await.unwrap(), Answer::Done);
    let (_, why) = stage.no_report(Feature::FinancialReporting).await;
    assert!(why.contains("not available in the secondary"), "{why}");
}
