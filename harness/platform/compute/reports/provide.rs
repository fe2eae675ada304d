//! Taking a word on features: what it offers is made out of this region's SQL before it is taken.

use super::{
    figures,
    words::{Word, WordError},
};
use crate::{
    api::{EnvironmentId, Epoch, compute::Provision, node::Answer, reports::Feature},
    platform::{actor::internal::Refused, compute::holder::Holder},
};

/// Takes a word.
///
/// # Errors
/// A later word stands, or what it offers cannot be made.
pub async fn provide(
    holder: &Holder,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
    provision: Provision,
) -> Result<Answer, Refused> {
    let word = Word { epoch, operation, provision };
    let reports = &holder.reports;
    reports.check(environment, &word).map_err(refused)?;
    let has_copy = word.why_not(Feature::PowerBi).is_none();
    if has_copy || word.why_not(Feature::FinancialReporting).is_none() {
        let (begun, figures) = figures::compute(holder, environment, epoch, &word).await.map_err(Refused::failed)?;
        tracing::info!(%environment, epoch = epoch.0, accounts = figures.len(), "figures are made");
        if has_copy {
            let is_current = || holder.epoch(environment) <= epoch;
            reports.keep_copy(environment, begun, &figures, is_current).map_err(Refused::failed)?;
        }
    }
    if !has_copy {
        reports.remove_copy(environment).map_err(|error| Refused::failed(error.to_string()))?;
    }
    reports.take(environment, word).map_err(refused)?;
    Ok(Answer::Done)
}

fn refused(error: WordError) -> Refused {
    match error {
        WordError::Late => Refused::conflict(error.to_string()),
        WordError::Io(_) => Refused::failed(error.to_string()),
    }
}
