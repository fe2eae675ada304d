//! Asks for every feature as a customer does: at the environment's own door, once a second while the load runs, and once more when
//! the last write has been answered. What is promised where is the verdict's business; nothing is asked twice for one answer.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::recorder::Recorder;
use crate::{
    api::{
        environment::Endpoints,
        reports::{Feature, PATH, Report},
    },
    clients::http::{Http, HttpError},
    model::{event::What, feature::FeatureAnswer, operation::EnvironmentIndex, plan::Plan},
};

/// Between two questions for one feature.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(3);
/// The platform's word for what is not available here.
const UNAVAILABLE: u16 = 409;

/// Asks until it is dropped. Where there are no features nothing is asked.
pub(super) async fn follow(plan: Arc<Plan>, endpoints: Arc<Vec<Endpoints>>, recorder: Recorder) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        ask_all(&plan, &endpoints, &recorder).await;
    }
}

/// Asks for every feature of every environment once.
pub(super) async fn ask_all(plan: &Plan, endpoints: &[Endpoints], recorder: &Recorder) {
    let environments = plan.environments.iter().zip(endpoints).zip(0..).map(|((environment, endpoints), index)| {
        let features = environment.kind.features().iter();
        features.map(move |feature| ask(EnvironmentIndex(index), *feature, endpoints, recorder))
    });
    join_all(environments.flatten()).await;
}

async fn ask(environment: EnvironmentIndex, feature: Feature, endpoints: &Endpoints, recorder: &Recorder) {
    let door = Http::local(endpoints.files_ro_port, endpoints.reader.secret.clone());
    let asked = recorder.clock().now();
    let answer = match door.get::<Report>(&format!("{PATH}{}", feature.as_str()), WITHIN).await {
        Ok(report) => FeatureAnswer::Given(report),
        Err(HttpError::Refused { status: UNAVAILABLE, why, .. }) => FeatureAnswer::Unavailable(why),
        Err(error) => FeatureAnswer::Unanswered(error.to_string()),
    };
    recorder.say(What::FeatureAsked { environment, feature, asked, answer });
}
