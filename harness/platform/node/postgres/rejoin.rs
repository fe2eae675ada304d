//! An old primary becomes the standby of the live side: as it is, rewound, or built anew.

use std::{fs, io, path::Path, time::Duration};

use super::{Cluster, Place, PostgresError, cluster::Start, create::MAKE_WITHIN, helper, log::lsn_text};
use crate::{clients::poll, os::spawn};

/// How long a rewind may take.
const REWIND_WITHIN: Duration = Duration::from_secs(300);
/// How long a receiver may take to stream: longer than it takes to try again some times.
const STREAM_WITHIN: Duration = Duration::from_secs(15);
/// How often the replay is looked at.
const PERIOD: Duration = Duration::from_millis(10);

impl Cluster {
    /// Takes the stopped cluster back to where the live side forked from it, and gives it the live side's changes since.
    ///
    /// # Errors
    /// [`PostgresError`]; the folder may then be half changed, and must be built anew.
    pub async fn rewind(&self) -> Result<(), PostgresError> {
        let place = &self.place;
        self.write_passfile()?;
        // A cluster that was killed is recovered by a single-user server first, which refuses to be a standby.
        remove(&place.data.join("standby.signal"))?;
        let source = place.source().ok_or(PostgresError::NoSlot(place.spec.slot))?;
        let mut command = spawn::command(place.programs.join("pg_rewind"), &place.home);
        // Not flushed, as a base backup is not: it can be made again from the live side.
        command.arg("--no-sync").arg("--source-server").arg(format!("{source} dbname=postgres"));
        command.arg("--target-pgdata").arg(&place.data);
        helper::run(place, "pg_rewind", command, REWIND_WITHIN).await
    }

    /// Builds the stopped cluster anew from the live side. What was there stays until the new folder is whole.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn rebuild(&self) -> Result<(), PostgresError> {
        let data = &self.place.data;
        let fresh = self.fresh_folder()?;
        self.base_backup(&fresh).await?;
        let old = data.with_extension("old");
        remove(&old)?;
        match fs::rename(data, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs::rename(&fresh, data)?;
        remove(&old)?;
        Ok(())
    }

    /// Whether its receiver streams; false if it cannot be asked.
    pub async fn streams(&self) -> bool {
        let Ok(mut session) = self.session().await else { return false };
        let streams = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";
        matches!(session.one("look at the receiver", streams).await, Ok((true,)))
    }

    /// Starts it as the standby; done when it streams and has replayed to `lsn`.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn follow(&mut self, lsn: u64, within: Duration) -> Result<(), PostgresError> {
        self.start(Start::Standby).await?;
        let place = self.place.clone();
        let streaming = || async { if self.streams().await { Ok(()) } else { Err(hint(&place)) } };
        poll::until("the receiver to stream", within.min(STREAM_WITHIN), PERIOD, streaming).await?;
        poll::until(format!("the receiver to stream past {}", lsn_text(lsn)), within, PERIOD, || async {
            let mut session = self.session().await.map_err(|error| error.to_string())?;
            let (streams, replayed): (bool, i64) = session
                .one(
                    "look at the receiver",
                    "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
                            pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint",
                )
                .await
                .map_err(|error| error.to_string())?;
            let replayed = u64::try_from(replayed).unwrap_or(0);
            match streams {
                true if replayed >= lsn => Ok(()),
                true => Err(format!("it streams and has replayed to {}", lsn_text(replayed))),
                false => Err(hint(&place)),
            }
        })
        .await?;
        // The slot by which the other region streamed from here would keep log for ever.
        let mut session = self.session().await?;
        let drop_slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active";
        session.run("drop the slots of a primary", drop_slots.to_owned()).await
    }
}

fn hint(place: &Place) -> String {
    format!("it does not stream; see {}", place.log.display())
}

/// Copies a folder with all that is in it, as the service user.
///
/// # Errors
/// The program's.
pub async fn copy(place: &Place, from: &Path, to: &Path) -> Result<(), PostgresError> {
    let mut command = spawn::command("cp", &place.home);
    command.args(["-a", "--reflink=auto", "--"]).arg(from).arg(to);
    helper::run(place, "cp", command, MAKE_WITHIN).await
}

/// Removes a file or a folder with all that is in it; that there is none is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
