//! The node: the only one that starts Postgres in its zone, and the one that makes the zone's buckets, users and
//! replication rules. It does what control says, refuses older epochs, grants permits to the other region when control
//! allowed it, and locks clients out of its own primaries when its own permit ends.
//!
//! | part | what it does |
//! |---|---|
//! | [`state`] | what must outlive a restart, in one JSON file, written before it is acted upon |
//! | [`grants`] | the grantor of permits: pure |
//! | [`commands`] | control's commands, each idempotent |
//! | [`supervisor`] | keeps each environment's cluster as its role and permit demand |
//! | [`postgres`] | one cluster: its folders, settings, access rules, process, roles, promotion |
//! | [`store`] | the zone's file store: buckets, users, replication, missing references |
//!
//! On disk under `<data>`: `node.json`, `pg/<environment>` (data folders), `s/` (sockets), `log/`, `pass/` (libpq
//! password files), `mc/` (the store client's own folder).

mod commands;
mod grants;
mod postgres;
mod serve;
mod shared;
mod state;
mod store;
mod supervisor;
#[cfg(test)]
mod tests;

pub use serve::{NodeError, run};
