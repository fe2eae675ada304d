//! Quotas of the processors: a cgroup for each region, into which each of its processes is put as it is started.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    api::Region,
    os::cgroup::Cgroup,
    testbed::{
        contract::{QuotaSeen, TestbedError},
        undo::{self, Entry, Ledger, QUOTA_PREFIX},
    },
};

/// Makes a group for each region, or says why there is none. Without them a run goes on: what they are needed for is then not
/// judged.
pub(super) fn make(quotas: &BTreeMap<Region, u32>, ledger: &Ledger) -> BTreeMap<Region, Result<Cgroup, String>> {
    let run = ledger.standing().file_stem().unwrap_or_default().to_string_lossy();
    let make = |region: &Region, milli: u32| {
        let group = Cgroup::plan(&format!("{QUOTA_PREFIX}{run}-{region}"))?;
        let entry = Entry::Quota { folder: group.folder().to_owned() };
        ledger.note(&entry).map_err(|error| format!("write the undo ledger: {error}"))?;
        group.make(milli).map_err(|error| format!("cgroup {}: {error}", group.folder().display()))?;
        Ok(group)
    };
    quotas.iter().map(|(region, milli)| (region.clone(), make(region, *milli))).collect()
}

/// Who is held to a quota, and who of the region's sites is not.
pub(super) fn look(group: &Cgroup, sites: &[PathBuf]) -> Result<QuotaSeen, TestbedError> {
    let failed = |error: std::io::Error| TestbedError::Failed(format!("{}: {error}", group.folder().display()));
    let milli = group.quota().map_err(failed)?;
    let alive: Vec<_> = sites.iter().flat_map(|site| undo::alive_in(site)).collect();
    // Read second: who was started meanwhile is in by birth.
    let inside = group.processes().map_err(failed)?;
    let outside = alive.iter().filter(|process| !inside.contains(&process.pid) && process.is_alive());
    Ok(QuotaSeen {
        milli,
        held: inside.len() as u64,
        outside: outside.map(|process| format!("process {}", process.pid)).collect(),
    })
}
