//! A customer's question, answered by the word that holds under the epoch of the customer's route.

use bytes::Bytes;
use hyper::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::{
    figures,
    words::{Word, age_ms},
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        control::Refusal,
        reports::{Feature, PATH, Report},
        sabotage::Sabotage,
    },
    platform::{
        actor::locked,
        compute::{holder::Holder, own::closing},
    },
};

/// The name of what is asked for, if the question is one for reports.
pub fn asked_for(uri: &Uri) -> Option<&str> {
    uri.path().strip_prefix(PATH)
}

/// Answers a question.
pub async fn respond(
    holder: &Holder,
    environment: &EnvironmentId,
    epoch: Epoch,
    (method, name, headers): (&Method, &str, &HeaderMap),
) -> Response<Bytes> {
    match report(holder, environment, epoch, (method, name, headers)).await {
        Ok(report) => json(StatusCode::OK, &report),
        Err((status, error)) => {
            tracing::debug!(%environment, name, %status, error, "no report");
            json(status, &Refusal { error })
        }
    }
}

type No = (StatusCode, String);

async fn report(
    holder: &Holder,
    environment: &EnvironmentId,
    epoch: Epoch,
    (method, name, headers): (&Method, &str, &HeaderMap),
) -> Result<Report, No> {
    let feature = Feature::ALL.into_iter().find(|feature| feature.as_str() == name);
    let feature = feature.ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no report `{name}`")))?;
    if *method != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "reports are read with GET".to_owned()));
    }
    let region = &holder.config.region;
    let word = holder.reports.word(environment);
    let unsaid =
        || format!("{feature} is not available in region {region} under epoch {epoch}: nothing offers it here yet");
    let word = word.ok_or_else(|| (StatusCode::CONFLICT, unsaid()))?;
    if bearer(headers) != Some(word.provision.reader.secret.as_str()) {
        return Err((StatusCode::UNAUTHORIZED, "ask with the reader's secret as bearer".to_owned()));
    }
    let sabotage = holder.config.sabotage;
    if sabotage != Some(Sabotage::FeaturesInSecondary) {
        if word.epoch != epoch {
            return Err((StatusCode::CONFLICT, unsaid()));
        }
        if let Some(why) = word.why_not(feature) {
            return Err((StatusCode::CONFLICT, why));
        }
    }
    let failed = |why: String| (StatusCode::INTERNAL_SERVER_ERROR, format!("{feature}: {why}"));
    if feature == Feature::PowerBi && word.why_not(feature).is_none() {
        return holder.reports.read_copy(environment).map_err(failed);
    }
    financial(holder, environment, epoch, &word).await.map_err(failed)
}

async fn financial(holder: &Holder, environment: &EnvironmentId, epoch: Epoch, word: &Word) -> Result<Report, String> {
    let keeps = holder.reports.keeps(holder.config.sabotage, epoch, word);
    let kept = || locked(&holder.reports.kept).get(environment).cloned();
    if let Some(accounts) = kept().filter(|_| keeps) {
        return Ok(Report { age_ms: 0, accounts });
    }
    let (begun, accounts) = figures::compute(holder, environment, epoch, word).await?;
    if keeps {
        locked(&holder.reports.kept).insert(environment.clone(), accounts.clone());
    }
    Ok(Report { age_ms: age_ms(begun), accounts })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let (status, body) = match serde_json::to_vec(body) {
        Ok(body) => (status, Bytes::from(body)),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
    };
    closing(status, "application/json", body)
}
