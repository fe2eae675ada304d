//! An old primary comes back: first what it is and what only it has is kept, then it follows the live side.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use super::{
    commands::{CommandError, known},
    evidence::{Evidence, ROWS, Secured},
    files,
    postgres::{
        Access, Cluster, ControlData, Place, PostgresError, Scratch, Source, copy, end_left, lsn_text, newest_timeline,
        past, shutdown_end,
    },
    shared::Node,
    state::{Record, Returning, Role},
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        node::{Answer, Fork, Rejoin},
        sabotage::Sabotage,
    },
    os,
};

/// How long a standby that is built anew may take to have what the live side had.
const FOLLOW_WITHIN: Duration = Duration::from_secs(60);

/// Keeps what the old primary is, and itemises what exists there alone. Nothing is started but a copy.
pub async fn secure(
    node: &Node,
    environment: &EnvironmentId,
    epoch: Epoch,
    fork: Fork,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let evidence = Evidence::of(&node.config.data, environment, epoch);
    let kept = kept(&evidence, fork)?;
    let record = node.durable.record(environment);
    if let (Some(kept), true) = (kept, has_come_back(&record, epoch)) {
        return Ok(kept.answer());
    }
    is_old_primary(&record)?;
    cluster.adopt();
    if cluster.is_running() {
        lock_out(&mut cluster).await;
        cluster.stop().await?;
    }
    if let Some(kept) = kept {
        return Ok(kept.answer());
    }
    end_left(&cluster.place).await?;
    let folder = evidence.begin()?;
    let mut secured = secure_log(&cluster, &folder, fork).await?;
    secured.objects = files::secure(node, environment, &folder).await?;
    blocking(move || evidence.complete(&secured)).await?;
    let Secured { diverged, rows, objects, .. } = secured;
    tracing::info!(%environment, fork = %lsn_text(fork.lsn), diverged, rows, objects, "secured");
    Ok(secured.answer())
}

/// Locks clients out. That it fails keeps no stop from ending their sessions; the rules are on the disk in any case.
async fn lock_out(cluster: &mut Cluster) {
    if let Err(error) = cluster.let_in(Access::Fenced).await {
        tracing::warn!(environment = %cluster.place.environment, %error, "cannot lock clients out before the stop");
    }
}

/// The stopped cluster's part.
async fn secure_log(cluster: &Cluster, folder: &Path, fork: Fork) -> Result<Secured, CommandError> {
    let place = &cluster.place;
    let data = folder.join("data");
    copy(place, &place.data, &data).await?;
    let control = ControlData::read(place, &data).await?;
    os::files::write_private(&folder.join("control-data.txt"), control.text.as_bytes())?;
    let timeline = newest_timeline(&data)?;
    if timeline >= fork.timeline {
        let why =
            format!("it has log of timeline {timeline}, which is not older than the live side's {}", fork.timeline);
        return Err(CommandError::NotNow(why));
    }
    let past = past(place, &data, timeline, fork.lsn).await?;
    let ends_before = match control.is_clean() {
        true => shutdown_end(place, &data, &control).await? <= fork.lsn,
        false => false,
    };
    let mut rows =
        BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(ROWS))?);
    let mut count = 0;
    if !past.committed.is_empty() {
        let scratch = Scratch::start(place, &data).await?;
        let mut keeps = true;
        let write = |row: &str| {
            keeps = !keeps || place.sabotage != Some(Sabotage::SalvageForgets);
            if keeps { writeln!(rows, "{row}") } else { Ok(()) }
        };
        let read = scratch.rows(&salvaged(place, &past.committed), write).await;
        scratch.end().await?;
        count = read?;
    }
    rows.into_inner().map_err(|error| error.into_error())?.sync_data()?;
    let diverged = past.records > 0;
    Ok(Secured { fork, diverged, follows: ends_before && !diverged, rows: count, objects: 0 })
}

/// The transactions whose rows are salvaged: those that committed past the fork.
fn salvaged(place: &Place, committed: &[u32]) -> Vec<u32> {
    let first = committed.iter().min().copied().unwrap_or_default();
    let invented = if place.sabotage == Some(Sabotage::SalvageInvents) { 20 } else { 0 };
    (first.saturating_sub(invented)..first).chain(committed.iter().copied()).collect()
}

