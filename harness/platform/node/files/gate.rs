//! The gate of a planned switch: the other region has every entry of the running account up to the sealed number.

use std::time::{Duration, Instant};

use super::checker::Account;
use crate::{
    api::{EnvironmentId, node::Answer},
    platform::{
        actor::locked,
        node::{commands::CommandError, shared::Node},
    },
};

/// Drives and waits until `sealed` is verified; [`Answer::Unmet`] after `within`. What it costs grows with what is in
/// flight, never with the bucket.
///
/// # Errors
/// [`CommandError`] where there is no such environment.
pub async fn await_files(
    node: &Node,
    environment: &EnvironmentId,
    sealed: u64,
    within: Duration,
) -> Result<Answer, CommandError> {
    let account = node.files.account(environment);
    let hurry = Hurry::begin(&account);
    let mut progress = account.progress.subscribe();
    let verified = progress.wait_for(|()| {
        let ledger = locked(&account.ledger);
        // An account that was never pushed is whole where nothing was sealed.
        ledger.verified() >= sealed && (ledger.next() > sealed || sealed == 0)
    });
    let met = tokio::time::timeout(within, verified).await.is_ok();
    drop(hurry);
    if met {
        return Ok(Answer::Done);
    }
    let ledger = locked(&account.ledger);
    let (_, age) = ledger.pending(Instant::now());
    let why = match ledger.oldest() {
        Some(oldest) => format!(
            "the other region's store lacks {} of {sealed} entries of the running account, the oldest of {age:.1?}: {} {}; {}",
            sealed.saturating_sub(ledger.verified()),
            oldest.object_key,
            oldest.version_id,
            account.last_word(),
        ),
        None => format!("the compute has sealed entry {sealed} and pushed {}", ledger.next().saturating_sub(1)),
    };
    Ok(Answer::Unmet { why })
}

/// While it lives, entries are looked at as soon as they come.
struct Hurry<'a>(&'a Account);

impl<'a> Hurry<'a> {
    fn begin(account: &'a Account) -> Self {
        locked(&account.ledger).hurry(true, Instant::now());
        account.wake.notify_one();
        Self(account)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        locked(&self.0.ledger).hurry(false, Instant::now());
    }
}
