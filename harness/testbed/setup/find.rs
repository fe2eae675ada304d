//! Finding what is there, changing nothing.

use std::path::{Path, PathBuf};

use super::{
    pins::Tool,
    places::{cache, numbered, path_folders, reachable},
    version::{self, Versions},
};

/// The oldest Postgres that will do.
pub(super) const POSTGRES_MAJOR_MIN: u32 = 15;

/// Everything that is run of Postgres.
const POSTGRES_PROGRAMS: [&str; 9] = [
    "postgres",
    "initdb",
    "pg_ctl",
    "pg_basebackup",
    "pg_rewind",
    "pg_controldata",
    "pg_waldump",
    "pg_dump",
    "pg_restore",
];

/// A search: what was found, and where one looked, with what was wrong there.
pub(super) struct Search {
    /// Program or folder, and its version.
    pub found: Option<(PathBuf, String)>,
    /// Places in order, with the reason where something was there and would not do.
    pub looked_in: Vec<String>,
}

/// Looks for one of the pinned tools: its variable, the cache, PATH. A variable that is set decides alone.
pub(super) fn tool(tool: Tool, versions: &mut Versions) -> Search {
    let mut looked_in = Vec::new();
    if let Some(given) = std::env::var_os(tool.variable()).filter(|value| !value.is_empty()) {
        let given = PathBuf::from(given);
        let place = format!("{}={}", tool.variable(), given.display());
        let found = match versions.of(tool, &given) {
            None => {
                looked_in.push(format!("{place}: no {} program", tool.name()));
                None
            }
            Some(_) if !reachable(&given) => {
                looked_in.push(format!("{place}: the user that servers run as cannot reach it"));
                None
            }
            Some(version) => {
                looked_in.push(place);
                Some((given, version))
            }
        };
        return Search { found, looked_in };
    }
    let built = cache().join("bin").join(tool.program());
    let on_path = path_folders().into_iter().map(|folder| folder.join(tool.program()));
    for program in std::iter::once(built).chain(on_path) {
        let place = program.display().to_string();
        if !program.is_file() {
            looked_in.push(place);
        } else if !reachable(&program) {
            looked_in.push(format!("{place}: the user that servers run as cannot reach it"));
        } else {
            match versions.of(tool, &program) {
                Some(version) if tool.accepts(&version) => {
                    looked_in.push(place);
                    return Search { found: Some((program, version)), looked_in };
                }
                Some(version) => looked_in.push(format!("{place}: version {version} will not do")),
                None => looked_in.push(format!("{place}: another program")),
            }
        }
    }
    Search { found: None, looked_in }
}

/// Looks for a folder with the programs of Postgres: `GEODRILL_POSTGRES_BIN`, PATH, the distributions' and Homebrew's.
pub(super) fn postgres() -> Search {
    let given = std::env::var_os("GEODRILL_POSTGRES_BIN").filter(|value| !value.is_empty());
    let folders = match given {
        Some(folder) => vec![PathBuf::from(folder)],
        None => [
            path_folders().into_iter().filter(|folder| folder.join("initdb").is_file()).collect(),
            numbered("/usr/lib/postgresql", "", "bin"),
            numbered("/usr/pgsql", "", "bin"),
            numbered("/usr", "pgsql-", "bin"),
            numbered("/usr/libexec", "postgresql", ""),
            numbered("/opt/homebrew/opt", "postgresql@", "bin"),
            numbered("/usr/local/opt", "postgresql@", "bin"),
            numbered("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
        ]
        .concat(),
    };
    let mut looked_in = vec!["PATH".to_owned(), "/usr/lib/postgresql/*/bin".to_owned(), "Homebrew".to_owned()];
    for folder in folders {
        match judge_postgres(&folder) {
            Ok(version) => return Search { found: Some((folder, version)), looked_in },
            Err(why) => looked_in.push(format!("{}: {why}", folder.display())),
        }
    }
    Search { found: None, looked_in }
}

fn judge_postgres(folder: &Path) -> Result<String, String> {
    if let Some(missing) = POSTGRES_PROGRAMS.iter().find(|program| !folder.join(program).is_file()) {
        return Err(format!("no {missing} there"));
    }
    if !reachable(&folder.join("postgres")) {
        return Err("the user that servers run as cannot reach it".to_owned());
    }
    let version = version::postgres(folder).ok_or("it does not tell its version")?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= POSTGRES_MAJOR_MIN => Ok(version),
        _ => Err(format!("version {version} is too old: {POSTGRES_MAJOR_MIN} is needed")),
    }
}