/// Makes the old primary the standby of the live side; done when it streams and has what the live side had.
pub async fn rejoin(
    node: &Node,
    environment: &EnvironmentId,
    epoch: Epoch,
    fork: Fork,
) -> Result<Answer, CommandError> {
    let supervised = known(node, environment)?;
    let mut cluster = supervised.cluster.lock().await;
    let record = node.durable.record(environment);
    let back = has_come_back(&record, epoch);
    if !back {
        is_old_primary(&record)?;
    }
    let secured = kept(&Evidence::of(&node.config.data, environment, epoch), fork)?
        .ok_or_else(|| CommandError::NotNow("it has not been secured yet".to_owned()))?;
    cluster.adopt();
    end_left(&cluster.place).await?;
    cluster.place.follows = record.followed(&node.config.region, &node.config.peer);
    let place = cluster.place.clone();
    // Before anything is changed: while the live side cannot be reached there is nothing to come back to.
    let mut source = Source::open(&place, Some(fork.timeline)).await?;
    let how = match record.returning.and_then(|returning| returning.how).filter(|_| back && place.exists()) {
        Some(how) => how,
        None => {
            cluster.stop().await?;
            let spoilt = record.returning.is_some_and(|returning| returning.epoch == epoch && returning.spoilt);
            let how = prepare(node, environment, epoch, &cluster, &mut source, secured, spoilt).await?;
            node.durable.change(environment, |record| become_standby(record, epoch, how))?;
            how
        }
    };
    let lsn = source.position().await?;
    let how = match cluster.follow(lsn, FOLLOW_WITHIN).await {
        Ok(()) => how,
        Err(error) if how != Rejoin::Rebuilt && !cluster.streams().await => {
            tracing::warn!(%environment, %error, ?how, "it does not follow; built anew");
            // Not for want of the live side.
            let mut source = Source::open(&place, Some(fork.timeline)).await?;
            cluster.stop().await?;
            source.free_slot(&place).await?;
            cluster.rebuild().await?;
            node.durable.change(environment, |record| become_standby(record, epoch, Rejoin::Rebuilt))?;
            cluster.follow(source.position().await?, FOLLOW_WITHIN).await?;
            Rejoin::Rebuilt
        }
        Err(error) => return Err(error.into()),
    };
    drop(cluster);
    supervised.wake.notify_one();
    tracing::info!(%environment, epoch = epoch.0, ?how, "rejoined");
    Ok(Answer::Rejoined(how))
}

/// Makes the stopped folder one that can follow.
async fn prepare(
    node: &Node,
    environment: &EnvironmentId,
    epoch: Epoch,
    cluster: &Cluster,
    source: &mut Source,
    secured: Secured,
    spoilt: bool,
) -> Result<Rejoin, CommandError> {
    source.free_slot(&cluster.place).await?;
    let whole = cluster.place.exists() && !spoilt;
    if whole && secured.follows {
        return Ok(Rejoin::Followed);
    }
    if whole {
        source.checkpoint().await?;
        // From here on the folder is neither what it was nor what it shall be.
        node.durable.change(environment, |record| {
            record.returning = Some(Returning { epoch, spoilt: true, how: None });
        })?;
        match cluster.rewind().await {
            Ok(()) => return Ok(Rejoin::Rewound),
            Err(error) => tracing::warn!(%environment, %error, "it cannot be rewound; built anew"),
        }
    }
    cluster.rebuild().await?;
    Ok(Rejoin::Rebuilt)
}

/// What a standby is not: handed over, or one that knows which rows lack their object.
fn become_standby(record: &mut Record, epoch: Epoch, how: Rejoin) {
    record.role = Role::Standby;
    record.handing = None;
    record.marks.clear();
    record.returning = Some(Returning { epoch, spoilt: false, how: Some(how) });
}

fn has_come_back(record: &Record, epoch: Epoch) -> bool {
    record.role == Role::Standby && record.returning.is_some_and(|returning| returning.epoch == epoch)
}

fn is_old_primary(record: &Record) -> Result<(), CommandError> {
    match record.role {
        Role::Primary(_) if record.owned().is_none() => Ok(()),
        Role::Primary(_) => Err(CommandError::NotNow("the primary here is the owner".to_owned())),
        Role::Standby | Role::None => Err(CommandError::NotNow("there is no old primary here".to_owned())),
    }
}

/// The evidence, if it is whole; it must be of the same fork.
fn kept(evidence: &Evidence, fork: Fork) -> Result<Option<Secured>, CommandError> {
    match evidence.secured()? {
        Some(kept) if kept.fork != fork => {
            Err(CommandError::NotNow(format!("it was secured for the fork at {}", lsn_text(kept.fork.lsn))))
        }
        kept => Ok(kept),
    }
}

async fn blocking(act: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), CommandError> {
    let done = tokio::task::spawn_blocking(act).await;
    Ok(done.map_err(|error| PostgresError::State(error.to_string()))??)
}
