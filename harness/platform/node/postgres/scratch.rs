//! A scratch copy of a stopped cluster, recovered to the end of its own log so that rows can be read from it. Nobody but
//! the node reaches it; it is gone when it has been read.

use std::{path::Path, time::Duration};

use super::{
    Place, PostgresError, Session,
    place::ident,
    process::{Listed, Postmaster},
    rejoin::{copy, remove},
    session::{literal, name},
    text::{scratch_hba, scratch_settings},
};
use crate::{clients::poll, os::files};

/// How long its recovery may take.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long one table may take to be read.
const TABLE_WITHIN: Duration = Duration::from_secs(300);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(10);

/// A running scratch copy.
pub struct Scratch {
    place: Place,
    postmaster: Postmaster,
}

impl Scratch {
    /// Copies the data folder `from`, and starts the copy. `place` is that of the cluster itself.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing is left behind.
    pub async fn start(place: &Place, from: &Path) -> Result<Self, PostgresError> {
        let port = place.ports.as_ref().ok_or(PostgresError::NoSlot(place.spec.slot))?.postgres;
        Self::clear(place).await?;
        let place = place.scratch();
        copy(&place, from, &place.data).await?;
        for left in ["standby.signal", "recovery.signal", "postmaster.pid", "postgresql.auto.conf"] {
            remove(&place.data.join(left))?;
        }
        for (file, text) in [
            ("postgresql.conf", scratch_settings(&place, port)),
            ("pg_hba.conf", scratch_hba()),
            ("pg_ident.conf", ident()),
        ] {
            files::write_private(&place.data.join(file), text.as_bytes())?;
        }
        let postmaster = Postmaster::start(&place, Listed::Scratch)?;
        let mut scratch = Self { place, postmaster };
        match scratch.ready().await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                scratch.end().await?;
                Err(error)
            }
        }
    }

    async fn ready(&mut self) -> Result<(), PostgresError> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            if !self.postmaster.is_running() {
                let log = self.place.log.display();
                return Err(PostgresError::State(format!("the scratch copy has ended; see {log}")));
            }
            match Session::open(&self.place, "postgres").await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(PERIOD).await,
            }
        }
    }

    /// Hands each row that one of the transactions inserted, or updated to what it is now, to `take`, as the JSON of an
    /// [`crate::api::control::SalvagedRow`]; returns how many. All ordinary tables are looked through: what a transaction
    /// did before the fork and committed after it is not to be found by what the log touches past the fork.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn rows(
        &self,
        committed: &[u32],
        mut take: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<u64, PostgresError> {
        let mut session = Session::open(&self.place, &self.place.spec.database).await?;
        let tables: Vec<(String, String)> = session.all("list the tables", TABLES.to_owned(), TABLE_WITHIN).await?;
        let ids: Vec<String> = committed.iter().map(u32::to_string).collect();
        let ids = ids.join(",");
        let mut count = 0;
        for (schema, table) in tables {
            // `ONLY`: a table that others inherit from would tell their rows twice. `alias.*`: the row, even where a
            // column has the alias's name.
            let sql = format!(
                "SELECT jsonb_build_object('table', {}::text, 'row', to_jsonb(salvaged.*))::text FROM ONLY {}.{} salvaged \
                 WHERE salvaged.xmin = ANY ('{{{ids}}}'::xid[])",
                literal(&format!("{schema}.{table}")),
                name(&schema),
                name(&table)
            );
            let counted = |row: &str| {
                count += 1;
                take(row)
            };
            session.each("read what a table has past the fork", sql, TABLE_WITHIN, counted).await?;
        }
        Ok(count)
    }

    /// Stops it and removes it.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn end(mut self) -> Result<(), PostgresError> {
        let stopped = self.postmaster.stop_at_once(&self.place).await;
        let removed = remove(&self.place.data);
        stopped?;
        Ok(removed?)
    }

    /// Stops and removes what an attempt that was killed has left.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn clear(place: &Place) -> Result<(), PostgresError> {
        let place = place.scratch();
        if let Some(mut left) = Postmaster::adopt(&place, Listed::Scratch) {
            left.stop_at_once(&place).await?;
        }
        poll::until("a scratch copy's folder to be free", Duration::from_secs(5), PERIOD, || async {
            remove(&place.data)
        })
        .await?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Where `end` was not reached: its children end with it, its folder goes with the next attempt.
        let _ = self.postmaster.identity().signal(nix::sys::signal::Signal::SIGQUIT);
        let _ = crate::os::inventory::unregister(&self.place.site, self.postmaster.identity().pid);
    }
}

/// Ordinary tables that outlive a crash, partitions among them.
const TABLES: &str = "
    SELECT n.nspname::text, c.relname::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'p'
       AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
     ORDER BY 1, 2";
