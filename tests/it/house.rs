//! The rules of the house, kept by reading its sources: the table of allowed arrows in `ARCHITECTURE.md`, rooms without
//! tokio, printing and ending in `cli` alone, tables of contents without logic.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

struct Source {
    /// Path below `harness/`.
    path: String,
    /// Its code, comments left out.
    code: String,
    /// It is compiled for tests alone.
    is_test: bool,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("harness/ can be read") {
            let path = entry.expect("its entries too").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let harness = root().join("harness");
    let mut paths = Vec::new();
    collect(&harness, &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "the sources are not where this test looks for them");
    let tests = test_modules(&paths);
    paths
        .into_iter()
        .map(|path| {
            let is_test = tests.iter().any(|module| path.starts_with(module) || path == module.with_extension("rs"));
            let text = fs::read_to_string(&path).expect("a source can be read");
            let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
            let path = path.strip_prefix(&harness).expect("below harness/").display().to_string();
            Source { path, code, is_test }
        })
        .collect()
}

/// Paths, without extension, of the modules that are declared under `#[cfg(test)]`.
fn test_modules(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).expect("a source can be read");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some((_, name)) =
                pair[1].trim_end_matches(';').rsplit_once("mod ").filter(|_| pair[1].ends_with(';'))
            {
                modules.push(path.parent().expect("a file has a folder").join(name));
            }
        }
    }
    modules
}

/// The rows of the table headed `| room |` in `ARCHITECTURE.md`: room → rooms it may use.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let rows =
        text.lines().skip_while(|line| !line.starts_with("| room |")).skip(2).take_while(|line| line.starts_with('|'));
    let table: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let room = cells[0].trim_matches('`').trim_end_matches('/').to_owned();
            let uses = cells[2].split(',').map(|room| room.trim().trim_matches('`').to_owned());
            (room, uses.filter(|room| room != "–" && !room.is_empty()).collect())
        })
        .collect();
    assert!(table.len() >= 14, "the table of arrows is not where this test looks for it: {table:?}");
    table
}

/// Rooms named by `crate::room` or by the outermost names of `crate::{…}`.
fn used_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            rooms.extend(outermost_names(group));
        } else {
            rooms.insert(first_name(rest));
        }
    }
    rooms.remove("");
    rooms
}

fn outermost_names(group: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut names = Vec::new();
    let mut expecting = true;
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            letter if depth == 0 && expecting && !letter.is_whitespace() => {
                names.push(first_name(&group[place..]));
                expecting = false;
            }
            _ => {}
        }
    }
    names
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn rooms_use_only_the_rooms_that_the_table_allows() {
    let table = arrows();
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room();
        if room.ends_with(".rs") {
            continue;
        }
        let allowed = table.get(room).unwrap_or_else(|| panic!("the room {room}/ is not in the table"));
        for used in used_rooms(&source.code) {
            if used != room && table.contains_key(&used) && !allowed.contains(&used) {
                wrong.push(format!("harness/{} uses {used}, which {room}/ may not", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examined_never_sees_the_examiner() {
    let table = arrows();
    let examiner = [
        "model",
        "guarantee",
        "scenario",
        "ledger",
        "verify",
        "workload",
        "testbed",
        "plane",
        "fault",
        "conduct",
        "lab",
        "report",
    ];
    let allowed = &table["platform"];
    assert!(examiner.iter().all(|room| !allowed.contains(*room)), "platform/ may use {allowed:?}");
    for (room, allowed) in &table {
        assert!(
            room == "cli" || room == "sim" || !allowed.contains("platform"),
            "{room}/ may use platform/, which an examiner may not"
        );
    }
}

#[test]
fn pure_rooms_know_no_async_runtime_and_no_clock() {
    let pure =
        ["model/", "api/", "verify/", "guarantee/", "scenario/", "report/", "platform/core/", "workload/schedule/"];
    let forbidden = ["tokio", "Instant::now", "SystemTime::now", "std::net", "std::process"];
    let sources = sources();
    for room in pure {
        assert!(sources.iter().any(|source| source.path.starts_with(room)), "{room} is empty");
    }
    let wrong: Vec<String> = sources
        .iter()
        .filter(|source| !source.is_test && pure.iter().any(|room| source.path.starts_with(room)))
        .flat_map(|source| {
            let found = forbidden.iter().filter(|word| source.code.contains(**word));
            found.map(|word| format!("harness/{} has {word}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints_or_ends_the_program() {
    let forbidden = ["println!", "eprintln!", "print!(", "eprint!(", "process::exit", "dbg!"];
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.room() != "cli" && !source.is_test)
        .flat_map(|source| {
            let code = without_tests(&source.code);
            let found = forbidden.iter().filter(|word| code.contains(**word));
            found.map(|word| format!("harness/{} has {word}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tables_of_contents_hold_no_logic() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_test && (source.path.ends_with("mod.rs") || source.path == "lib.rs"))
        .filter(|source| {
            ["fn ", "struct ", "enum ", "impl "].iter().any(|word| without_tests(&source.code).contains(word))
        })
        .map(|source| format!("harness/{}", source.path))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_skipped_silenced_or_left_for_later() {
    let forbidden = ["#[ignore", "todo!(", "unimplemented!(", "#[allow(", "#![allow(", "unsafe {"];
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let found = forbidden.iter().filter(|word| source.code.contains(**word));
            found.map(|word| format!("harness/{} has {word}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The code before its unit tests, which stand last in a file.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or(code)
}

#[test]
fn the_scanner_sees_the_arrows_it_is_meant_to_see() {
    let code = "use crate::{\n    api::{Region, ids::Name},\n    fault,\n    model::link::Link,\n};\nlet x = crate::verify::verify();";
    let wanted = ["api", "fault", "model", "verify"].map(str::to_owned);
    assert_eq!(used_rooms(code), BTreeSet::from(wanted));
}
