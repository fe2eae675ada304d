//! The platform's salvage lists in the run's folder: `evidence/salvage-<environment>-<n>.json`, counted from 1.

use std::{io, path::Path};

use crate::{model::salvage::SalvageClaim, os::files};

/// Keeps a list.
///
/// # Errors
/// The system's.
pub(super) fn keep(folder: &Path, environment: &str, claim: &SalvageClaim) -> io::Result<()> {
    files::private_folder(folder)?;
    let path = (1_u32..).map(|number| folder.join(format!("salvage-{environment}-{number}.json")));
    let Some(path) = path.into_iter().find(|path| !path.exists()) else { return Ok(()) };
    files::write_json(&path, claim)
}

/// Every list that was kept, in the order of fetching.
///
/// # Errors
/// The system's, or a damaged file.
pub(super) fn read_all(folder: &Path) -> io::Result<Vec<SalvageClaim>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut claims: Vec<SalvageClaim> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("salvage-") && name.ends_with(".json") {
            claims.push(files::read_json(&path)?);
        }
    }
    claims.sort_by_key(|claim| claim.at);
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunTime, operation::EnvironmentIndex};

    #[test]
    fn lists_are_kept_and_read_in_the_order_of_fetching() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        assert!(read_all(&evidence).unwrap().is_empty());
        let claim = |at, event: &str| SalvageClaim {
            environment: EnvironmentIndex(0),
            event: event.to_owned(),
            at: RunTime(at),
            list: Default::default(),
        };
        keep(&evidence, "sales", &claim(2, "b")).unwrap();
        keep(&evidence, "sales", &claim(1, "a")).unwrap();
        std::fs::write(evidence.join("pg_control"), "not ours").unwrap();
        let events: Vec<String> = read_all(&evidence).unwrap().into_iter().map(|claim| claim.event).collect();
        assert_eq!(events, ["a", "b"]);
        assert!(evidence.join("salvage-sales-2.json").is_file());
    }
}
