//! How a person gets in: command lines without a secret in them, and the files that hold the secrets.

use std::{fmt::Write, io};

use serde_json::json;

use super::file::LabFile;
use crate::{os::files, testbed::Testbed};

/// The folder, below the lab's, with what `psql` and `mc` need to be let in.
const FOLDER: &str = "enter";

/// One thing to enter, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What is behind it.
    pub what: String,
    /// The command line.
    pub command: String,
}

/// Writes the files that hold the secrets: `enter/pgpass` and `enter/mc/config.json`, mode 0600.
///
/// # Errors
/// The system's.
pub(super) fn write(lab: &LabFile, testbed: &dyn Testbed) -> io::Result<()> {
    let folder = lab.folder.join(FOLDER);
    files::private_folder(&folder.join("mc"))?;
    let auditor = testbed.auditor();
    // `*` stands for any port and database: the auditor enters every cluster of both regions.
    let mut pgpass = format!("127.0.0.1:*:*:{}:{}\n", auditor.sql.user, auditor.sql.secret);
    let mut aliases = serde_json::Map::new();
    let mut alias = |name: String, port: u16, user: &str, secret: &str| {
        let url = format!("http://127.0.0.1:{port}");
        aliases
            .insert(name, json!({ "url": url, "accessKey": user, "secretKey": secret, "api": "s3v4", "path": "on" }));
    };
    for environment in &lab.environments {
        let Some(endpoints) = &environment.endpoints else { continue };
        for login in [&endpoints.app, &endpoints.reader] {
            writeln!(pgpass, "127.0.0.1:*:{}:{}:{}", endpoints.database, login.user, login.secret)
                .map_err(io::Error::other)?;
        }
        alias(environment.id.to_string(), endpoints.files_rw_port, &endpoints.s3.user, &endpoints.s3.secret);
    }
    for region in &lab.regions {
        let any = lab.environments.iter().find_map(|environment| testbed.stores(region, &environment.id).files);
        if let Some(port) = any {
            alias(format!("auditor-{region}"), port, &auditor.s3.user, &auditor.s3.secret);
        }
    }
    files::write_private(&folder.join("pgpass"), pgpass.as_bytes())?;
    files::write_json(&folder.join("mc/config.json"), &json!({ "version": "10", "aliases": aliases }))
}

/// The ways in.
pub fn doors(lab: &LabFile) -> Vec<Door> {
    let folder = lab.folder.join(FOLDER);
    let mut doors = Vec::new();
    for environment in &lab.environments {
        let Some(endpoints) = &environment.endpoints else { continue };
        doors.push(Door {
            what: format!("{} rows", environment.id),
            command: format!(
                "PGPASSFILE={} {} -h 127.0.0.1 -p {} -U {} {}",
                folder.join("pgpass").display(),
                lab.postgres_bin.join("psql").display(),
                endpoints.sql_rw_port,
                endpoints.app.user,
                endpoints.database
            ),
        });
        doors.push(Door {
            what: format!("{} files", environment.id),
            command: format!(
                "{} --config-dir {} ls {}/{}",
                lab.mc.display(),
                folder.join("mc").display(),
                environment.id,
                endpoints.bucket
            ),
        });
    }
    doors
}
