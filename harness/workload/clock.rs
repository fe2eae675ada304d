//! The run's one clock, read.

use std::time::Instant;

use crate::model::RunTime;

/// Reads [`RunTime`]: a monotonic clock and the reading it started from. Every copy shows the same time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> RunTime {
        RunTime::from_duration(self.start.elapsed())
    }

    /// The instant at which the clock shows `time`, for timers.
    pub fn instant(&self, time: RunTime) -> Instant {
        self.start + time.since(RunTime::ZERO)
    }
}
