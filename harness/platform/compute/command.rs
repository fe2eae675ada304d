//! Control's commands to the compute: stop, resume, renew, provide, forget.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use tokio::time::timeout;

use super::{doors::DoorsError, holder::Holder, reports};
use crate::{
    api::{
        EnvironmentId, Epoch,
        compute::{Action, Command},
        node::Answer,
    },
    clients::http::Http,
    platform::actor::{
        internal::Refused,
        lease::Grantor,
        renewal::{Heard, ask},
    },
};

/// How long connections may take to be gone once they are cut, and the store to answer what it has already got.
const CUT_WITHIN: Duration = Duration::from_secs(3);

/// `POST /internal/command`.
pub async fn command(State(holder): State<Arc<Holder>>, Json(command): Json<Command>) -> Result<Json<Answer>, Refused> {
    let Command { operation, environment, epoch, action } = command;
    // A task of its own: a sender that gives up may not leave a stop half done.
    let done = tokio::spawn(async move {
        let seen = holder.epoch(&environment);
        if epoch < seen {
            return Err(Refused::conflict(format!("epoch {epoch} is over: epoch {seen} has been seen")));
        }
        let what = format!("{action:?}");
        let answer = match action {
            Action::Stop { drain_ms } => {
                stop(&holder, &environment, epoch, operation, Duration::from_millis(drain_ms)).await
            }
            Action::Resume => {
                holder.doors.resume(&environment, epoch, operation).map(|()| Answer::Done).map_err(refused)
            }
            Action::Renew => renew(&holder).await,
            Action::Forget => forget(&holder, &environment, epoch).await,
            Action::Provide(provision) => reports::provide(&holder, &environment, epoch, operation, provision).await,
        };
        tracing::info!(operation, %environment, epoch = epoch.0, what, ?answer, "commanded");
        answer
    });
    done.await.unwrap_or_else(|error| Err(Refused::failed(format!("the command broke: {error}")))).map(Json)
}

async fn stop(
    holder: &Holder,
    environment: &EnvironmentId,
    epoch: Epoch,
    operation: u64,
    drain: Duration,
) -> Result<Answer, Refused> {
    let doors = &holder.doors;
    doors.stop(environment, epoch, operation).map_err(refused)?;
    if timeout(drain, doors.emptied(environment)).await.is_err() {
        doors.cut(environment);
        if timeout(CUT_WITHIN, doors.emptied(environment)).await.is_err() {
            let inside = doors.inside(environment);
            return Err(Refused::failed(format!("{inside} connections are not gone {CUT_WITHIN:?} after their cut")));
        }
    }
    let account = holder.accounts.of(environment).map_err(|error| Refused::failed(format!("the account: {error}")))?;
    // What is new is pushed without being gathered.
    account.appended.notify_one();
    Ok(Answer::Sealed { account: account.last(), cut: doors.cut_count(environment) })
}

/// Of an environment that is deleted. The epoch first: whatever is late of it is refused from then on.
async fn forget(holder: &Holder, environment: &EnvironmentId, epoch: Epoch) -> Result<Answer, Refused> {
    let failed = |error: std::io::Error| Refused::failed(format!("what is kept of {environment}: {error}"));
    holder.raise(environment, epoch).map_err(failed)?;
    holder.reports.forget(environment).map_err(failed)?;
    if let Some(account) = holder.accounts.known(environment) {
        account.clear().await.map_err(failed)?;
    }
    Ok(Answer::Done)
}

/// Asks both grantors now. Control's word decides: the other region's node may be what was lost.
async fn renew(holder: &Arc<Holder>) -> Result<Answer, Refused> {
    let config = &holder.config;
    let within = Duration::from_millis(config.timers.permit_ms);
    let http = |address| Http::at(address, config.internal_token.clone());
    let control = http(&config.control);
    let mut heard = ask(&**holder, Grantor::Control, &control, within).await;
    for (grantor, address) in Grantor::peers(&config.peer_nodes) {
        let (theirs, peer) = (Arc::clone(holder), http(address));
        tokio::spawn(async move { ask(&*theirs, grantor, &peer, within).await });
    }
    if heard == Some(Heard::News) {
        heard = ask(&**holder, Grantor::Control, &control, within).await;
    }
    match heard {
        Some(_) => Ok(Answer::Done),
        None => Err(Refused::failed("control has not answered the request for permits")),
    }
}

fn refused(error: DoorsError) -> Refused {
    match error {
        DoorsError::Late(_) => Refused::conflict(error.to_string()),
        DoorsError::Io(_) => Refused::failed(error.to_string()),
    }
}
