//! The role as a whole, from its configuration to its end.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    calls::Calls,
    driver::Driver,
    error::ControlError,
    first,
    http::{Desk, router},
    inbox::{Clock, Full, Inbox, QUEUE},
    outbox::Outbox,
    scribe::Scribe,
};
use crate::{
    api::{Region, role::ControlConfig},
    platform::{
        core::{Core, Settings, Step},
        journal::{Delivery, Journal, Opened},
    },
};

/// How long the last decisions may take to be written at the end.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Runs a control plane until SIGTERM or SIGINT.
///
/// # Errors
/// [`ControlError`], when it cannot start or must not go on.
pub async fn run(config: ControlConfig) -> Result<(), ControlError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run_until(config, told).await
}

/// Runs a control plane until `told` is over. Dropped, it ends at once, as if killed.
///
/// # Errors
/// [`ControlError`], when it cannot start or must not go on.
pub async fn run_until(config: ControlConfig, told: impl Future<Output = ()>) -> Result<(), ControlError> {
    let settings = settings(&config)?;
    let regions: Arc<[Region]> = settings.regions.clone().into();
    let Opened { journal, records, age_ms } = Journal::open(&config.data).await?;
    // Only now: whoever held the journal before has ended, and with it all permits it could still give.
    let clock = Clock::start();
    let core = Core::recover(settings, &records);
    let owed = owed(&journal, &core).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| ControlError::Listen { address: config.listen, source })?;

    let journal = Arc::new(journal);
    let full = Full::default();
    let (inbox, messages) = Inbox::new(full.clone());
    let (to_scribe, batches) = mpsc::channel(QUEUE);
    let (changes, news) = watch::channel(0);
    let (stop, stopped) = oneshot::channel();
    let calls = Arc::new(Calls::new(&config));
    let scribe = Scribe {
        journal: Arc::clone(&journal),
        calls: Arc::clone(&calls),
        outbox: Arc::new(Outbox::new(Arc::clone(&journal), inbox.clone(), config.sabotage)),
        inbox: inbox.clone(),
        changes,
        full,
        sabotage: config.sabotage,
    };
    let webhook_hosts = Arc::new(config.webhook_hosts.clone());
    // Ends with this set, however this function ends.
    let mut first = JoinSet::new();
    first.spawn(first::deploy(config.deploy_first.clone(), inbox.clone(), Arc::clone(&regions)));
    let desk = Desk { inbox, journal, calls, changes: news, regions, webhook_hosts };
    let router = router(desk, &config.api_token, &config.internal_token);
    let driver = Driver::new(core, clock, to_scribe);

    let mut deciding: JoinSet<Result<(), ControlError>> = JoinSet::new();
    deciding.spawn(async move { Ok(scribe.work(batches, owed).await?) });
    deciding.spawn(async move {
        driver.drive(age_ms, messages, stopped).await;
        Ok(())
    });
    let serving = async move { axum::serve(listener, router).await };
    tracing::info!(listen = %config.listen, records = records.len(), "control plane is up");
    tokio::select! {
        () = told => {}
        served = serving => return Err(served.map_or_else(ControlError::System, |()| ControlError::Task("the server"))),
        ended = deciding.join_next() => {
            return match ended {
                Some(Ok(Err(error))) => Err(error),
                _ => Err(ControlError::Task("the driver or the scribe")),
            };
        }
    }
    // The driver may have ended by itself just now; then there is nothing to stop.
    let _ = stop.send(());
    let last = async {
        while let Some(ended) = deciding.join_next().await {
            ended.unwrap_or(Err(ControlError::Task("the driver or the scribe")))?;
        }
        Ok(())
    };
    timeout(LAST_WRITES, last).await.unwrap_or(Ok(()))
}

fn settings(config: &ControlConfig) -> Result<Settings, ControlError> {
    let regions: Vec<Region> = config.nodes.keys().cloned().collect();
    let count = regions.len();
    let regions = <[Region; 2]>::try_from(regions)
        .map_err(|_| ControlError::Config(format!("two regions are needed, `nodes` has {count}")))?;
    let mut counts = config.nodes.values().chain(config.computes.values()).map(Vec::len);
    let zones = counts.next().filter(|first| counts.all(|count| count == *first));
    let zones = zones.and_then(|zones| u8::try_from(zones).ok()).filter(|zones| *zones > 0);
    let zones = zones.ok_or_else(|| {
        ControlError::Config(
            "`nodes` and `computes` must have one entry for each zone, as many in both regions".to_owned(),
        )
    })?;
    let (doors, timers, policy) = (config.doors.clone(), config.timers.clone(), config.policy.clone());
    Ok(Settings { regions, zones, doors, timers, policy, sabotage: config.sabotage })
}

/// Deliveries that an earlier process owed, but for those that the core will ask for itself.
async fn owed(journal: &Journal, core: &Core) -> Result<Vec<Delivery>, ControlError> {
    let asked: Vec<u64> = (core.state().environments.values())
        .filter_map(|environment| match environment.task.as_ref()?.step {
            Step::Notifying { notice } => Some(notice),
            _ => None,
        })
        .collect();
    let mut owed = journal.owed(None).await?;
    owed.retain(|delivery| !asked.contains(&delivery.notice));
    Ok(owed)
}
