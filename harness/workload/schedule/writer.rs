//! One writer's schedule: open loop, so what is due does not depend on what came back.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{ACCOUNTS, CONTENDED_KEYS};
use crate::model::{
    operation::{EnvironmentIndex, Transfer},
    plan::{Mix, Workload},
};

/// The largest amount that one transfer moves.
const AMOUNT_MAX: i64 = 100;

/// Something to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, from the start of the load.
    pub at: Duration,
    /// What.
    pub draw: Draw,
}

/// What the seed says an operation is. Which of its own keys a writer then takes depends on which it has: see
/// [`super::OwnKeys::wanted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// What.
    pub what: What,
    /// Chooses among the writer's own keys.
    pub pick: u64,
    /// It carries a file, if it is a create or an overwrite.
    pub file: bool,
}

/// Kinds of write, as drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A new own key.
    Create,
    /// One of the writer's own keys again.
    OverwriteOwn,
    /// The contended key of this number.
    OverwriteContended(u32),
    /// One of the writer's own keys is deleted.
    Delete,
    /// An amount moves.
    Transfer(Transfer),
}

/// The endless schedule of one writer of one environment. Writers share the rate and are shifted against each other, so
/// that together they send evenly.
#[derive(Debug, Clone)]
pub struct WriterSchedule {
    random: ChaCha8Rng,
    mix: Mix,
    file_share: f64,
    /// Seconds between two operations of this writer.
    period_s: f64,
    /// Seconds from the start to its first.
    phase_s: f64,
    sent: u64,
}

impl WriterSchedule {
    /// The schedule of writer `writer` (from 0) of an environment.
    pub fn new(workload: &Workload, seed: u64, environment: EnvironmentIndex, writer: u16) -> Self {
        let writers = f64::from(workload.writers.max(1));
        // Without a rate nothing is ever due.
        let period_s = if workload.rate_per_s > 0.0 { writers / workload.rate_per_s } else { f64::INFINITY };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // A stream of its own for each writer of each environment: independent, and the same whoever else runs.
        random.set_stream(u64::from(environment.0) << 16 | u64::from(writer));
        Self {
            random,
            mix: workload.mix.clone(),
            file_share: workload.file_share.clamp(0.0, 1.0),
            period_s,
            phase_s: f64::from(writer) / writers * period_s,
            sent: 0,
        }
    }

    fn draw(&mut self) -> Draw {
        // Always the same number of draws, so that the shares of one kind do not shift what follows.
        let pick: u64 = self.random.random();
        let file = self.random.random_bool(self.file_share);
        let contended = self.random.random_bool(0.5);
        let key = self.random.random_range(0..CONTENDED_KEYS);
        let from = self.random.random_range(0..ACCOUNTS);
        let to = (from + self.random.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let amount = self.random.random_range(1..=AMOUNT_MAX);
        let Mix { create, overwrite, delete, transfer } = self.mix;
        let weights = [create, overwrite, delete, transfer].map(u64::from);
        let mut place = self.random.random_range(0..weights.iter().sum::<u64>().max(1));
        let kind = weights.iter().position(|weight| {
            let here = place < *weight;
            place = place.wrapping_sub(*weight);
            here
        });
        let what = match kind {
            Some(1) if contended => What::OverwriteContended(key),
            Some(1) => What::OverwriteOwn,
            Some(2) => What::Delete,
            Some(3) => What::Transfer(Transfer { from, to, amount }),
            _ => What::Create,
        };
        Draw { what, pick, file }
    }
}

impl Iterator for WriterSchedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let seconds = self.phase_s + self.sent as f64 * self.period_s;
        self.sent += 1;
        // Also where the next operation lies past the end of time (0 × ∞ is no number, and no duration either).
        let at = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Due { at, draw: self.draw() })
    }
}
