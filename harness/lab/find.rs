//! Which lab is meant: the one named, or the only one that stands.

use std::{io, path::PathBuf};

use super::file::{LAB_FILE, LabFile, run_id};
use crate::{
    os::files,
    testbed::undo::{self, Standing},
};

/// Something that stands, by the list of runs that have not ended.
#[derive(Clone)]
pub enum Found {
    /// A lab.
    Lab(Box<LabFile>),
    /// A lab whose host is gone: its guardian is ending it, or the next `down` or `up` does.
    Gone(Box<LabFile>),
    /// A run (or a lab that is still coming up) with its runner.
    Run(Standing),
    /// What a dead runner has left behind.
    Left(Standing),
}

impl Found {
    /// Its folder.
    pub fn folder(&self) -> &PathBuf {
        match self {
            Self::Lab(lab) | Self::Gone(lab) => &lab.folder,
            Self::Run(standing) | Self::Left(standing) => &standing.folder,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let by_name = matches!(self, Self::Lab(lab) | Self::Gone(lab) if lab.name == name);
        by_name || run_id(self.folder()) == name
    }
}

/// Why no lab was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None stands at all.
    #[error("no lab stands; `geodrill up` makes one")]
    None,
    /// None of that name stands.
    #[error("no lab `{wanted}` stands; there {}", standing_text(.standing))]
    Unknown {
        /// The name.
        wanted: String,
        /// Those that stand.
        standing: Vec<String>,
    },
    /// More than one stands, and none was named.
    #[error("several labs stand: {}; name one of them", .0.join(", "))]
    Several(Vec<String>),
    /// Its host is gone.
    #[error(
        "the host of lab `{0}` is gone, and the lab with it; `geodrill down {0}` makes sure, `geodrill up` makes a new one"
    )]
    Gone(String),
    /// The list of what stands could not be read.
    #[error("the list of what stands could not be read: {0}")]
    Io(#[from] io::Error),
}

fn standing_text(standing: &[String]) -> String {
    if standing.is_empty() { "is none at all".to_owned() } else { format!("is: {}", standing.join(", ")) }
}

/// Everything that stands.
///
/// # Errors
/// The system's.
pub fn all() -> io::Result<Vec<Found>> {
    let standing = undo::standing()?.into_iter().map(|(_, standing)| standing);
    let mut found: Vec<Found> = standing
        .map(|standing| match (files::read_json::<LabFile>(&standing.folder.join(LAB_FILE)), standing.has_runner()) {
            (Ok(lab), true) => Found::Lab(Box::new(lab)),
            (Ok(lab), false) => Found::Gone(Box::new(lab)),
            (Err(_), true) => Found::Run(standing),
            (Err(_), false) => Found::Left(standing),
        })
        .collect();
    found.sort_by(|a, b| a.folder().cmp(b.folder()));
    Ok(found)
}

/// The lab of that name (or run id), or the only one.
///
/// # Errors
/// [`FindError`].
pub fn find(name: Option<&str>) -> Result<LabFile, FindError> {
    choose(all()?, name)
}

fn choose(all: Vec<Found>, name: Option<&str>) -> Result<LabFile, FindError> {
    let names = |all: &[Found]| -> Vec<String> {
        all.iter()
            .filter_map(|found| match found {
                Found::Lab(lab) => Some(format!("{} ({})", lab.name, lab.run())),
                _ => None,
            })
            .collect()
    };
    let standing = names(&all);
    let mut meant: Vec<Found> = all
        .into_iter()
        .filter(|found| matches!(found, Found::Lab(_) | Found::Gone(_)))
        .filter(|found| name.is_none_or(|name| found.is_called(name)))
        .collect();
    if meant.iter().any(|found| matches!(found, Found::Lab(_))) {
        meant.retain(|found| matches!(found, Found::Lab(_)));
    }
    match (meant.pop(), meant.is_empty(), name) {
        (Some(Found::Lab(lab)), true, _) => Ok(*lab),
        (Some(Found::Gone(lab)), true, _) => Err(FindError::Gone(lab.name)),
        (Some(_), ..) => Err(FindError::Several(standing)),
        (None, _, Some(name)) => Err(FindError::Unknown { wanted: name.to_owned(), standing }),
        (None, _, None) => Err(FindError::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testbed::TestbedName;

    fn lab(name: &str, run: &str) -> Box<LabFile> {
        Box::new(LabFile {
            name: name.to_owned(),
            folder: PathBuf::from("/runs").join(run),
            started: String::new(),
            pid: 1,
            start_ticks: 1,
            testbed: TestbedName::Native,
            regions: ["east", "west"].map(|name| name.parse().unwrap()),
            zones: 1,
            environments: Vec::new(),
            control_port: 1,
            control_token: String::new(),
            postgres_bin: PathBuf::new(),
            mc: PathBuf::new(),
        })
    }

    fn check(all: &[Found], name: Option<&str>, expected: &str) {
        let told = choose(all.to_vec(), name).map_or_else(|error| error.to_string(), |lab| lab.run());
        assert!(told.contains(expected), "{name:?}: {told}, and not {expected}");
    }

    #[test]
    fn the_only_lab_or_the_one_named_is_meant_and_else_it_is_told_why_not() {
        let one = Found::Lab(lab("one", "r1"));
        let two = Found::Lab(lab("two", "r2"));
        let dead = Found::Gone(lab("dead", "r3"));
        let run = Found::Run(Standing { folder: "/runs/r4".into(), pid: 1, start_ticks: 1 });
        check(&[], None, "no lab stands; `geodrill up`");
        check(std::slice::from_ref(&run), None, "no lab stands");
        check(&[one.clone(), run.clone()], None, "r1");
        check(&[one.clone(), two.clone()], None, "several labs stand: one (r1), two (r2)");
        check(&[one.clone(), two.clone(), run], Some("two"), "r2");
        check(&[one.clone(), two.clone()], Some("r1"), "r1");
        check(std::slice::from_ref(&one), Some("three"), "no lab `three` stands; there is: one (r1)");
        check(std::slice::from_ref(&dead), None, "the host of lab `dead` is gone");
        check(&[dead.clone(), one], None, "r1");
        check(&[two, dead], Some("dead"), "the host of lab `dead` is gone");
    }
}
