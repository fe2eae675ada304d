//! What version a program is. Programs built by `go install` do not know it themselves (`--version` says `git` or
//! `DEVELOPMENT.GOGET`), but carry their module's version in the build information. Looking for that in 100 MB takes a
//! while, so what was learnt is kept beside the cache's programs, by path, size and time of change.

use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{pins::Tool, places};

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    changed_ns: i128,
    version: String,
}

/// What was learnt of programs before.
pub(super) struct Versions {
    file: PathBuf,
    known: BTreeMap<PathBuf, Known>,
    fresh: bool,
}

impl Versions {
    /// Reads what is known; nothing, if that cannot be read.
    pub fn load() -> Self {
        let file = places::cache().join("bin/versions.json");
        let known = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, known, fresh: false }
    }

    /// The version of a program, if it is such a tool at all.
    pub fn of(&mut self, tool: Tool, program: &Path) -> Option<String> {
        let data = program.metadata().ok().filter(|data| data.is_file() && data.mode() & 0o111 != 0)?;
        let changed_ns = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
        if let Some(known) = self.known.get(program)
            && (known.bytes, known.changed_ns) == (data.len(), changed_ns)
        {
            return Some(known.version.clone());
        }
        let version = built_in(tool, program).or_else(|| spoken(tool, program))?;
        let known = Known { bytes: data.len(), changed_ns, version: version.clone() };
        self.known.insert(program.to_owned(), known);
        self.fresh = true;
        Some(version)
    }

    /// Keeps what was learnt. That it cannot be written costs time only.
    pub fn keep(self) {
        if self.fresh
            && self.file.parent().is_some_and(Path::is_dir)
            && let Err(error) = crate::os::files::write_json(&self.file, &self.known)
        {
            tracing::debug!(file = %self.file.display(), %error, "versions not kept");
        }
    }
}

/// The version in the build information: a line `mod <module> <version>`.
fn built_in(tool: Tool, program: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(program).ok()?.read_to_end(&mut bytes).ok()?;
    let needle = format!("\nmod\t{}\t", tool.module()).into_bytes();
    let at = find(&bytes, &needle)? + needle.len();
    let version: Vec<u8> =
        bytes[at..].iter().copied().take(80).take_while(|byte| !byte.is_ascii_whitespace()).collect();
    String::from_utf8(version).ok().filter(|version| version.starts_with('v'))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(step) = bytes.get(from..)?.iter().position(|byte| byte == first) {
        let at = from + step;
        if bytes[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The version as the program says it: the third word of `minio version RELEASE.… (…)`.
fn spoken(tool: Tool, program: &Path) -> Option<String> {
    let output = Command::new(program).arg(tool.version_option()).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.lines().next()?.split_whitespace();
    let named = words.next()?.starts_with(tool.name()) && words.next()? == "version";
    words.next().filter(|_| named).map(str::to_owned)
}

/// The version of the Postgres programs in a folder, such as `15.18`.
pub(super) fn postgres(bin: &Path) -> Option<String> {
    let output = Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_needle_is_found_where_it_begins() {
        for (bytes, needle, found) in
            [("aab", "ab", Some(1)), ("ab", "ab", Some(0)), ("aa", "ab", None), ("", "a", None), ("ba", "a", Some(1))]
        {
            assert_eq!(find(bytes.as_bytes(), needle.as_bytes()), found, "{needle} in {bytes}");
        }
    }
}
