//! Who may load the machine when. Drills side by side on few processors hold one another up: what hangs on a second has the machine
//! for itself, everything else shares it.
//!
//! How long each had the machine is told on standard error, which is how one finds what makes the suite slow.

use std::{
    io::{self, Write},
    sync::OnceLock,
    thread,
    time::Instant,
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// A test's share of the machine, until it is dropped.
pub struct Turn {
    _permit: SemaphorePermit<'static>,
    test: String,
    share: &'static str,
    since: Instant,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let told = format!("{:>5.0} s {}: {}\n", self.since.elapsed().as_secs_f64(), self.share, self.test);
        // Past the harness, which keeps to itself what a test that passes prints. Nothing hangs on it.
        let _ = io::stderr().write_all(told.as_bytes());
    }
}

/// One drill and no other: side by side on few processors they hold one another up, and what hangs on a second is then not
/// what it would be.
pub async fn alone() -> Turn {
    turn(processors(), "alone").await
}

/// As many drills at a time as there are processors: for those of which nothing is asserted that hangs on a second.
pub async fn beside() -> Turn {
    turn(1, "beside").await
}

async fn turn(processors_wanted: u32, share: &'static str) -> Turn {
    static TURNS: OnceLock<Semaphore> = OnceLock::new();
    let turns = TURNS.get_or_init(|| Semaphore::new(usize::try_from(processors()).expect("a few")));
    let permit = turns.acquire_many(processors_wanted).await.expect("it is never closed");
    let test = thread::current().name().unwrap_or("a test").to_owned();
    Turn { _permit: permit, test, share, since: Instant::now() }
}

fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}
