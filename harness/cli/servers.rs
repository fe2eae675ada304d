//! `setup` and `doctor`.

use std::fmt::Write;

use super::{
    entry::{complain, print},
    exit::Exit,
};
use crate::testbed::setup::{self, SetupMode};

/// Finds or makes the servers.
pub(super) async fn setup() -> Exit {
    match setup::ensure(&|line: &str| super::progress::line(line), SetupMode::Auto).await {
        Ok(programs) => {
            let mut text = String::from("all servers are ready:\n");
            for (name, version) in &programs.versions {
                writeln!(text, "  {name:<10} {version}").unwrap_or_default();
            }
            print(&text)
        }
        Err(error) => {
            complain(&error.to_string());
            Exit::from(&error)
        }
    }
}

/// Tells what is there and what is not.
pub(super) fn doctor() -> Exit {
    let mut text = String::new();
    let mut missing = false;
    for check in setup::doctor() {
        match &check.found {
            Some(found) => {
                let (version, path) = (&found.version, found.path.display());
                writeln!(text, "ok       {:<10} {version} ({path})", check.name).unwrap_or_default();
            }
            None => {
                missing = true;
                writeln!(text, "missing  {:<10} looked in: {}", check.name, check.looked_in.join(", "))
                    .unwrap_or_default();
                writeln!(text, "         {:<10} to get it: {}", "", check.remedy).unwrap_or_default();
            }
        }
    }
    let printed = print(&text);
    if missing { printed.and(Exit::Invalid) } else { printed }
}
