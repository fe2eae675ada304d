//! The text of a cluster's settings and access rules: pure.

use std::fmt::Write;

use super::{Place, SUPERUSER};
use crate::api::{Address, sabotage::Sabotage};

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The auditor alone: a standby, or a primary that is not the owner.
    Nobody,
    /// The auditor and the other region's receiver.
    Fenced,
    /// Clients too.
    Open,
}

/// `pg_hba.conf`.
pub fn hba(place: &Place, access: Access) -> String {
    let credentials = &place.spec.credentials;
    let database = quoted(&place.spec.database);
    let from = callers(place);
    let mut text = format!("local all {SUPERUSER} peer map=node\nlocal all all reject\n");
    let mut allow = |database: &str, user: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "host {database} {} {from} scram-sha-256", quoted(user));
    };
    allow("all", &place.auditor.user);
    if access != Access::Nobody {
        allow("replication", &credentials.sql_replication.user);
        // A returning cluster looks at the live one, and is rewound from it, by way of this database.
        allow("postgres", &credentials.sql_replication.user);
    }
    if access == Access::Open {
        allow(&database, &credentials.app.user);
        allow(&database, &credentials.reader.user);
    }
    text.push_str("host all all 0.0.0.0/0 reject\n");
    text
}

/// From where a server is called: from its own machine, or, if it listens to a network, from that network.
fn callers(place: &Place) -> String {
    if place.listen.is_unspecified() { "samenet".to_owned() } else { format!("{}/32", place.listen) }
}

/// `postgresql.conf`, whole. `follow`: the other region's primary is followed.
pub fn settings(place: &Place, port: u16, follow: bool) -> String {
    let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
    let source = if follow { place.source().unwrap_or_default() } else { String::new() };
    let slot = if follow { place.own_slot() } else { String::new() };
    let mut lines = format!(
        "cluster_name = {}\nlisten_addresses = '{}'\nport = {port}\nunix_socket_directories = {}\n\
         primary_conninfo = {}\nprimary_slot_name = {}\nsynchronous_standby_names = {}\n",
        text(place.region.as_str()),
        place.listen,
        text(&place.sockets.to_string_lossy()),
        text(&source),
        text(&slot),
        text(&place.awaited()),
    );
    lines.push_str(FIXED);
    // Of two settings the later one counts.
    lines.push_str(match place.sabotage {
        Some(Sabotage::AcknowledgeEarly) => "synchronous_commit = off\nwal_writer_delay = '10s'\n",
        Some(Sabotage::ReplayLate) => "recovery_min_apply_delay = '6s'\n",
        _ => "",
    });
    lines
}

/// Settings that are the same in every cluster. Durability is whole; what is short is what decides how soon a broken link
/// is noticed and used again. Statements are logged in no case, since some carry passwords.
const FIXED: &str = "\
unix_socket_permissions = 0700
max_connections = 200
superuser_reserved_connections = 5
shared_buffers = '32MB'
# In the data folder, which goes with the run; a killed server's files in /dev/shm would stay for good.
dynamic_shared_memory_type = 'mmap'
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
wal_log_hints = on
wal_keep_size = '256MB'
max_slot_wal_keep_size = '1GB'
min_wal_size = '32MB'
max_wal_size = '512MB'
max_wal_senders = 10
max_replication_slots = 10
authentication_timeout = '10s'
wal_sender_timeout = '5s'
wal_receiver_timeout = '5s'
wal_receiver_status_interval = '1s'
wal_retrieve_retry_interval = '50ms'
hot_standby = on
recovery_target_timeline = 'latest'
recovery_init_sync_method = syncfs
restart_after_crash = off
tcp_keepalives_idle = '5s'
tcp_keepalives_interval = '2s'
tcp_keepalives_count = 3
password_encryption = 'scram-sha-256'
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = 'none'
log_min_duration_statement = -1
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_timezone = 'UTC'
timezone = 'UTC'
";

/// `postgresql.conf` of a scratch copy: nobody but the node reaches it, nothing is streamed to or from it, nothing it does
/// must outlive it.
pub fn scratch_settings(place: &Place, port: u16) -> String {
    let sockets = place.sockets.to_string_lossy().replace('\'', "''");
    format!("cluster_name = 'scratch'\nport = {port}\nunix_socket_directories = '{sockets}'\n{SCRATCH}")
}

const SCRATCH: &str = "\
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 20
max_wal_senders = 0
shared_buffers = '32MB'
fsync = off
full_page_writes = off
wal_level = replica
autovacuum = off
archive_mode = off
primary_conninfo = ''
restart_after_crash = off
default_transaction_read_only = on
logging_collector = off
log_min_error_statement = panic
log_timezone = 'UTC'
timezone = 'UTC'
";

/// `pg_hba.conf` of a scratch copy.
pub fn scratch_hba() -> String {
    format!("local all {SUPERUSER} peer map=node\nlocal all all reject\n")
}

/// A password file's line, for any database there.
pub fn passfile(at: &Address, user: &str, password: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!("{}:{}:*:{}:{}\n", at.host(), at.port(), escaped(user), escaped(password))
}

/// A name as `pg_hba.conf` quotes it: in quotes no keyword such as `all` is meant.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::node::tests::place;

    fn users(access: Access) -> Vec<String> {
        let text = hba(&place(), access);
        let hosts = text.lines().filter(|line| line.starts_with("host") && !line.ends_with("reject"));
        hosts.map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    }

    #[test]
    fn the_auditor_is_always_let_in_and_clients_only_when_open() {
        assert_eq!(users(Access::Nobody), ["\"auditor\""]);
        assert_eq!(users(Access::Fenced), ["\"auditor\"", "\"replicator\"", "\"replicator\""]);
        assert_eq!(users(Access::Open), ["\"auditor\"", "\"replicator\"", "\"replicator\"", "\"app\"", "\"reader\""]);
    }

    #[test]
    fn only_a_standby_follows_and_no_password_is_in_the_settings() {
        let following = settings(&place(), 5432, true);
        assert!(following.contains("primary_conninfo = 'host=127.0.0.1 port=7001 user=replicator"), "{following}");
        assert!(following.contains("application_name=west"), "{following}");
        assert!(settings(&place(), 5432, false).contains("primary_conninfo = ''\n"));
        assert!(!following.contains("secret"), "{following}");
    }

    #[test]
    fn password_files_escape_what_libpq_would_split_at() {
        assert_eq!(passfile(&1.into(), "u", r"a:b\c"), "127.0.0.1:1:*:u:a\\:b\\\\c\n");
    }
}
