//! The node: the only one that starts Postgres in its zone, and the one that makes the zone's buckets, users and
//! replication rules. It does what control says, refuses older epochs, grants permits to the other region when control
//! allowed it, and locks clients out of its own primaries when its own permit ends.
//!
//! | part | what it does |
//! |---|---|
//! | [`state`] | what must outlive a restart, in one JSON file, written before it is acted upon |
//! | [`grants`] | the grantor of permits: pure |
//! | [`back_up`] | back-ups of what has no replica, made and put back |
//! | [`copies`] | copies of production, taken while it is served and put into a sandbox |
//! | [`kept`] | where rows and files of a back-up, or of a copy, are |
//! | [`delete`] | everything of an environment removed |
//! | [`commands`] | control's commands, each idempotent |
//! | [`replica`] | a replica made, and unmade |
//! | [`preflight`] | whether a planned switch may begin |
//! | [`processors`] | what may be used of the processors, and is |
//! | [`handover`] | the primary stopped for the other side, and taken back |
//! | [`returning`] | an old primary secured, and made a standby again |
//! | [`evidence`] | what is kept of it, and what existed there alone |
//! | [`zones`] | a standby within the region, and whom the primary waits for |
//! | [`supervisor`] | keeps each environment's cluster as its role and permit demand |
//! | [`postgres`] | one cluster: its folders, settings, access rules, process, roles, promotion |
//! | [`files`] | the running account verified, gates, preflights, salvage and return of files |
//! | [`store`] | the zone's file store: buckets, users, replication, missing references |
//!
//! On disk under `<data>`: `node.json`, `pg/<environment>` (data folders), `s/` (sockets), `log/`, `pass/` (libpq
//! password files), `mc/` (the store client's own folder), `evidence/<environment>-<epoch>` (what an old primary was when
//! it came back), `backups/<environment>/<number>` (rows; the files are in a bucket of their own), and for a while
//! `copies/<sandbox>/<number>` (the same of production), and while rows are salvaged `scratch/<environment>` and `x/` (the copy they are read from, its socket).

mod back_up;
mod commands;
mod copies;
mod delete;
mod evidence;
mod files;
mod grants;
mod handover;
mod kept;
mod postgres;
mod preflight;
mod processors;
mod replica;
mod returning;
mod serve;
mod shared;
mod state;
mod store;
mod supervisor;
#[cfg(test)]
mod tests;
mod zones;

pub use serve::{NodeError, run};
