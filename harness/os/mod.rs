//! The operating system's own: processes named by pid and start time, their trees, cleaned environments, files and
//! folders that their owner alone can read, the inventory of a site's processes. Both halves need these; nothing here knows what a process is for.

pub mod files;
pub mod inventory;
pub mod process;
pub mod spawn;
