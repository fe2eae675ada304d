//! The operating system's own: processes named by pid and start time, their trees, cleaned environments, files and
//! folders that their owner alone can read, groups of processes with a quota of the processors, who works in a folder, the
//! inventory of a site's processes, shared memory that outlived its makers, which socket a connection comes from. Both halves need these; nothing here knows what a process is for.

pub mod cgroup;
pub mod files;
pub mod hold;
pub mod inventory;
pub mod process;
pub mod shared_memory;
pub mod sock_diag;
pub mod spawn;
