//! Deployment of a run's environments, each production one first without the licence that it needs.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::recorder::Recorder;
use crate::{
    api::{
        Region,
        environment::{Endpoints, EnvironmentKind},
    },
    model::{
        event::{UnlicensedAnswer, What},
        operation::EnvironmentIndex,
        plan::{EnvironmentPlan, Plan},
    },
    plane::{Deployed, Plane, PlaneError},
};

/// Longest wait for a deployment.
const DEPLOY: Duration = Duration::from_secs(60);

/// Where an environment is reached, and the seconds from the order that was taken to the answer that it is done.
pub(super) type Reached = (Endpoints, f64);

/// Deploys all environments into the primary region.
pub(super) async fn all(plan: &Plan, plane: &dyn Plane, recorder: &Recorder) -> Result<Vec<Reached>, PlaneError> {
    let primary = &plan.regions.primary;
    let mut early = Vec::new();
    for (environment, index) in plan.environments.iter().zip(0..) {
        early.push(match environment.kind.has_replica() {
            true => unlicensed(plan, environment, EnvironmentIndex(index), plane, recorder).await?,
            false => None,
        });
    }
    plane.license(&kinds(plan)).await?;
    let deploy = |(environment, early): (_, Option<Reached>)| async move {
        match early {
            Some(reached) => Ok(reached),
            None => one(environment, primary, plane).await,
        }
    };
    try_join_all(plan.environments.iter().zip(early).map(deploy)).await
}

fn kinds(plan: &Plan) -> Vec<EnvironmentKind> {
    plan.environments.iter().map(|environment| environment.kind).collect()
}

async fn one(environment: &EnvironmentPlan, region: &Region, plane: &dyn Plane) -> Result<Reached, PlaneError> {
    let ordered = Instant::now();
    let Deployed { endpoints, .. } = plane.deploy(&environment.id, environment.kind, region, DEPLOY).await?;
    Ok((endpoints, ordered.elapsed().as_secs_f64()))
}

/// Orders a deployment while the tenant is licensed for everything else. It should be refused; a platform that does it all the same
/// has deployed the environment.
async fn unlicensed(
    plan: &Plan,
    environment: &EnvironmentPlan,
    index: EnvironmentIndex,
    plane: &dyn Plane,
    recorder: &Recorder,
) -> Result<Option<Reached>, PlaneError> {
    let lacking = environment.kind.product();
    let others: Vec<_> = kinds(plan).into_iter().filter(|kind| kind.product() != lacking).collect();
    plane.license(&others).await?;
    let (answer, reached) = match one(environment, &plan.regions.primary, plane).await {
        Ok(reached) => (UnlicensedAnswer::Deployed, Some(reached)),
        Err(PlaneError::Refused(why)) => (UnlicensedAnswer::Refused(why), None),
        Err(error) => (UnlicensedAnswer::Unknown(error.to_string()), None),
    };
    recorder.say(What::OrderedUnlicensed { environment: index, answer });
    Ok(reached)
}
