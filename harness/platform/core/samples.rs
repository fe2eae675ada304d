//! How far the other region is behind, as one grantor knows it: pure, and the same at control and at a node.
//!
//! Everything acknowledged before a moment has arrived if the other region's log has reached the position that the primary's
//! had at that moment or later, and if the compute's oldest file that has not arrived was acknowledged after it. Moments are
//! the grantor's own, given back by holders: what a holder says was so then, or later.

use std::collections::VecDeque;

use crate::api::{
    guard::Stamp,
    permit::{FilesAge, NodeState, SqlRole},
};

/// Samples of one spacing kept.
const SAMPLES_MAX: usize = 256;
/// The spacing of the newest samples.
const SPACING_MS_MIN: u64 = 100;

/// Moments, each with the position of the primary's log at that moment or later.
#[derive(Debug, Default)]
struct Series {
    spacing_ms: u64,
    samples: VecDeque<(u64, u64)>,
}

impl Series {
    fn take(&mut self, at: u64, lsn: u64) {
        match self.samples.back_mut() {
            // The newest moment at a position is what counts.
            Some((newest, position)) if *position == lsn => *newest = at.max(*newest),
            // Later by less than the spacing, or overtaken on its way.
            Some((newest, _)) if at < *newest + self.spacing_ms => {}
            _ => self.samples.push_back((at, lsn)),
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    fn before(&self, lsn: u64) -> Option<u64> {
        self.samples.iter().rev().find(|(_, position)| *position <= lsn).map(|(at, _)| *at)
    }
}

/// What is known of one environment under one epoch. Volatile.
#[derive(Debug, Default)]
pub struct Samples {
    /// The newest, close together, and far enough back, further apart.
    primary: [Series; 2],
    received: Option<u64>,
    files: Option<u64>,
}

impl Samples {
    /// None yet; they will cover more than `span_ms`.
    pub fn over(span_ms: u64) -> Self {
        let spacings = [SPACING_MS_MIN, (span_ms / (SAMPLES_MAX as u64 / 2)).max(SPACING_MS_MIN)];
        let primary = spacings.map(|spacing_ms| Series { spacing_ms, ..Series::default() });
        Self { primary, ..Self::default() }
    }

    /// Whether they cover so much.
    pub fn covers(&self, span_ms: u64) -> bool {
        self.primary[1].spacing_ms >= Self::over(span_ms).primary[1].spacing_ms
    }

    /// Takes what the primary's node says of its log. `life`: the grantor's own; a moment of an earlier one tells nothing.
    pub fn take_primary(&mut self, life: u64, claim: &NodeState) {
        let Some(at) = claim.after.filter(|after| after.life == life).map(|after| after.ms) else { return };
        if !matches!(claim.sql, SqlRole::Primary | SqlRole::Fenced) || claim.lsn == 0 {
            return;
        }
        self.primary.iter_mut().for_each(|series| series.take(at, claim.lsn));
    }

    /// Takes the position that the other region's log has reached, on its disk.
    pub fn take_received(&mut self, lsn: u64) {
        self.received = Some(lsn);
    }

    /// Takes what the active region's compute says of the files that it acknowledged; `None`: it acknowledged none.
    pub fn take_files(&mut self, life: u64, after: Option<Stamp>, age: Option<&FilesAge>) {
        let Some(at) = after.filter(|after| after.life == life).map(|after| after.ms) else { return };
        // Of an unknown age: what had arrived before has arrived still.
        let Some(oldest_ms) = age.map_or(Some(0), |age| age.oldest_ms) else { return };
        let from = at.saturating_sub(oldest_ms);
        self.files = Some(self.files.map_or(from, |known| from.max(known)));
    }

    /// The moment before which every acknowledged row is in a log that has reached `lsn`; `None` if not known.
    pub fn rows_before(&self, lsn: u64) -> Option<u64> {
        self.primary.iter().filter_map(|series| series.before(lsn)).max()
    }

    /// The same of the log that the other region is known to have.
    pub fn rows_arrived(&self) -> Option<u64> {
        self.rows_before(self.received?)
    }

    /// The moment before which every acknowledged file has arrived; `None` if not known.
    pub fn files_arrived(&self) -> Option<u64> {
        self.files
    }

    /// The moment before which everything acknowledged has arrived; `None` if not known.
    pub fn arrived(&self) -> Option<u64> {
        Some(self.rows_arrived()?.min(self.files_arrived()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Epoch;

    fn claim(at_ms: u64, lsn: u64) -> NodeState {
        NodeState {
            environment: "sales".parse().unwrap(),
            epoch: Epoch(1),
            sql: SqlRole::Primary,
            timeline: 1,
            lsn,
            other_lsn: 0,
            streaming: true,
            files_pending: 0,
            files_oldest_ms: 0,
            after: Some(Stamp { life: 7, ms: at_ms }),
        }
    }

    fn age(oldest_ms: Option<u64>) -> FilesAge {
        FilesAge { environment: "sales".parse().unwrap(), oldest_ms }
    }

    #[test]
    fn rows_have_arrived_up_to_the_newest_moment_at_or_below_the_position() {
        let mut samples = Samples::over(10_000);
        for (at, lsn) in [(0, 100), (1_000, 200), (2_000, 200), (3_000, 300)] {
            samples.take_primary(7, &claim(at, lsn));
        }
        // Overtaken on its way, and of a grantor that has been started anew since.
        samples.take_primary(7, &claim(500, 150));
        samples.take_primary(8, &claim(9_000, 300));
        assert_eq!(
            [99, 100, 150, 250, 300].map(|lsn| samples.rows_before(lsn)),
            [None, Some(0), Some(0), Some(2_000), Some(3_000)]
        );
        assert_eq!(samples.rows_arrived(), None);
        samples.take_received(250);
        assert_eq!(samples.rows_arrived(), Some(2_000));
    }

    #[test]
    fn files_have_arrived_up_to_the_age_of_the_oldest_that_has_not() {
        let mut samples = Samples::over(10_000);
        let after = |ms| Some(Stamp { life: 7, ms });
        samples.take_files(7, after(5_000), Some(&age(None)));
        assert_eq!(samples.files_arrived(), None);
        samples.take_files(7, after(5_000), Some(&age(Some(400))));
        assert_eq!(samples.files_arrived(), Some(4_600));
        // An older word, one of before the grantor's start, and one of an unknown age undo nothing.
        samples.take_files(7, after(4_000), Some(&age(Some(0))));
        samples.take_files(6, after(9_000), None);
        samples.take_files(7, after(9_000), Some(&age(None)));
        assert_eq!(samples.files_arrived(), Some(4_600));
        samples.take_files(7, after(9_000), None);
        assert_eq!(samples.files_arrived(), Some(9_000));
    }

    #[test]
    fn what_has_arrived_is_what_has_of_both() {
        let mut samples = Samples::over(10_000);
        samples.take_primary(7, &claim(1_000, 100));
        samples.take_received(100);
        assert_eq!(samples.arrived(), None);
        samples.take_files(7, Some(Stamp { life: 7, ms: 1_500 }), Some(&age(Some(700))));
        assert_eq!(samples.arrived(), Some(800));
    }

    #[test]
    fn samples_are_bounded_and_cover_what_is_asked_for() {
        for span_ms in [1_000, 25_000, 900_000] {
            let mut samples = Samples::over(span_ms);
            (0..20_000).for_each(|at| samples.take_primary(7, &claim(at * 100, at + 1)));
            assert!(samples.primary.iter().all(|series| series.samples.len() <= SAMPLES_MAX));
            let now_ms = 1_999_900;
            for behind_ms in [0, 1_000, 10_000, span_ms] {
                let position = (now_ms - behind_ms) / 100 + 1;
                let told_ms = now_ms - samples.rows_before(position).expect("it is covered");
                let most_ms = behind_ms + if behind_ms <= 25_000 { 100 } else { span_ms / 100 };
                assert!((behind_ms..=most_ms).contains(&told_ms), "{told_ms} for {behind_ms} of {span_ms}");
            }
        }
    }
}
