//! Customers' tables that are known by their columns alone: the platform knows no more of an application.

/// Every table, out of the system's own, that has both columns, its name quoted. Partitions are read through their parent.
pub(super) fn with_columns(one: &str, other: &str) -> String {
    format!(
        "
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
       AND 2 = (SELECT count(*) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attname IN ('{one}', '{other}') AND NOT a.attisdropped)"
    )
}
