//! What is kept of an old primary when it comes back: `<data>/evidence/<environment>-<epoch>`, made beside and renamed, so
//! that what stands there is whole. The epoch is the live side's.
//!
//! | in the folder | what |
//! |---|---|
//! | `data/` | the data folder with its log |
//! | `control-data.txt` | what `pg_controldata` said |
//! | `rows.ndjson` | rows past the fork, a [`SalvagedRow`] a line |
//! | `objects.ndjson` | object versions of the store alone, a [`SalvagedObject`] a line; their bodies beside |
//! | `secured.json` | the sum of it |

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    api::{
        EnvironmentId, Epoch,
        control::{Salvage, SalvagedObject, SalvagedRow},
        node::{Answer, Fork},
    },
    os::files,
};

/// Rows, in a folder of evidence.
pub const ROWS: &str = "rows.ndjson";
/// Object versions and delete markers, in a folder of evidence.
pub const OBJECTS: &str = "objects.ndjson";

const SUM: &str = "secured.json";
/// What the name of a folder ends with while it is collected in.
const PARTIAL: &str = ".partial";

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secured {
    /// Where the live side forked.
    pub fork: Fork,
    /// The log goes on past the fork.
    pub diverged: bool,
    /// The log ends, after a shutdown in good order, at the fork or before it.
    pub follows: bool,
    /// Rows salvaged.
    pub rows: u64,
    /// Object versions and delete markers salvaged.
    pub objects: u64,
}

impl Secured {
    /// As control is answered.
    pub fn answer(self) -> Answer {
        Answer::Secured { diverged: self.diverged, rows: self.rows, objects: self.objects }
    }
}

/// The evidence of one return.
pub struct Evidence {
    folder: PathBuf,
}

impl Evidence {
    /// Of an environment, when the live side is of `epoch`.
    pub fn of(data: &Path, environment: &EnvironmentId, epoch: Epoch) -> Self {
        Self { folder: data.join("evidence").join(format!("{environment}-{epoch}")) }
    }

