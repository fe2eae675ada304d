//! What a cluster's control file says, by `pg_controldata`.

use std::{path::Path, time::Duration};

use super::{Place, PostgresError, create::output, promote::parse_lsn};
use crate::os::spawn;

/// How long the program may take.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The control file of a cluster, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlData {
    /// System identifier, decimal.
    pub system_id: String,
    /// Such as `shut down` or `in production`.
    pub state: String,
    /// Start of the latest checkpoint's record, in bytes of log.
    pub checkpoint: u64,
    /// The latest checkpoint's timeline.
    pub timeline: u32,
    /// Bytes of a page of the log.
    pub page_bytes: u64,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// All that the program printed.
    pub text: String,
}

impl ControlData {
    /// Reads that of a data folder.
    ///
    /// # Errors
    /// [`PostgresError::Program`], or [`PostgresError::State`] if a line is missing.
    pub async fn read(place: &Place, data: &Path) -> Result<Self, PostgresError> {
        let mut command = spawn::command(place.programs.join("pg_controldata"), &place.home);
        command.arg("-D").arg(data);
        let text = output("pg_controldata", command, READ_WITHIN).await?;
        Self::parse(&text).map_err(|missing| PostgresError::State(format!("pg_controldata does not say `{missing}`")))
    }

    /// A primary that was stopped in good order; not so a standby, whose state is `shut down in recovery`.
    pub fn is_clean(&self) -> bool {
        self.state == "shut down"
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        fn field<T>(text: &str, name: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<T, &'static str> {
            let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(str::trim).next().and_then(read).ok_or(name)
        }
        let number = |value: &str| value.parse().ok();
        Ok(Self {
            system_id: field(text, "Database system identifier", |value| Some(value.to_owned()))?,
            state: field(text, "Database cluster state", |value| Some(value.to_owned()))?,
            checkpoint: field(text, "Latest checkpoint location", parse_lsn)?,
            timeline: field(text, "Latest checkpoint's TimeLineID", |value| value.parse().ok())?,
            page_bytes: field(text, "WAL block size", number)?,
            segment_bytes: field(text, "Bytes per WAL segment", number)?,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_needed_is_read_and_one_that_is_missing_is_named() {
        let text = "Database system identifier:           77\nDatabase cluster state:               shut down\n\
                    Latest checkpoint location:           1/B5A470\nLatest checkpoint's TimeLineID:       3\n\
                    WAL block size:                       8192\nBytes per WAL segment:                4194304\n";
        let control = ControlData::parse(text).unwrap();
        assert_eq!((control.checkpoint, control.timeline), ((1 << 32) + 0xB5_A470, 3));
        assert_eq!((control.page_bytes, control.segment_bytes), (8192, 4 << 20));
        assert!(control.is_clean());
        assert!(!ControlData::parse(&text.replace("shut down", "shut down in recovery")).unwrap().is_clean());
        assert_eq!(ControlData::parse(&text.replace("WAL block", "Other")), Err("WAL block size"));
    }
}
