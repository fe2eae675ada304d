//! The scenarios that come with the program, and the scripts that they run.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use include_dir::{Dir, DirEntry, include_dir};

static SCENARIOS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// A scenario that comes with the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, which is also its file's without `.yaml`.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
    /// Its `about`.
    pub about: String,
}

/// All of them, by name.
pub fn shipped() -> Vec<Shipped> {
    let mut all: Vec<Shipped> = SCENARIOS
        .files()
        .filter_map(|file| {
            let name = file.path().file_name()?.to_str()?.strip_suffix(".yaml")?;
            let text = file.contents_utf8()?;
            Some(Shipped { name, text, about: about(text) })
        })
        .collect();
    all.sort_by_key(|scenario| scenario.name);
    all
}

/// The line that begins with `about:`; shipped files keep it on one line.
fn about(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("about:")).unwrap_or_default().trim().to_owned()
}

/// Writes the scenarios and their scripts into a folder, so that their commands can run there.
pub fn unpack(folder: &Path) -> io::Result<()> {
    unpack_dir(&SCENARIOS, folder)
}

fn unpack_dir(dir: &Dir<'_>, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join(dir.path()))?;
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(inner) => unpack_dir(inner, folder)?,
            DirEntry::File(file) => {
                let path = folder.join(file.path());
                fs::write(&path, file.contents())?;
                let script = path.extension().is_some_and(|extension| extension == "sh");
                fs::set_permissions(&path, fs::Permissions::from_mode(if script { 0o755 } else { 0o644 }))?;
            }
        }
    }
    Ok(())
}
