//! Shared memory that outlived its makers. A Postgres that is killed leaves a System V segment behind, which nobody ever
//! frees: a few hundred drills later the machine has no more to give.

use std::{fs, path::Path, process::Command};

use super::{process::Identity, spawn::ServiceUser};

/// One line of `/proc/sysvipc/shm`.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    id: i32,
    creator: i32,
    attached: u64,
    uid: u32,
}

/// Frees what killed servers of ours have left: segments of the user that servers run as, to which nothing is attached and
/// whose maker is gone. Only where that user is one of its own (we are root), since any other may have segments of his.
/// Returns how many were freed.
pub fn free_abandoned() -> usize {
    if !nix::unistd::geteuid().is_root() {
        return 0;
    }
    let Some(user) = ServiceUser::current() else { return 0 };
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let program = ["/usr/bin/ipcrm", "/bin/ipcrm"].into_iter().find(|path| Path::new(path).is_file());
    let Some(program) = program else { return 0 };
    segments(&table)
        .into_iter()
        .filter(|segment| segment.uid == user.uid && segment.attached == 0 && Identity::of(segment.creator).is_none())
        .filter(|segment| {
            let freed = Command::new(program).args(["-m", &segment.id.to_string()]).output();
            freed.is_ok_and(|output| output.status.success())
        })
        .count()
}

/// `key shmid perms size cpid lpid nattch uid ...`
fn segments(table: &str) -> Vec<Segment> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some(Segment {
            id: fields.get(1)?.parse().ok()?,
            creator: fields.get(4)?.parse().ok()?,
            attached: fields.get(6)?.parse().ok()?,
            uid: fields.get(7)?.parse().ok()?,
        })
    };
    table.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_understood_and_its_heading_is_no_segment() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
             4866302          3   600                    56  1234  1250      0   107   113   107   113 1700000000 1700000001 1700000000                  4096                     0\n";
        assert_eq!(segments(table), [Segment { id: 3, creator: 1234, attached: 0, uid: 107 }]);
    }
}