    /// What was found, if the evidence is whole.
    ///
    /// # Errors
    /// The system's.
    pub fn secured(&self) -> io::Result<Option<Secured>> {
        match files::read_json(&self.folder.join(SUM)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// An empty folder to collect it in; what an attempt before has left there is removed.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(&self) -> io::Result<PathBuf> {
        let partial = self.partial();
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        files::private_folder(&partial)?;
        Ok(partial)
    }

    /// Makes what was collected the evidence, on the disk whatever happens: the original is changed next.
    ///
    /// # Errors
    /// The system's.
    pub fn complete(&self, secured: &Secured) -> io::Result<()> {
        let partial = self.partial();
        files::write_json(&partial.join(SUM), secured)?;
        let folder = fs::File::open(&partial)?;
        nix::unistd::syncfs(&folder)?;
        fs::rename(&partial, &self.folder)?;
        match self.folder.parent() {
            Some(parent) => fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Removes all of an environment's, whole or not.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_all(data: &Path, environment: &EnvironmentId) -> io::Result<()> {
        for (_, folder) in of(data, environment, true)? {
            fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    fn partial(&self) -> PathBuf {
        let mut name = self.folder.clone().into_os_string();
        name.push(PARTIAL);
        name.into()
    }
}

/// The folders of an environment's evidence with their epochs; those that were never finished too, if they are asked for.
fn of(data: &Path, environment: &EnvironmentId, unfinished: bool) -> io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{environment}-");
    let mut found = Vec::new();
    for entry in fs::read_dir(data.join("evidence"))? {
        let entry = entry?;
        let name = entry.file_name();
        let epoch = name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(|rest| {
            let whole = rest.strip_suffix(PARTIAL).filter(|_| unfinished).unwrap_or(rest);
            whole.parse::<u64>().ok()
        });
        found.extend(epoch.map(|epoch| (epoch, entry.path())));
    }
    Ok(found)
}

/// What the environment's last evidence holds of rows and objects; `None` if there is none.
///
/// # Errors
/// The system's, or `InvalidData`.
pub fn salvage(data: &Path, environment: &EnvironmentId) -> io::Result<Option<Salvage>> {
    let Some(folder) = last(data, environment)? else { return Ok(None) };
    let rows = lines::<SalvagedRow>(&folder.join(ROWS))?;
    let objects = lines::<SalvagedObject>(&folder.join(OBJECTS))?;
    Ok(Some(Salvage { folder: folder.display().to_string(), rows, objects }))
}

/// The file that holds a salvaged object's body, by the name that the list gives it; `None` if the list has none of that name.
///
/// # Errors
/// The system's, or `InvalidData`.
pub fn body(data: &Path, environment: &EnvironmentId, file: &str) -> io::Result<Option<PathBuf>> {
    let Some(folder) = last(data, environment)? else { return Ok(None) };
    let objects = lines::<SalvagedObject>(&folder.join(OBJECTS))?;
    let is_listed = objects.iter().any(|object| object.file.as_deref() == Some(file));
    Ok(is_listed.then(|| folder.join(file)))
}

/// The folder of an environment's last evidence.
fn last(data: &Path, environment: &EnvironmentId) -> io::Result<Option<PathBuf>> {
    let all = of(data, environment, false)?.into_iter();
    Ok(all.max_by_key(|(epoch, _)| *epoch).map(|(_, folder)| folder))
}

fn lines<T: DeserializeOwned>(file: &Path) -> io::Result<Vec<T>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        other => other?,
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_counts_once_it_is_whole_and_the_last_one_is_told() {
        let data = tempfile::tempdir().unwrap();
        let sales: EnvironmentId = "sales".parse().unwrap();
        fs::create_dir(data.path().join("evidence")).unwrap();
        assert_eq!(salvage(data.path(), &sales).unwrap(), None);
        let fork = Fork { timeline: 2, lsn: 7 };
        for epoch in [9, 10] {
            let evidence = Evidence::of(data.path(), &sales, Epoch(epoch));
            let partial = evidence.begin().unwrap();
            fs::write(partial.join("left"), "by an attempt before").unwrap();
            let partial = evidence.begin().unwrap();
            assert!(!partial.join("left").exists());
            fs::write(partial.join(ROWS), format!("{{\"table\":\"public.t\",\"row\":{{\"id\":{epoch}}}}}\n")).unwrap();
            assert_eq!(evidence.secured().unwrap(), None);
            let secured = Secured { fork, diverged: true, follows: false, rows: 1, objects: 0 };
            evidence.complete(&secured).unwrap();
            assert_eq!(evidence.secured().unwrap(), Some(secured));
        }
        let file = |name: &str| body(data.path(), &sales, name).unwrap();
        assert_eq!(file("objects/000001"), None, "none is on the list");
        let object = SalvagedObject {
            object_key: "k".to_owned(),
            version_id: "v".to_owned(),
            delete_marker: false,
            bytes: 1,
            file: Some("objects/000001".to_owned()),
        };
        let folder = data.path().join("evidence/sales-10");
        fs::write(folder.join(OBJECTS), serde_json::to_string(&object).unwrap()).unwrap();
        assert_eq!(file("objects/000001"), Some(folder.join("objects/000001")));
        for other in ["objects/000002", "../sales-9/objects/000001", "objects.ndjson"] {
            assert_eq!(file(other), None, "{other}");
        }
        fs::remove_file(folder.join(OBJECTS)).unwrap();
        // Another environment's, and one that was never finished.
        Evidence::of(data.path(), &"sales-1".parse().unwrap(), Epoch(11)).begin().unwrap();
        fs::create_dir(data.path().join("evidence/sales-1-12")).unwrap();
        let found = salvage(data.path(), &sales).unwrap().unwrap();
        assert_eq!(found.rows, [SalvagedRow { table: "public.t".to_owned(), row: serde_json::json!({"id": 10}) }]);
        assert!(found.folder.ends_with("sales-10") && found.objects.is_empty());
        Evidence::of(data.path(), &sales, Epoch(13)).begin().unwrap();
        Evidence::remove_all(data.path(), &sales).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(data.path().join("evidence")).unwrap().map(|one| one.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["sales-1-11.partial", "sales-1-12"]);
    }
}
