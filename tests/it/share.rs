//! A share of many cases. Each costs a whole drill, and all of them together more time than a suite has that is run on every change:
//! a run of the suite tries some, other ones every day, and says so.
//!
//! `GEODRILL_WHOLE=1` tries all of them; `GEODRILL_DAY=N` those of another day.

use std::{
    fmt::Debug,
    io::{self, Write},
    time::SystemTime,
};

const DAY_S: u64 = 86_400;

fn day() -> usize {
    let since = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / DAY_S);
    let day = std::env::var("GEODRILL_DAY").map_or(since, |text| text.parse().expect("GEODRILL_DAY is a number"));
    usize::try_from(day).expect("a day")
}

/// So many of all cases: the next ones each day, so that none is left out for long.
pub fn share<T: Clone + Debug>(what: &str, all: &[T], count: usize) -> Vec<T> {
    if count >= all.len() || std::env::var_os("GEODRILL_WHOLE").is_some() {
        return all.to_vec();
    }
    let day = day();
    let chosen: Vec<T> = (0..count).map(|nth| all[(day * count + nth) % all.len()].clone()).collect();
    // Past the harness, which keeps to itself what a test that passes prints.
    let told =
        format!("{what}: {count} of {}, those of day {day} (GEODRILL_WHOLE=1 tries all): {chosen:?}\n", all.len());
    io::stderr().write_all(told.as_bytes()).expect("standard error takes a line");
    chosen
}
