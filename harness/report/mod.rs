//! Events and verdicts as JSON and as a table.
