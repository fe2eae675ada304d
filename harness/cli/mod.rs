//! Commands, printing, exit codes; starts a role when asked to be one.
