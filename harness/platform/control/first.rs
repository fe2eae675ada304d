//! What is deployed by the control plane itself when it starts with an empty journal, so that a stack that somebody has just
//! brought up has something to show. Each deployment is an order like an operator's, with its licence.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    credentials,
    inbox::{Inbox, Order},
};
use crate::{
    api::{
        Region,
        control::{Deploy, Tenant},
    },
    platform::core::Refused,
};

/// Between two looks whether everybody is there.
const LOOK: Duration = Duration::from_millis(200);

/// Deploys these as soon as both regions and the edge have been heard, unless there is, or was, an environment already.
pub(super) async fn deploy(first: Vec<Deploy>, inbox: Inbox, regions: Arc<[Region]>) {
    if first.is_empty() {
        return;
    }
    let all = regions.len();
    loop {
        let look = move |core: &crate::platform::core::Core, now_ms| {
            let state = core.state();
            // One that was deleted has been there as well.
            let is_first = state.environments.is_empty() && state.retired.is_empty();
            (!is_first, core.regions_ready(now_ms).len() == all && core.edge_ready(now_ms))
        };
        match inbox.look(look).await {
            Ok((true, _)) => return,
            Ok((false, true)) => break,
            Ok((false, false)) | Err(_) => sleep(LOOK).await,
        }
    }
    for order in first {
        let id = order.id.clone();
        match order_one(order, &inbox, &regions).await {
            Ok(()) => tracing::info!(environment = %id, "deployment ordered at the first start"),
            Err(why) => tracing::error!(environment = %id, %why, "not deployed at the first start"),
        }
    }
}

async fn order_one(order: Deploy, inbox: &Inbox, regions: &[Region]) -> Result<(), String> {
    let said = |refused: Refused| refused.why;
    let tenant = Tenant { licences: vec![order.kind.product()] };
    let licence = Order::Tenant { name: order.tenant.clone(), tenant };
    let credentials = Box::new(credentials::make(regions));
    for order in [licence, Order::Deploy { order, credentials }] {
        inbox.order(order).await.map_err(|error| error.to_string())?.map_err(said)?;
    }
    Ok(())
}
