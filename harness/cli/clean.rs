//! `clean`: takes runs off the disk.

use std::fmt::Write;

use super::{
    args::Clean,
    entry::{complain, print},
    exit::Exit,
    sweep::sweep,
};
use crate::lab::shelf::{self, Kept, State};

/// Removes finished runs, and of abandoned ones the servers' data (with `--all` everything).
pub(super) async fn clean(arguments: Clean) -> Exit {
    // What dead runners have left runs no more before its data goes.
    let mut exit = if arguments.dry_run { Exit::Held } else { sweep().await };
    let runs = match shelf::all() {
        Ok(runs) => runs,
        Err(error) => {
            complain(&format!("the runs could not be read: {error}"));
            return exit.and(Exit::Internal);
        }
    };
    let (mut text, mut count, mut freed) = (String::new(), 0_u64, 0_u64);
    for run in &runs {
        if run.state == State::Held {
            writeln!(text, "kept     {}  it stands, or is under way", run.id()).unwrap_or_default();
            continue;
        }
        if arguments.older_than.is_some_and(|age| run.age < age) {
            continue;
        }
        let whole = arguments.all || run.state == State::Finished;
        let removed = if arguments.dry_run { Ok(run.bytes) } else { shelf::remove(run, whole) };
        match removed {
            // An abandoned run of which only the evidence is left.
            Ok(0) if !whole => {}
            Ok(bytes) => {
                (count, freed) = (count + 1, freed + bytes);
                writeln!(text, "{}", told(run, whole, bytes, arguments.dry_run)).unwrap_or_default();
            }
            Err(error) => {
                complain(&format!("{}: {error}", run.folder.display()));
                exit = exit.and(Exit::CleanUpIncomplete);
            }
        }
    }
    let done = if arguments.dry_run { "would be removed" } else { "removed" };
    writeln!(text, "{count} runs, {} {done}", size(freed)).unwrap_or_default();
    exit.and(print(&text))
}

fn told(run: &Kept, whole: bool, bytes: u64, dry: bool) -> String {
    let verb = if dry { "would go" } else { "removed" };
    let what = match (run.state, whole) {
        (State::Finished, _) => "finished",
        (_, true) => "abandoned, with its evidence",
        (_, false) => "abandoned, the servers' data; its evidence stays (--all)",
    };
    format!("{verb:<8} {}  {:>9}  {what}", run.id(), size(bytes))
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        assert_eq!([0, 1023, 1024, 1_572_864, 5 << 30].map(size), ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
